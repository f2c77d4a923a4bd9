"""What a message says, however hostile its words are, and how long it is tried."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.channels import Channel, Place, find_place
from qlrf_pipelines.domain.messages import (
    OF_APPROVALS,
    OF_ROLLOUTS,
    OF_TENANTS,
    About,
    Event,
    about,
    plain,
    read_message,
)
from qlrf_pipelines.domain.notifications import NoteState, after_failure
from qlrf_pipelines.domain.rollout import ENDED, NEXT
from qlrf_pipelines.domain.rollout_news import STEPS
from tests.fakes.clock import NOON
from tests.fakes.messages import message, note, request

OPS = Place(channel=Channel.SLACK, target="#ops")
OTHERS = Place(channel=Channel.SLACK)


def test_every_end_of_a_rollout_and_every_wait_for_a_person_is_an_event() -> None:
    ends = {event for (_, event), state in NEXT.items() if state in ENDED}
    waits = {event for (_, event), state in NEXT.items() if state in ("paused", "held", "stuck")}

    assert {f"rollout_{event}" for event in ends | waits} <= set(STEPS)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (
            "https://hooks.example/T0/B0/secret did not answer",
            "https://hooks.example/… did not answer",
        ),
        ("see http://u:p@10.0.0.1:8080/health?token=x now", "see http://10.0.0.1:8080/… now"),
        ("postgresql://me:pw@db answers", "postgresql://db answers"),
        ("password=hunter2 and API_KEY: abc", "password=… and API_KEY: …"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("one\r\ntwo\x00\x1b[31m\u202ethree\u200b", "one two [31m three"),
        ("failure_share is 0.4, above 0.2", "failure_share is 0.4, above 0.2"),
    ],
)
def test_a_reason_is_one_line_without_secrets(said: str, left: str) -> None:
    assert plain(said, 500) == left


@given(st.text(max_size=300), st.integers(1, 100))
def test_whatever_was_said_is_short_printable_and_one_line(said: str, longest: int) -> None:
    found = plain(said, longest)

    assert len(found) <= longest
    assert not set(found) & set("\r\n\t\x00\u202e\u2066\u200b")
    assert plain(found, longest) == found


@given(st.text(alphabet="abcXYZ019-_", min_size=4))
def test_no_path_or_query_of_an_address_is_left(secret: str) -> None:
    assert f"/{secret}" not in plain(f"https://host/{secret} and https://host/?k={secret}", 500)


@given(st.sampled_from(list(Event)), st.text(max_size=40))
def test_a_message_is_read_as_it_was_kept(event: Event, reason: str) -> None:
    told = message(event=event, reason=reason)

    assert read_message(told.document()) == told


def test_a_request_is_read_as_it_was_kept_whatever_order_its_facts_came_back_in() -> None:
    told = request()
    kept = json.loads(json.dumps(told.document(), sort_keys=True))

    assert read_message(kept) == told
    assert read_message(kept).lines == told.lines


@pytest.mark.parametrize("event", [Event.COMPLETED, Event.FAILED])
def test_a_message_that_was_kept_before_there_were_others_is_of_a_rollout(event: Event) -> None:
    told = message(event=event, resolves=event is Event.COMPLETED)
    new = ("about", "subject", "facts", "only_while", "resolves")
    kept = {name: value for name, value in told.document().items() if name not in new}

    assert read_message(kept) == told


def test_every_event_is_of_a_rollout_or_of_what_tenants_subscribe_to() -> None:
    assert sorted([*OF_ROLLOUTS, *OF_TENANTS]) == sorted(Event)
    assert {event for event in Event if about(event) is About.ROLLOUT} == set(OF_ROLLOUTS)
    assert {event for event in Event if about(event) is About.TASK} == set(OF_APPROVALS)


def test_a_broken_glass_is_a_matter_of_its_own() -> None:
    asked, decided = request(), request(event=Event.APPROVAL_DECIDED)
    broken = request(event=Event.GLASS_BROKEN)

    assert asked.incident == decided.incident != broken.incident
    assert asked.incident != message().incident  # a task is not the rollout of its name


def test_the_token_is_the_keys_and_fits_a_header() -> None:
    assert message().token == message(reason="another").token
    assert message().token != message(key="acme:8:slack:#ops").token
    assert message(key="acme:7:slack:#größe\r\n").token.isalnum()


def test_a_targets_own_place_comes_before_the_one_for_every_other() -> None:
    assert find_place([OTHERS, OPS], Channel.SLACK, "#ops") == OPS
    assert find_place([OTHERS, OPS], Channel.SLACK, "#dev") == OTHERS
    assert find_place([OPS], Channel.SLACK, "#dev") is None
    assert find_place([OPS], Channel.EMAIL, "#ops") is None


def test_a_webhook_that_is_an_address_needs_no_place_and_is_signed_if_there_is_one() -> None:
    url = "https://changes.example/qlrf"
    signed = Place(channel=Channel.WEBHOOK, credentials={"secret": "env:S"})

    bare = find_place([], Channel.WEBHOOK, url)
    assert bare is not None
    assert bare.address(url) == url
    assert find_place([signed], Channel.WEBHOOK, url) == signed
    assert signed.address(url) == url
    assert find_place([], Channel.WEBHOOK, "change-log") is None


@given(st.integers(0, 60), st.booleans())
def test_a_failure_is_tried_again_later_but_not_for_ever(attempts: int, passing: bool) -> None:
    before = note(attempts=attempts)

    after = after_failure(before, "no", passing=passing, now=NOON)
    late = after_failure(before, "no", passing=passing, now=before.give_up_at)

    assert NOON < after.due_at <= NOON + timedelta(minutes=15)
    assert after.state is NoteState.WAITING
    assert late.state is NoteState.LOST
    assert late.attempts == attempts + 1
