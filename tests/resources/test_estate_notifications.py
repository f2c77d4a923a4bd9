"""Where messages go is checked before it is needed, and no secret is shown."""

import json
from pathlib import Path

import pytest

from qlrf_pipelines.domain.channels import Channel, Tls
from qlrf_pipelines.domain.messages import OF_PLANS, OF_ROLLOUTS, OF_TENANTS
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


def with_subscription(folder: Path, listener: str, places: str = "") -> Path:
    head = "apiVersion: qlrf/v1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n"
    text = f"{head}{places}  subscriptions:\n    - {listener}\n"
    return issue_estate(folder, tenants__acme=text)


def said(folder: Path) -> list[str]:
    return [f"{problem.field}: {problem.message}" for problem in problems(folder)]


def test_the_example_says_how_everybody_is_reached() -> None:
    (acme, *_) = FolderEstate(CONTRACTS / "examples").load().tenants

    assert {place.channel for place in acme.notifications} == set(Channel)
    (mail,) = [place for place in acme.notifications if place.channel is Channel.EMAIL]
    assert mail.smtp is not None
    assert (mail.smtp.port, mail.smtp.tls) == (587, Tls.STARTTLS)
    references = [ref for place in acme.notifications for ref in place.credentials.values()]
    assert all(reference.startswith("env:") for reference in references)


def test_the_example_says_who_hears_of_approvals_and_drills() -> None:
    (acme, *_) = FolderEstate(CONTRACTS / "examples").load().tenants

    heard = {event for one in acme.subscriptions for event in one.events}
    assert {"approval_requested", "approval_reminder", "drill_failed"} <= heard


def enums(name: str) -> list[list[str]]:
    def of(part: object) -> list[list[str]]:
        if isinstance(part, dict):
            own = [part["enum"]] if part.get("description") == "An event." else []
            return own + [found for value in part.values() for found in of(value)]
        return []

    return of(json.loads((CONTRACTS / f"{name}.schema.json").read_text()))


def test_contracts_name_the_events_there_are() -> None:
    assert enums("tenant") == [[event.value for event in OF_TENANTS]]
    policies = [event.value for event in (*OF_ROLLOUTS, *OF_PLANS)]
    assert enums("patch_policy") == enums("plan") == [policies]


SLACK = '  notifications:\n    - {channel: slack, target: "#ops", credentials: {url: "env:U"}}\n'


@pytest.mark.parametrize(
    ("listener", "field", "message"),
    [
        (
            '{channel: slack, target: "#elsewhere", events: [glass_broken]}',
            "target",
            'is slack "#elsewhere", and no place of this tenant is for it',
        ),
        (
            "{channel: pagerduty, target: on-call, events: [drill_held]}",
            "target",
            'is pagerduty "on-call", and no place of this tenant is for it',
        ),
        (
            '{channel: slack, target: "env:HOOK", events: [drill_held]}',
            "target",
            "is a reference, and a subscription holds none",
        ),
        (
            "{channel: email, target: ops, events: [drill_held]}",
            "target",
            'is "ops", which is no address',
        ),
        (
            '{channel: teams, target: "#ops", events: [drill_held]}',
            "channel",
            'is "teams", which is not one of: slack, email, webhook, pagerduty',
        ),
        ('{channel: slack, target: "#ops", events: [started]}', "events[0]", 'is "started"'),
        ('{channel: slack, target: "#ops", events: []}', "events", "is empty"),
    ],
)
def test_a_subscription_nobody_could_hear_is_refused_with_its_place(
    tmp_path: Path, listener: str, field: str, message: str
) -> None:
    folder = with_subscription(tmp_path, listener, SLACK)

    (problem,) = problems(folder)

    assert problem.field == f"spec.subscriptions[0].{field}"
    assert problem.message.startswith(message)
    assert problem.file.endswith("acme.yaml")
    assert problem.line == 8
    assert problem.remedy


def test_a_listener_is_subscribed_once(tmp_path: Path) -> None:
    one = '{channel: slack, target: "#ops", events: [drill_held]}'
    folder = with_subscription(tmp_path, f"{one}\n    - {one.replace('held', 'due')}", SLACK)

    (message,) = said(folder)

    assert message == 'spec.subscriptions[1]: is slack "#ops", as line 8 is'


def test_a_webhook_that_is_an_address_needs_no_place(tmp_path: Path) -> None:
    listener = '{channel: webhook, target: "https://x.example/qlrf", events: [drill_failed]}'

    (acme,) = FolderEstate(with_subscription(tmp_path, listener)).load().tenants

    assert [one.events for one in acme.subscriptions] == [("drill_failed",)]


def test_what_is_wrong_with_a_place_is_said_once(tmp_path: Path) -> None:
    listener = '{channel: slack, target: "#ops", events: [drill_failed]}'
    places = '  notifications:\n    - {channel: pigeon, target: "#ops"}\n'

    (message,) = said(with_subscription(tmp_path, listener, places))

    assert message.startswith("spec.notifications[0].channel: ")


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
