"""`qlrf tasks`: what was looked at is what is decided about."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.main import cli
from qlrf_pipelines.cli.tasks import group
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.roles import Role

Qlrf = Callable[..., Result]
RITA = ("--as", "rita", "--role", "operator")
ANN = ("--as", "ann", "--role", "engineer")


@pytest.fixture
def qlrf(postgres: Any) -> Qlrf:
    """The commands in this process, over a real database."""

    def run(*arguments: str, **changed: Any) -> Result:
        settings = replace(postgres.settings, **changed)
        result = CliRunner().invoke(group, arguments, obj=settings)
        if isinstance(result.exception, Refused | Rejected | NotFound):
            raise result.exception
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    return run


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "change.yaml"
    path.write_text('port: 443\nwhy: "TLS \\e[31mnow"\n')
    return path


@pytest.fixture
def task(qlrf: Qlrf, document: Path) -> dict[str, Any]:
    asked = ("--tenant", "acme", "--title", "Open port 443", "--document", str(document))
    found: dict[str, Any] = json.loads(qlrf("submit", *asked, *RITA, "--json").stdout)
    return found


def test_a_change_goes_from_submit_to_approved(qlrf: Qlrf, task: dict[str, Any]) -> None:
    shown = qlrf("show", task["id"]).stdout
    assert "port: 443" in shown
    assert task["digest"] in shown
    assert "0 of 1 approvals" in shown
    assert "Needs      1 of role engineer or higher, never who asked" in shown

    qlrf("approve", task["id"][:20], "--digest", task["digest"][:8], "--max-batch", "5", *ANN)

    facts = json.loads(qlrf("show", task["id"], "--json").stdout)
    assert facts["state"] == "approved"
    assert facts["standing"]["is"] == "approved"
    assert facts["standing"]["conditions"]["max_batch"] == 5
    assert [one["by"] for one in facts["decisions"]] == ["ann"]


def test_what_a_terminal_might_obey_is_written_out(qlrf: Qlrf, task: dict[str, Any]) -> None:
    assert "\x1b" not in qlrf("show", task["id"]).stdout


def test_nobody_approves_what_they_did_not_look_at(qlrf: Qlrf, task: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match="--digest"):
        qlrf("approve", task["id"], *ANN)
    for wrong in ("f" * 12, task["digest"][:4]):
        with pytest.raises(Refused, match="look at it"):
            qlrf("approve", task["id"], "--digest", wrong, *ANN)


def test_an_edited_change_is_shown_with_what_changed_and_needs_a_new_yes(
    qlrf: Qlrf, task: dict[str, Any], document: Path
) -> None:
    digest = task["digest"][:8]
    qlrf("approve", task["id"], "--digest", digest, *ANN)
    document.write_text("port: 80\n")
    qlrf("revise", task["id"], "--document", str(document), *RITA)

    shown = qlrf("show", task["id"]).stdout

    assert "-port: 443" in shown
    assert "+port: 80" in shown
    assert "ann (engineer) approve of revision 1" in shown
    with pytest.raises(Refused, match="look at it"):
        qlrf("approve", task["id"], "--digest", digest, *ANN)


def test_who_decides_second_sees_the_conditions_of_the_first_and_who_wrote_it(
    qlrf: Qlrf, document: Path
) -> None:
    asked = ("--tenant", "acme", "--title", "Open 443", "--document", str(document))
    task = json.loads(qlrf("submit", *asked, "--quorum", "2", *RITA, "--json").stdout)
    document.write_text("port: 80\n")
    written = ("--document", str(document), "--as", "rob", "--role", "operator", "--json")
    revised = json.loads(qlrf("revise", task["id"], *written).stdout)
    seen, until = ("--digest", revised["digest"][:8]), "2999-01-02T03:04Z"
    qlrf("approve", task["id"], *seen, "--max-batch", "3", "--not-after", until, *ANN)

    shown = qlrf("show", task["id"]).stdout

    assert "Written by rob at " in shown
    assert "never who asked or wrote it" in shown
    assert "ann (engineer) approve to start until 2999-01-02T03:04:00Z at most 3 at once" in shown
    bob = ("--as", "bob", "--role", "engineer")
    with pytest.raises(Rejected, match="together with those"):
        qlrf("approve", task["id"], *seen, "--not-before", "2999-01-03", *bob)


def test_a_title_that_is_cut_says_so(qlrf: Qlrf, document: Path) -> None:
    title = "Change 8 staging assets: 8 × ql-base-linux from 1.6.4 to 1.7.0."
    qlrf("submit", "--tenant", "acme", "--title", title, "--document", str(document), *RITA)

    listed = qlrf("list").stdout

    assert "from 1.6.4 to 1.…" in listed


def test_the_requester_and_the_unentitled_are_refused(qlrf: Qlrf, task: dict[str, Any]) -> None:
    seen = ("--digest", task["digest"][:8])

    with pytest.raises(Refused, match="their own request"):
        qlrf("approve", task["id"], *seen, "--as", "Rita", "--role", "admin")
    with pytest.raises(Refused, match="engineer or higher is needed"):
        qlrf("approve", task["id"], *seen, "--as", "vic", "--role", "viewer")
    with pytest.raises(Refused, match="engineer or higher is needed"):
        qlrf("approve", task["id"], *seen, operator="vic")
    qlrf("approve", task["id"], *seen, operator="ann", role=Role.ENGINEER)


@pytest.mark.parametrize(
    ("command", "state"),
    [("reject", "rejected"), ("request-changes", "planned"), ("cancel", "cancelled")],
)
def test_every_no_has_a_command(qlrf: Qlrf, task: dict[str, Any], command: str, state: str) -> None:
    seen = () if command == "cancel" else ("--digest", task["digest"][:8])

    told = qlrf(command, task["id"], *seen, "--reason", "not today", *ANN, "--json")

    assert json.loads(told.stdout)["state"] == state


def test_revoking_delegating_and_breaking_glass(qlrf: Qlrf, task: dict[str, Any]) -> None:
    seen = ("--digest", task["digest"][:8])
    ada = ("--as", "ada", "--role", "admin")

    qlrf("delegate", task["id"], "--to", "vic", *seen, *ANN)
    qlrf("break-glass", task["id"], "--reason", "the site is down", *seen, *ada)
    assert "review due" in qlrf("list", "--review-due").stdout
    qlrf("review", task["id"], "--reason", "it was down indeed", *seen, *ANN)
    told = qlrf("revoke", task["id"], "--reason", "it is up again", *seen, *ada, "--json")

    assert json.loads(told.stdout)["state"] == "revoked"
    assert json.loads(qlrf("list", "--json").stdout) == []
    assert len(json.loads(qlrf("list", "--all", "--json").stdout)) == 1


def test_a_task_nobody_knows_is_not_found(qlrf: Qlrf, task: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="qlrf tasks list"):
        qlrf("show", "nobody")
    with pytest.raises(NotFound):
        qlrf("show", task["id"], "--tenant", "beta")


def test_a_task_says_how_its_rollout_stands(qlrf: Qlrf, postgres: Any) -> None:
    from tests.cli.test_rollouts import canary_out

    house = canary_out(postgres)

    shown = qlrf("show", house.id).stdout

    assert "State      executing: approved by ann\n" in shown
    assert "Outcome    its rollout is watching: canary is" in shown


def test_a_task_that_ended_without_a_rollout_says_why(qlrf: Qlrf, postgres: Any) -> None:
    from tests.cli.test_rollouts import claimed

    house = claimed(postgres)
    why = "nothing was changed: i-1 is being changed by another rollout"
    qlrf("close", house.id, "--outcome", "failed", "--reason", why, *ANN)

    assert f"Outcome    {why}" in qlrf("show", house.id).stdout
    assert json.loads(qlrf("show", house.id, "--json").stdout)["outcome"] == why


def test_an_approval_used_in_time_never_ran_out(qlrf: Qlrf, postgres: Any) -> None:
    from tests.cli.test_rollouts import claimed

    house = claimed(postgres)  # days ago, by the machine's own clock

    assert "State      executing: approved by ann\n" in qlrf("show", house.id).stdout


@pytest.mark.parametrize("blank", ["", " "])
def test_an_empty_reason_is_none(qlrf: Qlrf, task: dict[str, Any], blank: str) -> None:
    for verb in (("cancel",), ("close", "--outcome", "failed")):
        with pytest.raises(Rejected, match="--reason is empty"):
            qlrf(*verb, task["id"], "--reason", blank, *ANN)


def test_a_task_is_not_closed_over_its_rollout(qlrf: Qlrf, postgres: Any) -> None:
    from tests.cli.test_rollouts import canary_out

    house = canary_out(postgres)

    with pytest.raises(Refused, match="ends as its rollout does"):
        qlrf("close", house.id, "--outcome", "completed", "--reason", "I looked", *ANN)


def test_only_an_execution_can_be_closed(qlrf: Qlrf, task: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="awaiting_approval"):
        qlrf("close", task["id"], "--outcome", "failed", "--reason", "I looked", *ANN)


def test_the_rows_of_a_list_are_of_the_tenants_asked_for(
    qlrf: Qlrf, task: dict[str, Any], document: Path
) -> None:
    asked = ("--title", "Other", "--document", str(document))
    qlrf("submit", "--tenant", "beta", *asked, *RITA)

    rows = json.loads(qlrf("list", "--tenant", "beta", "--json").stdout)

    assert [TenantId(row["tenant"]) for row in rows] == ["beta"]
    assert len(json.loads(qlrf("list", "--json").stdout)) == 2


def test_a_document_that_is_none_is_rejected(qlrf: Qlrf, tmp_path: Path) -> None:
    wrong = tmp_path / "list.yaml"
    wrong.write_text("- 1\n")

    with pytest.raises(Rejected, match="mapping"):
        qlrf("submit", "--tenant", "a", "--title", "t", "--document", str(wrong), *RITA)


def test_every_decision_is_listed_in_the_help() -> None:
    text = CliRunner().invoke(cli, ["tasks", "--help"]).stdout

    for name in ("approve", "reject", "request-changes", "revoke", "cancel", "delegate"):
        assert f"  {name}" in text


@pytest.mark.parametrize("text", ["port: 22\nport: 443\n", '{"a": {"port": 22, "port": 443}}'])
def test_a_document_that_says_two_things_is_not_asked_for(
    qlrf: Qlrf, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(text)

    with pytest.raises(Rejected, match="the key port stands twice"):
        qlrf("submit", "--tenant", "acme", "--title", "x", "--document", str(path), *RITA)


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "1e12"])
def test_a_time_to_decide_that_is_none_is_rejected(qlrf: Qlrf, document: Path, hours: str) -> None:
    asked = ("--tenant", "acme", "--title", "x", "--document", str(document))

    with pytest.raises(Rejected, match="--expires-hours"):
        qlrf("submit", *asked, "--expires-hours", hours, *RITA)


def test_a_request_is_of_a_tenant_the_estate_declares(
    qlrf: Qlrf, document: Path, tmp_path: Path
) -> None:
    contract = {
        "apiVersion": "qlrf/v1",
        "kind": "Tenant",
        "metadata": {"name": "acme"},
        "spec": {"displayName": "Acme", "connectors": []},
    }
    (tmp_path / "estate").mkdir()
    (tmp_path / "estate" / "acme.yaml").write_text(json.dumps(contract))
    asked = ("--title", "x", "--document", str(document), *RITA)
    estate = tmp_path / "estate"

    with pytest.raises(NotFound, match="No contract declares tenant acmee"):
        qlrf("submit", "--tenant", "acmee", *asked, estate=estate)
    with pytest.raises(Rejected, match="--tenant"):
        qlrf("submit", "--tenant", " ", *asked)
    assert qlrf("submit", "--tenant", "acme", *asked, estate=estate).exit_code == 0


def test_the_same_key_is_the_same_request_and_never_another_one(qlrf: Qlrf, document: Path) -> None:
    asked = ("submit", "--tenant", "acme", "--title", "x", "--key", "k", "--document")
    made = json.loads(qlrf(*asked, str(document), *RITA, "--json").stdout)

    again = json.loads(qlrf(*asked, str(document), *RITA, "--json").stdout)

    assert again["id"] == made["id"]
    document.write_text("port: 80\n")
    with pytest.raises(Refused, match="about another document"):
        qlrf(*asked, str(document), *RITA)
    qlrf("cancel", made["id"], "--reason", "not today", *RITA)
    with pytest.raises(Refused, match="is cancelled; give another key"):
        qlrf(*asked, str(document), *RITA)


def test_nobody_speaks_as_the_platform_or_as_nobody(
    qlrf: Qlrf, task: dict[str, Any], document: Path
) -> None:
    asked = ("--tenant", "acme", "--title", "x", "--document", str(document))
    for name in ("autonomy:full_auto", "policy:maintenance", " Policy:maintenance"):
        with pytest.raises(Refused, match="platform's own name"):
            qlrf("submit", *asked, "--as", name, "--role", "operator")
    for name in ("", " "):
        with pytest.raises(Rejected, match="--as is empty"):
            qlrf("cancel", task["id"], "--reason", "x", "--as", name, "--role", "admin")


def test_a_reason_says_something(qlrf: Qlrf, task: dict[str, Any]) -> None:
    for command in (("cancel",), ("close", "--outcome", "failed")):
        with pytest.raises(Rejected, match="--reason is empty"):
            qlrf(command[0], task["id"], *command[1:], "--reason", " ", *ANN)


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_list_of_nothing_is_bad_usage(qlrf: Qlrf, task: dict[str, Any], limit: str) -> None:
    assert qlrf("list", "--limit", limit).exit_code == 2


def test_who_may_not_approve_is_not_asked_to(qlrf: Qlrf, document: Path) -> None:
    asked = ("--tenant", "acme", "--title", "x", "--document", str(document))

    assert qlrf("submit", *asked, "--approver-role", "viewer", *RITA).exit_code == 2
