"""From evidence to messages: each once, late rather than never, and never in a rollout's way."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.errors import Denied, Rejected, Unavailable
from qlrf_pipelines.domain.estate import Estate, Tenant, TenantId
from qlrf_pipelines.domain.messages import Message
from qlrf_pipelines.domain.notifications import Note, NoteState
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.services.claims import finish
from sensors.notifications import BUDGET, Cursor, notifications
from tests.fakes.approvals import ACME, BETA, first
from tests.fakes.ledger import FakeLedger
from tests.fakes.world import fake_world
from tests.services.notified import Desk, listener


def down(message: Message, target: str) -> None:
    raise Unavailable("nobody answers")


def down_for(*targets: str) -> Callable[[Message, str], None]:
    def refuse(message: Message, target: str) -> None:
        if target in targets:
            raise Unavailable(f"{target} does not answer")

    return refuse


def test_a_listener_hears_only_of_what_it_asked_for() -> None:
    desk = Desk(listener("#all"), listener("#bad", events=["failed", "rollback"]))
    for step in ("begun", "asset_changed", "phase_done", "tripped", "restored"):
        desk.happens(step)

    desk.tick()

    heard = [(target, message.event.value) for message, _, target in desk.notifier.taken]
    assert [event for target, event in heard if target == "#all"] == [
        "started",
        "rollback",
        "rollback",
    ]
    assert [event for target, event in heard if target == "#bad"] == ["rollback", "rollback"]


def test_the_same_entries_read_again_are_sent_once() -> None:
    desk = Desk()
    desk.happens("begun")
    desk.tick()

    desk.cursor = Cursor()  # a factory-new sensor: the outbox remembers
    desk.tick()

    assert desk.notifier.events == ["started"]


def test_what_could_not_be_sent_is_sent_later_in_its_order_and_nothing_waits_for_it() -> None:
    desk = Desk()
    desk.notifier.refuse = down
    desk.happens("begun")
    desk.happens("held", reason="look at it")
    first_tick = desk.tick()
    assert len(desk.notifier.asked) == 1  # a place that is down is asked once per turn

    desk.notifier.refuse = lambda message, target: None
    desk.tick()
    assert desk.notifier.events == []
    desk.clock.advance(seconds=30)
    desk.tick()

    assert desk.notifier.events == ["started", "paused"]
    assert [note.attempts for note in desk.notes()] == [2, 1]
    assert any("nobody answers" in line for line in first_tick.said)


def test_waits_double_and_end_after_a_day_with_evidence_of_who_was_not_told() -> None:
    desk = Desk()
    desk.notifier.refuse = down
    desk.happens("gave_up", reason="3 assets failed")
    waits = []

    while desk.outbox.list(ACME, states=[NoteState.WAITING]) or not waits:
        before = desk.clock.now()
        desk.tick()
        (note,) = desk.notes()
        desk.clock.moment = max(note.due_at, before + timedelta(seconds=1))
        waits.append(note.due_at - before)

    assert [wait.total_seconds() for wait in waits[:7]] == [30, 60, 120, 240, 480, 900, 900]
    (note,) = desk.notes()
    (fact,) = desk.lost()
    assert note.state is NoteState.LOST
    assert note.attempts < 110
    assert fact["key"] == note.key
    assert (fact["channel"], fact["target"]) == ("slack", "#ops")
    assert "nobody answers" in fact["why"]
    desk.clock.advance(hours=24)
    desk.tick()
    assert len(desk.lost()) == 1


def test_news_older_than_a_day_is_not_sent_as_if_it_were_new() -> None:
    desk = Desk()
    desk.happens("finished")
    desk.clock.advance(hours=25)

    desk.tick()

    assert desk.notifier.asked == []
    assert "older" in desk.lost()[0]["why"]


@pytest.mark.parametrize("error", [Denied("the hook is revoked"), Rejected("no such secret")])
def test_what_somebody_has_to_mend_is_asked_again_every_quarter_of_an_hour(
    error: Denied | Rejected,
) -> None:
    desk = Desk()

    def refuse(message: Message, target: str) -> None:
        raise error

    desk.notifier.refuse = refuse
    desk.happens("begun")
    desk.tick()
    desk.clock.advance(minutes=14)
    desk.tick()
    assert len(desk.notifier.asked) == 1

    desk.notifier.refuse = lambda message, target: None
    desk.clock.advance(minutes=1)
    desk.tick()

    assert desk.notifier.events == ["started"]


def test_a_target_without_a_place_is_said_and_sent_once_there_is_one() -> None:
    desk = Desk()
    without = Tenant(name=ACME, display_name="Acme")
    kept, desk.estate.estate = desk.estate.estate, Estate(tenants=(without,))
    desk.happens("begun")
    came = desk.tick()
    assert any("no place for slack #ops" in line for line in came.said)

    desk.estate.estate = kept
    desk.clock.advance(minutes=15)
    desk.tick()

    assert desk.notifier.events == ["started"]


def test_killed_between_sending_and_marking_it_is_sent_once_more_with_the_same_token() -> None:
    desk = Desk()
    desk.happens("begun")

    def die(note: Note) -> None:
        raise KeyboardInterrupt

    desk.outbox.before_keep = die
    with pytest.raises(KeyboardInterrupt):
        desk.tick()
    desk.outbox.before_keep = lambda note: None
    desk.tick()
    desk.tick()

    tokens = [message.token for message in desk.notifier.asked]
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert [note.state for note in desk.notes()] == [NoteState.SENT]


def test_one_tenants_trouble_stops_no_other() -> None:
    desk = Desk(tenants=(ACME, BETA))
    desk.happens("begun")
    desk.happens("begun", tenant=BETA)
    whole = desk.ledger.entries

    class Broken(FakeLedger):
        def entries(self, tenant: TenantId, *, after: int = 0) -> Any:
            if tenant == ACME:
                raise Unavailable("its pages cannot be read")
            return whole(tenant, after=after)

    broken = Broken()
    broken.kept = desk.ledger.kept
    healthy, desk.world = (
        desk.world,
        fake_world(
            clock=desk.clock,
            notifier=desk.notifier,
            ledger=broken,
            tasks=desk.tasks,
            outbox=desk.outbox,
            estate=desk.estate,
        ),
    )

    came = desk.tick()
    assert [message.tenant for message, _, _ in desk.notifier.taken] == [BETA]
    assert any("acme" in line and "later" in line for line in came.said)

    desk.world = healthy
    desk.tick()
    assert [message.tenant for message, _, _ in desk.notifier.taken] == [BETA, ACME]


def test_a_slow_tenant_uses_up_its_turn_and_no_other_one() -> None:
    desk = Desk(tenants=(ACME, BETA))

    def slow(message: Message, target: str) -> None:
        if message.tenant == ACME:
            desk.clock.advance(seconds=BUDGET.total_seconds())
            raise Unavailable("too late")

    desk.notifier.refuse = slow
    desk.happens("begun")
    desk.happens("begun", tenant=BETA)

    desk.tick()
    assert desk.cursor.turn == "beta"
    desk.tick()

    assert [message.tenant for message, _, _ in desk.notifier.taken] == [BETA]


def test_one_dead_channel_stops_no_other_of_the_same_tenant() -> None:
    desk = Desk(listener("#dead"), listener("#ops"))
    desk.notifier.refuse = down_for("#dead")
    for step in ("begun", "held", "resumed", "finished"):
        desk.happens(step)

    desk.tick()

    assert {target for _, _, target in desk.notifier.taken} == {"#ops"}
    assert desk.notifier.events == ["started", "paused", "completed"]


def test_what_was_claimed_and_never_begun_is_told_as_failed_once() -> None:
    desk = Desk()
    world = desk.world
    finish(world, ACME, "t-1", outcome=TaskState.FAILED, by="run-1", detail="an asset is locked")

    desk.tick()

    ((message, _, _),) = desk.notifier.taken
    assert message.event.value == "failed"
    assert message.says == "did not begin: nothing was changed"
    assert message.reason == "an asset is locked"


@pytest.mark.parametrize(
    "given", [None, "all", [1], [{"channel": []}], [listener(events="failed")], [listener("")]]
)
def test_a_document_that_is_no_plan_tells_nobody_and_breaks_nothing(given: Any) -> None:
    desk = Desk()
    content = {"notifications": given}
    desk.tasks.submit(BETA, first(tenant=BETA, content=content))
    desk.happens("begun", tenant=BETA)
    desk.happens("begun")

    came = desk.tick()

    assert came.said == ()
    assert [message.tenant for message, _, _ in desk.notifier.taken] == [ACME]


def test_a_tenant_at_rest_is_not_looked_at_until_its_tasks_move() -> None:
    desk = Desk()
    finish(desk.world, ACME, "t-1", outcome=TaskState.COMPLETED, by="run-1")
    desk.tick()
    assert desk.cursor.rest == {"acme": desk.tasks.tenants()[ACME]}

    desk.tasks.submit(ACME, first("t-2", content={"notifications": [listener()]}))
    desk.tick()

    assert desk.cursor.seen["acme"] == desk.ledger.kept[ACME][-1].seq


def test_an_estate_that_cannot_be_read_delays_and_loses_nothing() -> None:
    desk = Desk()
    desk.estate.error = Rejected("tenants/acme.yaml:3 is wrong")
    desk.happens("begun")
    came = desk.tick()
    assert any("tenants/acme.yaml:3" in line for line in came.said)

    desk.estate.error = None
    desk.clock.advance(minutes=15)
    desk.tick()

    assert desk.notifier.events == ["started"]


def test_while_somebody_else_sends_nothing_is_sent_beside_it() -> None:
    desk = Desk()
    desk.happens("begun")

    with desk.world.locks.hold(["notifications:acme"], wait_seconds=0):
        desk.tick()
    assert desk.notifier.asked == []

    desk.tick()
    assert desk.notifier.events == ["started"]


def test_the_sensor_keeps_its_cursor_and_says_what_it_did() -> None:
    desk = Desk()
    desk.happens("begun")

    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, resources={"world": desk.world}) as context,
    ):
        result = notifications(context)
        cursor = context.cursor

    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "1 messages sent, 0 given up."
    assert Cursor.read(cursor).seen == {"acme": desk.ledger.kept[ACME][-1].seq}
