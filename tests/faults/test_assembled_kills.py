"""kill -9 of everything that works under `qlrf up`: nothing is done twice, and all of it ends.

One story is told once for all tests of this file: two rollouts and two plain changes, over the real
processes, which are killed at moments chosen by a seed (QLRF_TEST_SEED). Nothing is started again
by hand: whatever comes back, the supervisor and the sensors brought back.
"""

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import dagster as dg
import pytest

from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.notifications import NoteState
from qlrf_pipelines.domain.tasks import ENDED, Task, TaskState
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.operate.doctor import Verdict, examine
from qlrf_pipelines.operate.status import status
from sensors.lost_runs import MOST
from tests.fakes.web import Service, service
from tests.faults.assembled import ACME, Assembled, assembled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SEED = int(os.environ.get("QLRF_TEST_SEED", "1"))
STAGING, DEVELOPMENT = Environment.STAGING, Environment.DEVELOPMENT
# The daemon dies once the decision is kept, once its run is asked for, or while it is launched;
# and again while machines are changed, or while they are brought back.
DECIDED: dict[str, set[str]] = {
    "decided": set(),
    "queued": {"QUEUED", "STARTING", "STARTED"},
    "launching": {"STARTING", "STARTED"},
}
MIDDLE = ("changing", "done", "restoring")
# Begun twice, completed once; tripped, then brought back.
MESSAGES = [
    ("bad", "rollback"),
    ("bad", "rollback"),
    ("bad", "started"),
    ("good", "completed"),
    ("good", "started"),
]


@dataclass(kw_only=True)
class Story:
    """What was asked for, who was killed when, and what was left in the end."""

    house: Assembled
    hears: Service
    good: Task
    bad: Task
    lost: Task
    unanswered: Task
    fleet: list[str]
    sick_fleet: list[str]
    killed: list[str] = field(default_factory=list)
    unsaid: threading.Event = field(default_factory=threading.Event)

    def kill(self, name: str, when: str) -> None:
        """kill -9 of the daemon, the code server or PostgreSQL."""
        self.house.kill(name)
        self.killed.append(f"{name}: {when}")

    def kill_driver(self, task: Task, when: str) -> Callable[[], None]:
        """kill -9 of whoever drives a rollout at the moment this is called."""

        def do() -> None:
            self.house.kill_worker(self.house.driver(task))
            self.killed.append(f"worker: {when}")

        return do

    def told(self, task: Task) -> Counter[str]:
        """What the ledger says of a task, by kind."""
        entries = self.house.world.ledger.entries(ACME)
        return Counter(entry.kind for entry in entries if entry.subject == task.id)

    def state(self, task: Task) -> TaskState:
        return self.house.world.tasks.get(ACME, task.id).task.state

    def ended(self) -> bool:
        tasks = (self.good, self.bad, self.lost, self.unanswered)
        left = self.house.instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED))
        return not left and all(self.state(task) in ENDS for task in tasks)


ENDS = (*ENDED, TaskState.PAUSED)
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def begun(house: Assembled, hears: Service) -> Story:
    """Two fleets to change, a change to approve, and one nobody will decide about."""
    good, bad = house.fleet(3, STAGING), house.fleet(3, DEVELOPMENT)
    house.observed([*good, *bad])
    named = [asset["asset_id"] for asset in bad]
    house.book.sick = {max(named)}
    return Story(
        house=house,
        hears=hears,
        good=house.ask(STAGING),
        bad=house.ask(DEVELOPMENT),
        lost=house.submit("A change whose run is lost"),
        unanswered=house.submit("A change nobody decides about", hours=0.003),
        fleet=[asset["asset_id"] for asset in good],
        sick_fleet=named,
    )


def strikes(story: Story, chance: random.Random) -> None:
    """The moments inside operations at which whoever makes them is killed."""
    book, calls = story.house.book, ["run_instances", "stop_instances", "terminate_instances"]
    for task, call, number in (
        (story.good, chance.choice(calls), chance.randint(1, 3)),
        (story.bad, "start_instances", chance.randint(1, 2)),
    ):
        after = chance.random() < 0.5
        when = f"{'after' if after else 'before'} {call} number {number}"
        about = story.fleet if task is story.good else story.sick_fleet
        book.strike(call, about, story.kill_driver(task, when), number=number, after=after)


def kill_while_telling(story: Story) -> None:
    """The code server dies when a message was sent and not yet marked as sent."""

    def heard(headers: dict[str, str], body: bytes) -> None:
        said = json.loads(body)
        if said.get("rollout") == story.bad.id and not story.unsaid.is_set():
            story.unsaid.set()
            story.kill("code", "while it says that a rollout has started")

    story.hears.on_heard = heard


