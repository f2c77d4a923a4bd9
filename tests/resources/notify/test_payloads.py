"""What each service is sent, byte for byte where it matters, also when the words are hostile."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from qlrf_pipelines.domain.channels import Smtp
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.messages import About, Event, Message, compose
from resources.notify import mail, pagerduty, slack, webhook
from tests.fakes.clock import NOON
from tests.fakes.messages import ACME, message, request
from tests.fakes.web import service

SMTP = Smtp(host="mail.example.com", sender="qlrf@example.com")
HOSTILE = (
    "<!channel> *see* <https://evil.example/login?token=abc|the fix> & \u202egnp.exe\r\n"
    "Bcc: all@example.com\x1b[2J\x00 password=hunter2"
)


def hostile() -> Message:
    return compose(
        key="acme:7:slack:#ops",
        event=Event.FAILED,
        about=About.ROLLOUT,
        tenant=ACME,
        subject="t-1",
        environment="prod\r\nBcc: x@example.com",
        policy="<!here>",
        digest="f" * 64,
        says="has failed",
        reason=HOSTILE,
        assets={"failed": 1},
        at=NOON,
    )


def texts(found: object) -> list[str]:
    if isinstance(found, dict):
        return [text for value in found.values() for text in texts(value)]
    if isinstance(found, list):
        return [text for value in found for text in texts(value)]
    return [found] if isinstance(found, str) else []


def test_slack_shows_what_happened_in_plain_text() -> None:
    sent = slack.payload(message())

    (attachment,) = sent["attachments"]
    (block,) = attachment["blocks"]
    assert sent["text"] == "Rollout t-1 of acme in production is being rolled back"
    assert block["text"]["type"] == "plain_text"
    assert block["text"]["text"].splitlines() == [
        "Reason: failure_share is 0.4, above 0.2",
        "Assets: 3 done, 2 failed",
        "Policy: critical-security",
        "Digest: 0123456789ab",
        "When: 2026-11-01T12:00:00Z",
        "Look: qlrf rollouts show t-1 --tenant acme",
    ]


def test_slack_shows_who_decides_what_until_when() -> None:
    sent = slack.payload(request())

    (block,) = sent["attachments"][0]["blocks"]
    assert sent["text"] == "Task t-1 of acme in production asks for approval"
    assert block["text"]["text"].splitlines() == [
        "What: Change 12 production assets",
        "Assets: 12 planned",
        "Risk: high, 61.5 of 100",
        "Digest: 0123456789ab",
        "Asked by: rita",
        "Until: 2026-11-02T12:00:00Z",
        "Approvals: 0 of 2: 2 more from engineer or higher, not the requester",
        "When: 2026-11-01T12:00:00Z",
        "Look: qlrf tasks show t-1 --tenant acme",
    ]


def test_no_message_can_be_decided_in() -> None:
    sent = slack.payload(request())

    assert {block["type"] for block in sent["attachments"][0]["blocks"]} == {"section"}
    assert "accessory" not in json.dumps(sent)
    assert "links" not in pagerduty.payload(request(), routing_key="k")


def test_hostile_words_mention_nobody_in_slack_and_link_nowhere() -> None:
    sent = slack.payload(hostile())

    assert "<" not in sent["text"]
    assert ">" not in sent["text"]
    (block,) = sent["attachments"][0]["blocks"]
    assert block["text"]["type"] == "plain_text"  # Slack reads no mention and no link in it
    assert len(block["text"]["text"].splitlines()) == 6


@pytest.mark.parametrize("event", list(Event))
def test_every_event_has_its_colour_and_its_severity(event: Event) -> None:
    told = message(event=event)

    assert slack.payload(told)["attachments"][0]["color"].startswith("#")
    severity = pagerduty.payload(told, routing_key="k")["payload"]["severity"]
    assert severity in {"critical", "error", "warning", "info"}


def test_a_rollout_is_one_incident_and_its_end_resolves_it() -> None:
    failed = pagerduty.payload(message(event=Event.FAILED, key="a"), routing_key="k")
    completed = pagerduty.payload(
        message(event=Event.COMPLETED, key="b", resolves=True), routing_key="k"
    )
    other = pagerduty.payload(message(event=Event.FAILED, subject="t-2"), routing_key="k")

    assert (failed["event_action"], completed["event_action"]) == ("trigger", "resolve")
    assert failed["dedup_key"] == completed["dedup_key"] != other["dedup_key"]
    assert len(failed["dedup_key"]) <= 255
    assert failed["payload"]["severity"] == "critical"
    assert failed["payload"]["source"] == "acme"


def test_a_decision_resolves_the_incident_of_its_request_and_no_broken_glass() -> None:
    def sent(event: Event, **parts: Any) -> dict[str, Any]:
        return pagerduty.payload(request(event=event, **parts), routing_key="k")

    asked, reminded = sent(Event.APPROVAL_REQUESTED), sent(Event.APPROVAL_REMINDER)
    decided = sent(Event.APPROVAL_DECIDED, resolves=True)
    glass, reviewed = sent(Event.GLASS_BROKEN), sent(Event.GLASS_BROKEN, resolves=True)

    assert asked["event_action"] == reminded["event_action"] == glass["event_action"] == "trigger"
    assert decided["event_action"] == reviewed["event_action"] == "resolve"
    assert asked["dedup_key"] == reminded["dedup_key"] == decided["dedup_key"]
    assert glass["dedup_key"] == reviewed["dedup_key"] != asked["dedup_key"]
    assert asked["payload"]["severity"] == "warning"
    assert asked["payload"]["summary"].endswith("asks for approval: Change 12 production assets")
    assert asked["payload"]["custom_details"]["Until"] == "2026-11-02T12:00:00Z"


def test_a_summary_is_never_longer_than_pagerduty_takes() -> None:
    sent = pagerduty.payload(message(reason="x" * 5000), routing_key="k")

    assert len(sent["payload"]["summary"]) == 1024


def test_a_mail_is_plain_text_with_the_same_id_for_ever() -> None:
    first, again = (mail.letter(message(), smtp=SMTP, to="ops@example.com") for _ in range(2))

    assert first["Subject"] == "[QL-RF] Rollout t-1 of acme in production is being rolled back"
    assert first.get_content_type() == "text/plain"
    assert "Look: qlrf rollouts show t-1 --tenant acme" in first.get_content()
    assert first["Message-ID"] == again["Message-ID"]
    assert first["Auto-Submitted"] == "auto-generated"


def test_a_mail_that_asks_says_what_and_until_when() -> None:
    letter = mail.letter(request(), smtp=SMTP, to="ops@example.com")

    assert letter["Subject"] == "[QL-RF] Task t-1 of acme in production asks for approval"
    assert letter["X-QLRF-Event"] == "approval_requested"
    text = letter.get_content()
    assert "Approvals: 0 of 2: 2 more from engineer or higher, not the requester\n" in text
    assert "Look: qlrf tasks show t-1 --tenant acme\n" in text


def test_hostile_words_add_no_header_and_no_recipient_to_a_mail() -> None:
    letter = mail.letter(hostile(), smtp=SMTP, to="ops@example.com")

    assert letter["Bcc"] is None
    assert letter["To"] == "ops@example.com"
    assert b"\r\nBcc:" not in bytes(letter).partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("to", ["ops@example.com\r\nBcc: all@example.com", "a@b\nX: y"])
def test_a_hostile_address_is_refused(to: str) -> None:
    with pytest.raises(Rejected, match="no mail address"):
        mail.letter(message(), smtp=SMTP, to=to)


def test_no_channel_carries_what_moves_hides_or_tells_a_secret() -> None:
    told = hostile()
    letter = mail.letter(told, smtp=SMTP, to="ops@example.com")
    sent: list[Any] = [
        slack.payload(told),
        pagerduty.payload(told, routing_key="k"),
        told.document(),
        [letter["Subject"], *letter.get_content().splitlines()],
    ]

    for text in texts(sent):
        assert "hunter2" not in text
        assert "token=abc" not in text
        assert "\u202e" not in text
        assert all(c.isprintable() or c == "\n" for c in text)


def test_a_webhook_s_receiver_can_verify_who_sent_it() -> None:
    with service() as web:
        webhook.send(message(), url=web.url, secret="a key", what="it", seconds=5)

    ((method, headers, body),) = web.heard
    signed = hmac.new(b"a key", body, hashlib.sha256).hexdigest()
    assert (method, headers["Content-Type"]) == ("POST", "application/json")
    assert headers["X-QLRF-Signature"] == f"sha256={signed}"
    assert headers["X-QLRF-Event"] == "rollback"
    assert json.loads(body) == message().document()


def test_a_webhook_is_sent_a_request_with_all_its_facts() -> None:
    with service() as web:
        webhook.send(request(), url=web.url, secret=None, what="it", seconds=5)

    found = json.loads(web.heard[0][2])
    assert (found["event"], found["about"], found["subject"]) == (
        "approval_requested",
        "task",
        "t-1",
    )
    assert found["facts"]["until"] == "2026-11-02T12:00:00Z"
    assert "rollout" not in found
    assert message().document()["rollout"] == "t-1"


def test_without_a_secret_a_webhook_is_not_signed() -> None:
    with service() as web:
        webhook.send(message(), url=web.url, secret=None, what="it", seconds=5)

    assert "X-QLRF-Signature" not in web.heard[0][1]
