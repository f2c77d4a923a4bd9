"""`qlrf notifications`: what was told, and whether a channel works."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.notifications import group
from qlrf_pipelines.domain.errors import Denied, NotFound, QlrfError, Refused, Rejected
from qlrf_pipelines.domain.notifications import outlived, sent
from resources.database.outbox import SqlOutbox
from resources.database.sessions import Sessions
from tests.fakes.approvals import ACME
from tests.fakes.clock import NOON
from tests.fakes.contracts import issue_estate
from tests.fakes.messages import note, request
from tests.fakes.web import Service, service

ANN = ("--as", "ann", "--role", "engineer")
TENANT = """\
apiVersion: qlrf/v1
kind: Tenant
metadata: {name: acme}
spec:
  notifications:
    - {channel: slack, credentials: {url: "env:QLRF_TEST_SLACK"}}
"""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Any:
    with service() as found:
        monkeypatch.setenv("QLRF_TEST_SLACK", found.url)
        yield found


@pytest.fixture
def qlrf(postgres: Any, tmp_path: Path) -> Callable[..., Result]:
    folder = issue_estate(tmp_path / "estate", tenants__acme=TENANT)

    def run(*arguments: str) -> Result:
        settings = replace(postgres.settings, estate=folder)
        result = CliRunner().invoke(group, arguments, obj=settings)
        if isinstance(result.exception, QlrfError):
            raise result.exception
        assert result.exception is None, result.exception
        return result

    return run


def trial(qlrf: Callable[..., Result], *more: str) -> Result:
    return qlrf("test", "--tenant", "acme", "--channel", "slack", "--target", "#ops", *more)


def test_a_trial_is_sent_once_and_says_what_came_back(qlrf: Any, web: Service) -> None:
    web.body = b"ok"

    found = json.loads(trial(qlrf, *ANN, "--json").stdout)

    ((_, _, body),) = web.heard
    assert "is a trial of this channel: nothing is being changed" in json.loads(body)["text"]
    assert (found["sent"], found["said"]) == (True, "200 ok")
    assert found["reason"] == "asked for by ann"


def test_a_trial_can_be_of_any_event(qlrf: Any, web: Service) -> None:
    found = json.loads(trial(qlrf, "--event", "approval_requested", *ANN, "--json").stdout)

    text = json.loads(web.heard[0][2])["text"]
    assert text.startswith("Task trial of acme in no environment is a trial")
    assert (found["event"], found["about"]) == ("approval_requested", "task")


def test_a_channel_that_refuses_is_an_error_that_names_no_secret(qlrf: Any, web: Service) -> None:
    web.status = 403

    with pytest.raises(Denied, match="slack #ops of tenant acme answered 403") as raised:
        trial(qlrf, *ANN)

    assert str(web.port) not in str(raised.value)


def test_who_may_not_steer_rollouts_may_send_nothing(qlrf: Any, web: Service) -> None:
    with pytest.raises(Refused, match="engineers"):
        trial(qlrf, "--as", "vic", "--role", "viewer")

    assert web.heard == []


def test_an_unknown_tenant_or_place_is_named(qlrf: Any, web: Service) -> None:
    with pytest.raises(NotFound, match="nobody"):
        qlrf("test", "--tenant", "nobody", "--channel", "slack", "--target", "#ops", *ANN)
    with pytest.raises(Rejected, match="no place for pagerduty on-call"):
        qlrf("test", "--tenant", "acme", "--channel", "pagerduty", "--target", "on-call", *ANN)


def test_the_list_shows_what_was_told_and_what_waits(qlrf: Any, postgres: Any) -> None:
    sessions = Sessions(postgres.settings)
    outbox = SqlOutbox(sessions)
    outbox.add(ACME, [note("a"), note("b"), replace(note("c"), message=request(key="c"))])
    (asked, *_) = outbox.list(ACME)
    outbox.keep(ACME, outlived(asked, now=NOON))
    outbox.keep(ACME, sent(note("a"), "200 ok", now=NOON))
    sessions.close()

    found = json.loads(qlrf("list", "--tenant", "acme", "--json").stdout)
    waiting = json.loads(qlrf("list", "-t", "acme", "--state", "waiting", "--json").stdout)

    assert [(one["key"], one["state"]) for one in found] == [
        ("c", "obsolete"),
        ("b", "waiting"),
        ("a", "sent"),
    ]
    assert [(one["about"], one["subject"]) for one in found[:2]] == [
        ("task", "t-1"),
        ("rollout", "t-1"),
    ]
    assert [one["key"] for one in waiting] == ["b"]
    assert waiting[0]["event"] == "rollback"
    assert "acme" in qlrf("list", "-t", "acme").stdout
