"""Where messages go is checked before it is needed, and no secret is shown."""

from pathlib import Path

import pytest

from qlrf_pipelines.domain.channels import Channel, Tls
from resources.estate import FolderEstate
from tests.fakes.contracts import issue_estate, problems
from tests.tools.check import CONTRACTS

POLICY = """\
apiVersion: qlrf/v1
kind: PatchPolicy
metadata: {name: fast}
spec:
  selector: {platforms: [aws]}
  source: {type: os-vendor}
  strategy: {type: immediate}
  notifications:
    - {channel: slack, target: "#ops", events: [failed]}
"""


def with_places(folder: Path, text: str) -> Path:
    head = "apiVersion: qlrf/v1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n"
    return issue_estate(folder, tenants__acme=f"{head}  notifications:\n{text}\n")


def said(folder: Path) -> list[str]:
    return [f"{problem.field}: {problem.message}" for problem in problems(folder)]


def test_the_example_says_how_everybody_is_reached() -> None:
    (acme, _) = FolderEstate(CONTRACTS / "examples").load().tenants

    assert {place.channel for place in acme.notifications} == set(Channel)
    (mail,) = [place for place in acme.notifications if place.channel is Channel.EMAIL]
    assert mail.smtp is not None
    assert (mail.smtp.port, mail.smtp.tls) == (587, Tls.STARTTLS)
    references = [ref for place in acme.notifications for ref in place.credentials.values()]
    assert all(reference.startswith("env:") for reference in references)


def test_a_secret_written_out_is_refused_and_not_repeated(tmp_path: Path) -> None:
    url = "https://hooks.slack.example/T0/B0/very-hidden"
    folder = with_places(tmp_path, f'    - {{channel: slack, credentials: {{url: "{url}"}}}}')

    (problem,) = problems(folder)

    assert problem.field == "spec.notifications[0].credentials.url"
    assert "very-hidden" not in str(problem)
    assert "env:NAME" in str(problem)


@pytest.mark.parametrize(
    ("place", "field", "message"),
    [
        ("{channel: slack}", "credentials.url", "is missing, and slack needs it"),
        ("{channel: pagerduty}", "credentials.routingKey", "is missing, and pagerduty needs it"),
        ("{channel: email}", "smtp", "is missing, and email needs it"),
        ("{channel: webhook, target: log}", "url", 'is missing, and "log" is no URL'),
        (
            '{channel: webhook, credentials: {routingKey: "env:K"}}',
            "credentials.routingKey",
            "is no field of webhook",
        ),
        (
            '{channel: slack, url: "https://x.example", credentials: {url: "env:U"}}',
            "url",
            "is no field of slack",
        ),
        (
            '{channel: email, smtp: {host: m, from: a@b.example}, credentials: {user: "env:U"}}',
            "credentials",
            "has one of user and password",
        ),
        (
            "{channel: email, smtp: {host: m, from: a@b.example, tls: none}, "
            'credentials: {user: "env:U", password: "env:P"}}',
            "smtp.tls",
            "is none, so that the password could be read on its way",
        ),
    ],
)
def test_a_place_that_could_not_work_is_refused(
    tmp_path: Path, place: str, field: str, message: str
) -> None:
    folder = with_places(tmp_path, f"    - {place}")

    assert said(folder) == [f"spec.notifications[0].{field}: {message}"]


def test_two_places_for_the_same_target_are_refused(tmp_path: Path) -> None:
    place = '    - {channel: slack, target: "#ops", credentials: {url: "env:A"}}\n'
    folder = with_places(tmp_path, place + place.replace("env:A", "env:B"))

    (message,) = said(folder)

    assert message.startswith('spec.notifications[1]: is for slack "#ops", as line ')


@pytest.mark.parametrize(
    ("channel", "target", "message"),
    [
        ("slack", "env:HOOK", "is a reference, and a policy holds none"),
        ("email", "#ops", 'is "#ops", which is no address'),
        ("email", "a@b.example, c@d.example", "which is no address"),
    ],
)
def test_a_listener_nobody_could_reach_is_refused(
    tmp_path: Path, channel: str, target: str, message: str
) -> None:
    text = POLICY.replace("channel: slack", f"channel: {channel}").replace("#ops", target)
    folder = issue_estate(tmp_path, patches__fast=text)

    (found,) = said(folder)

    assert found.startswith("spec.notifications[0].target: ")
    assert message in found