def tell(story: Story, chance: random.Random) -> None:
    """Approve, kill, and wait until everything has come to its end."""
    house, statuses = story.house, DECIDED[decided := chance.choice(list(DECIDED))]
    strikes(story, chance)
    kill_while_telling(story)
    middle = chance.choice(MIDDLE)
    house.approve(story.lost)
    house.approve(story.good)
    house.until(
        lambda: not statuses or any(r.status.value in statuses for r in house.runs(story.good))
    )
    story.kill("daemon", f"what was approved is {decided}")

    def kill_at_gate(run: str) -> None:
        house.kill_worker(run)
        story.killed.append("worker: at its gate")

    house.at_its_gate(story.lost, kill_at_gate)
    house.approve(story.bad)
    house.until(lambda: story.unsaid.is_set() and house.rows(story.bad)[middle])
    story.kill("daemon", f"a machine is {middle}")
    house.until(lambda: house.rows(story.good)["done"])
    story.kill("database", "a machine is done")
    house.until(story.ended)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with service() as hears, assembled(tmp_path_factory.mktemp("up"), hears.url) as house:
        made = begun(house, hears)
        tell(made, random.Random(SEED))
        yield made


def test_everybody_who_was_to_die_did(story: Story) -> None:
    who = Counter(one.split(":")[0] for one in story.killed)

    assert who == {"daemon": 2, "code": 1, "worker": 3, "database": 1}, story.killed


def test_every_machine_is_replaced_exactly_once_or_brought_back(story: Story) -> None:
    house = story.house
    assert story.state(story.good) is TaskState.COMPLETED
    assert story.state(story.bad) is TaskState.ROLLED_BACK
    for machine in story.fleet:
        [(_, now)] = house.machines(machine)
        assert (house.state_of(machine), now) == ("terminated", "running")
    for machine in story.sick_fleet:
        made = house.machines(machine)
        assert house.state_of(machine) == "running"
        assert [now for _, now in made] in ([], ["terminated"])


def test_each_approval_was_claimed_once_and_begun_once(story: Story) -> None:
    for task in (story.good, story.bad, story.lost):
        record = story.house.world.tasks.get(ACME, task.id)
        assert len(record.claims) == 1
        assert story.told(task)["approval_claimed"] == 1
    for task in (story.good, story.bad):
        assert story.told(task)["rollout_begun"] == 1
        drivers = [run.run_id for run in story.house.runs(task)]
        assert story.told(task)["rollout_driven"] <= len(drivers)


def test_an_approval_whose_run_was_killed_before_it_began_gets_another_one(story: Story) -> None:
    *died, last = (run.status for run in story.house.runs(story.lost))

    assert set(died) == {dg.DagsterRunStatus.FAILURE}
    assert len(died) < MOST
    assert last is dg.DagsterRunStatus.SUCCESS
    assert story.state(story.lost) is TaskState.COMPLETED
    assert story.told(story.lost)["approved_change"] == 1


def test_no_run_is_left_running_whose_process_is_gone(story: Story) -> None:
    assert story.house.instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)) == 0


def test_the_ledger_holds_together(story: Story) -> None:
    assert verify_chain(story.house.world.ledger.entries(ACME)) > 0


def test_what_nobody_decided_about_expired_once(story: Story) -> None:
    assert story.state(story.unanswered) is TaskState.EXPIRED
    assert story.told(story.unanswered)["approval_expired"] == 1
    assert story.house.runs(story.unanswered) == []


def test_every_message_was_sent_and_only_the_one_that_was_cut_off_twice(story: Story) -> None:
    house, outbox = story.house, story.house.world.outbox
    house.until(lambda: len(outbox.list(ACME, states=[NoteState.SENT])) == len(MESSAGES))
    heard = Counter(headers["Idempotency-Key"] for _, headers, _ in story.hears.heard)

    names = {story.good.id: "good", story.bad.id: "bad"}
    notes = outbox.list(ACME)
    said = sorted((names[one.message.subject], one.message.event.value) for one in notes)
    assert said == MESSAGES
    assert {note.message.token for note in notes} == set(heard)
    assert sorted(heard.values()) == [1] * (len(heard) - 1) + [2]


def test_status_and_doctor_tell_who_died_and_that_all_run_again(story: Story) -> None:
    parts = {part.name: part for part in status(story.house.settings).parts}

    assert all(part.running for part in parts.values())
    assert (parts["daemon"].restarts, parts["code"].restarts) == (2, 1)
    findings = {one.check: one for one in examine(story.house.settings)}
    assert "daemon 2" in findings["platform"].found
    assert findings["daemon"].verdict is Verdict.OK
