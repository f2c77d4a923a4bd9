"""The whole way on real parts: rows in Postgres, the sensor, and a service that hears."""

import json
from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.channels import Channel, Place
from qlrf_pipelines.domain.estate import Estate
from qlrf_pipelines.domain.messages import OF_TENANTS
from qlrf_pipelines.domain.patching import Notification
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.news import queue_news
from resources.database.drills import SqlDrills
from resources.database.ledger import SqlLedger
from resources.database.outbox import SqlOutbox
from resources.database.rollouts import SqlRollouts
from resources.database.sessions import Sessions
from resources.database.tasks import SqlTasks
from resources.notify.channels import ChannelNotifier
from resources.secrets import Secrets
from sensors.notifications import Cursor, tell
from tests.fakes.approvals import BETA
from tests.fakes.web import service
from tests.services.gated import Gate
from tests.services.notified import listener
from tests.services.rollout_house import ACME, Hands, House, as_engineer, phase, plan


class Killed(BaseException):
    """The process ends here."""


class DiesBeforeMarking(SqlOutbox):
    def keep(self, *_: Any, **__: Any) -> bool:
        raise Killed


def test_each_step_is_heard_once_and_a_kill_is_made_up_for_under_the_same_token(
    postgres: Any,
) -> None:
    sessions = Sessions(postgres.settings)
    document = plan(
        phase("wave-1", [["i-1"]]), notifications=[listener("change-log", channel="webhook")]
    )
    with service() as web:
        house = House(
            document,
            Hands(["i-1"]),
            tasks=SqlTasks(sessions),
            ledger=SqlLedger(sessions),
            rollouts=SqlRollouts(sessions),
            outbox=SqlOutbox(sessions),
            notifier=ChannelNotifier(Secrets({})),
        )
        (tenant,) = house.world.estate.load().tenants
        place = Place(channel=Channel.WEBHOOK, target="change-log", url=web.url)
        listened = replace(tenant, notifications=(place,))
        house.world.estate.estate = Estate(tenants=(listened,))  # type: ignore[attr-defined]

        house.begin()
        with pytest.raises(Killed):
            tell(replace(house.world, outbox=DiesBeforeMarking(sessions)), Cursor())
        came = tell(house.world, Cursor())  # its cursor died with it
        rollouts.cancel(house.world, ACME, house.id, **as_engineer(reason="wrong day"))
        came = tell(house.world, came.cursor)
        tell(house.world, came.cursor)

    sessions.close()
    heard = [json.loads(body) for _, _, body in web.heard]
    tokens = [headers["Idempotency-Key"] for _, headers, _ in web.heard]
    assert [one["event"] for one in heard] == ["started", "started", "failed"]
    assert tokens[0] == tokens[1] != tokens[2]
    assert heard[2]["reason"] == "ann: wrong day"
    assert set(came.cursor.rest) == {"acme"}


def test_a_request_reaches_people_once_and_a_reminder_that_is_over_reaches_nobody(
    postgres: Any,
) -> None:
    sessions = Sessions(postgres.settings)
    everything = tuple(event.value for event in OF_TENANTS)
    heard = Notification(channel="webhook", target="change-log", events=everything)
    with service() as web:
        ledger = SqlLedger(sessions)
        gate = Gate(
            heard,
            tenants=(ACME, BETA),
            ledger=ledger,
            tasks=SqlTasks(sessions),
            rollouts=SqlRollouts(sessions),
            drills=SqlDrills(sessions),
            outbox=SqlOutbox(sessions),
            notifier=ChannelNotifier(Secrets({})),
        )
        place = Place(channel=Channel.WEBHOOK, target="change-log", url=web.url)
        tenants = [replace(one, notifications=(place,)) for one in gate.estate.estate.tenants]
        gate.estate.estate = Estate(tenants=tuple(tenants))
        task = gate.ask({"port": 443}, title="Open port 443")
        gate.ask({"port": 22}, tenant=BETA)

        queue_news(gate.world, ACME, gate.world.estate.load, after=0)  # killed before it sends
        with pytest.raises(Killed):
            tell(replace(gate.world, outbox=DiesBeforeMarking(sessions)), Cursor())
        gate.tick()
        gate.clock.advance(hours=8)
        gate.sweep()
        web.status = 503
        gate.tick()  # the reminder waits
        gate.decide(task, "approve")
        web.status = 200
        gate.clock.advance(minutes=1)
        gate.tick()
        gate.tick()
        states = [note.state.value for note in gate.notes()]
        others = gate.notes(BETA)

    sessions.close()
    told = [json.loads(body) for _, _, body in web.heard]
    tokens = [headers["Idempotency-Key"] for _, headers, _ in web.heard]
    assert [one["event"] for one in told] == [
        "approval_requested",
        "approval_requested",
        "approval_reminder",  # refused by its receiver, and not sent again
        "approval_decided",
    ]
    assert tokens[0] == tokens[1]
    assert told[0]["facts"]["what"] == "Open port 443"
    assert states == ["sent", "obsolete", "sent"]
    assert others == []
    assert {one["tenant"] for one in told} == {"acme"}
