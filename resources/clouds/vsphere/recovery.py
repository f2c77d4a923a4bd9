"""Virtual machines that come back as clones of their newest snapshot, isolated until switched."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from qlrf_pipelines.domain.errors import Refused, Unavailable
from qlrf_pipelines.domain.operations import Progress
from qlrf_pipelines.domain.recovery import (
    Member,
    Move,
    MoveKind,
    Replication,
    ReplicationStatus,
    Serving,
    Side,
)
from qlrf_pipelines.ports.clock import Clock
from qlrf_pipelines.ports.recovery import Canary, RecoveryAdapter, RecoverySession
from resources.recovery.answering import ANSWERS
from resources.recovery.canary import member_canary
from resources.recovery.steps import Step, SteppedSession, digest, failed, running, succeeded
from resources.secrets import Secrets

if TYPE_CHECKING:
    from resources.clouds.vsphere.recovery_calls import Machine, VsphereCalls
    from resources.clouds.vsphere.recovery_settings import Vcenter, VsphereSettings

Reach = Callable[["Vcenter", Mapping[str, str]], "VsphereCalls"]
DRILL, MEMBER, SOURCE, FENCED = "qlrf.drill", "qlrf.member", "qlrf.source", "qlrf.fenced"
ON, OFF = "poweredOn", "poweredOff"


class VsphereRecovery(RecoveryAdapter):
    """Moves virtual machines; the SDK is loaded when a member is opened."""

    name = "vsphere"
    version = "1"
    answers = ANSWERS[name]

    def __init__(
        self, *, secrets: Secrets, clock: Clock, timeout: float = 30, reach: Reach | None = None
    ) -> None:
        self._secrets = secrets
        self._clock = clock
        self._timeout = timeout
        self._reach = reach or self.calls

    def open(self, member: Member) -> RecoverySession:
        """Reach a member; see the port."""
        from resources.clouds.vsphere.recovery_settings import vsphere_settings

        settings = vsphere_settings(member)
        calls = []
        for side, place in (("primary", settings.primary), ("recovery", settings.recovery)):
            references = member.settings[side]["credentials"]
            owner = f"Member {member.name}, {side}"
            calls.append(self._reach(place, self._secrets.resolved(references, owner=owner)))
        return VsphereSession(member, settings, *calls, secrets=self._secrets, clock=self._clock)

    def calls(self, place: "Vcenter", keys: Mapping[str, str]) -> "VsphereCalls":
        """The way in to one vCenter."""
        from resources.clouds.vsphere.recovery_calls import VsphereCalls

        return VsphereCalls(place, keys, timeout=self._timeout)


class VsphereSession(SteppedSession):
    """One member's machines: the declared ones, and the clones that drills make of them."""

    def __init__(
        self,
        member: Member,
        settings: "VsphereSettings",
        primary: "VsphereCalls",
        recovery: "VsphereCalls",
        *,
        secrets: Secrets,
        clock: Clock,
    ) -> None:
        self._member = member
        self._settings = settings
        self._primary = primary
        self._recovery = recovery
        self._secrets = secrets
        self._clock = clock

    def moves(self) -> Mapping[MoveKind, Step]:
        """All five moves."""
        steps = {
            MoveKind.ISOLATE: self._isolate,
            MoveKind.FAIL_OVER: self._fail_over,
            MoveKind.SWITCH: self._switch,
            MoveKind.FAIL_BACK: self._fail_back,
            MoveKind.CLEAN_UP: self._clean_up,
        }
        return {kind: self._watched(step) for kind, step in steps.items()}

    def replication(self) -> Replication:
        """The age of the oldest machine's newest snapshot; see the port."""
        try:
            found = {name: self._source(name) for name in self._settings.machines}
        except Unavailable as error:
            return Replication(status=ReplicationStatus.UNKNOWN, detail=str(error))
        except Refused as error:
            return Replication(status=ReplicationStatus.FAILED, detail=str(error))
        taken = {name: m.taken for name, m in found.items() if m.taken is not None}
        oldest = min(taken, key=lambda name: taken[name])
        age = (self._clock.now() - taken[oldest]).total_seconds()
        if age < 0:
            detail = f"The newest snapshot of {oldest} is from the future; set the clocks right."
            return Replication(status=ReplicationStatus.UNKNOWN, detail=detail)
        late = age > self._settings.max_age
        return Replication(
            status=ReplicationStatus.LAGGING if late else ReplicationStatus.IN_SYNC,
            detail=f"The newest snapshot of {oldest} is from {taken[oldest].isoformat()}.",
            lag_seconds=age,
        )

    def serving(self) -> Mapping[Side, Serving]:
        """What the machines of each side do, and in which port group; see the port."""
        return {
            Side.PRIMARY: _seen(self._primary_serving),
            Side.RECOVERY: _seen(self._recovery_serving),
        }

    def leftovers(self, drill: str) -> Sequence[str]:
        """Clones and marks of a drill; see the port."""
        clones = [f"machine {m.name} on {self._settings.recovery.server}" for m in self._of(drill)]
        return clones + [f"key {FENCED} of machine {m.name}" for m in self._marked(drill)]

    def canary(self, side: Side, *, drill: str) -> Canary | None:
        """The declared canary of a side; see the port."""
        return member_canary(self._member, side, drill=drill, secrets=self._secrets)

    def _isolate(self, move: Move) -> Progress:
        if move.test:
            return succeeded("A test leaves the primary serving; nothing was fenced.")
        machines = self._declared()
        for machine in machines:
            if (other := machine.marks.get(FENCED, move.drill)) != move.drill:
                raise Refused(
                    f"{machine.name} is fenced by drill {other}; fail that one back first."
                )
        on = [machine for machine in machines if machine.power != OFF]
        tasks = {}
        for machine in on:
            if FENCED not in machine.marks:
                tasks[machine.name] = self._primary.mark(machine, FENCED, move.drill)
            else:
                tasks[machine.name] = self._primary.power_off(machine)
        if on:
            return _begun(f"Stopping {_names(on)}.", Side.PRIMARY, tasks)
        return succeeded("Every declared machine is off.")

    def _fail_over(self, move: Move) -> Progress:
        clones = {clone.marks.get(SOURCE): clone for clone in self._of(move.drill)}
        missing = [name for name in self._settings.machines if name not in clones]
        if missing:
            return self._clone(missing, move)
        off = [clone for clone in clones.values() if clone.power != ON]
        tasks = {clone.name: self._recovery.power_on(clone) for clone in off}
        if off:
            return _begun(f"Starting {_names(off)}.", Side.RECOVERY, tasks)
        waiting = [c for c in clones.values() if self._settings.tools and not c.tools]
        if waiting:
            return running(f"Waiting for the guests of {_names(waiting)}.", move.checkpoint)
        return succeeded(f"{_names(list(clones.values()))} run, isolated.", move.checkpoint)

    def _clone(self, missing: Sequence[str], move: Move) -> Progress:
        tasks: dict[str, str | None] = dict(move.checkpoint.get("tasks", {}))
        for name in missing:
            if name in tasks:
                continue
            source = self._source(name)
            marks = {DRILL: move.drill, MEMBER: self._settings.member, SOURCE: name, FENCED: ""}
            note = f"Made by QL-RF drill {move.drill} for member {self._settings.member}."
            # A name is taken once per folder: a second call makes no second clone.
            tasks[name] = self._recovery.clone(
                source,
                f"{self._prefix()}{digest(move.drill, name, length=12)}",
                to=self._settings.destination,
                marks=marks,
                note=note,
            )
        return _begun(f"Cloning {', '.join(missing)}.", Side.RECOVERY, tasks)

    def _switch(self, move: Move) -> Progress:
        if move.test:
            return succeeded("A test leaves the service where it is; nothing was switched.")
        clones = self._of(move.drill)
        if {c.marks.get(SOURCE) for c in clones} < set(self._settings.machines):
            raise Refused("Not every machine has come back; fail over first.")
        on = [machine for machine in self._declared() if machine.power != OFF]
        if on:
            # Two machines with one address in one network: neither would serve.
            raise Refused(f"{_names(on)} still runs in the network; isolate first.")
        network = self._settings.destination.network
        outside = [c for c in clones if not self._recovery.in_network(c, network)]
        tasks = {clone.name: self._recovery.plug(clone, network) for clone in outside}
        if outside:
            return _begun(f"Moving {_names(outside)} into {network}.", Side.RECOVERY, tasks)
        return succeeded(f"{_names(clones)} are in {network}.")

    def _fail_back(self, move: Move) -> Progress:
        if move.test:
            return succeeded("A test has moved nothing; there is nothing to bring back.")
        # The recovery side leaves first: both have the same addresses.
        on = [clone for clone in self._of(move.drill) if clone.power != OFF]
        tasks = {clone.name: self._recovery.power_off(clone) for clone in on}
        if on:
            return _begun(f"Stopping {_names(on)} of the recovery side.", Side.RECOVERY, tasks)
        fenced = self._marked(move.drill)
        resting = [machine for machine in fenced if machine.power != ON]
        tasks = {machine.name: self._primary.power_on(machine) for machine in resting}
        if resting:
            return _begun(f"Starting {_names(resting)}.", Side.PRIMARY, tasks)
        tasks = {machine.name: self._primary.mark(machine, FENCED, "") for machine in fenced}
        if fenced:
            return _begun(f"{_names(fenced)} run again.", Side.PRIMARY, tasks)
        return succeeded("The primary side serves; the recovery side is off.")

    def _clean_up(self, move: Move) -> Progress:
        held = self._marked(move.drill)
        if held:
            return failed(
                f"{_names(held)} is still fenced by this drill; fail back first. Nothing was "
                "removed."
            )
        clones = self._of(move.drill)
        tasks = {
            clone.name: (
                self._recovery.destroy(clone)
                if clone.power == OFF
                else self._recovery.power_off(clone)
            )
            for clone in clones
        }
        if clones:
            return _begun(f"Removing {_names(clones)}.", Side.RECOVERY, tasks)
        return succeeded("Nothing of the drill is left.")

    def _watched(self, step: Step) -> Step:
        """A step that is not taken if a task begun by the one before it has failed."""

        def take(move: Move) -> Progress:
            primary = move.checkpoint.get("side") == Side.PRIMARY
            calls = self._primary if primary else self._recovery
            for name, task in move.checkpoint.get("tasks", {}).items():
                if (why := calls.failure(task)) is not None:
                    raise Refused(f"{name}: {why}")
            return step(move)

        return take

    def _declared(self) -> list["Machine"]:
        found = {name: self._primary.named(name) for name in self._settings.machines}
        missing = [name for name, machine in found.items() if machine is None]
        if missing:
            # A wrong name would leave the true primary serving, unfenced.
            raise Refused(
                f"{', '.join(missing)} not found in {self._settings.primary.datacenter} of "
                f"{self._settings.primary.server}; correct machines."
            )
        return [machine for machine in found.values() if machine is not None]

    def _marked(self, drill: str) -> list["Machine"]:
        found = [self._primary.named(name) for name in self._settings.machines]
        return [m for m in found if m is not None and m.marks.get(FENCED) == drill]

    def _source(self, name: str) -> "Machine":
        path = self._settings.machines[name]
        source = self._recovery.named(path)
        if source is None:
            raise Refused(f"{self._settings.recovery.server} has no machine {path} to clone.")
        if source.snapshot is None:
            raise Refused(f"{path} has no snapshot to come back from; take or replicate one.")
        return source

    def _prefix(self) -> str:
        return f"qlrf-{digest(self._settings.member, length=10)}-"

    def _clones(self) -> list["Machine"]:
        found = self._recovery.beginning(self._prefix())
        return [m for m in found if m.marks.get(MEMBER) == self._settings.member]

    def _of(self, drill: str) -> list["Machine"]:
        return [clone for clone in self._clones() if clone.marks.get(DRILL) == drill]

    def _primary_serving(self) -> Serving:
        found = [self._primary.named(name) for name in self._settings.machines]
        machines = [machine for machine in found if machine is not None]
        if not machines:
            return Serving.ABSENT
        if len(machines) < len(found) or not all(machine.connected for machine in machines):
            return Serving.UNKNOWN
        powers = {machine.power for machine in machines}
        if powers == {ON}:
            return Serving.LIVE
        if powers == {OFF}:
            fenced = any(FENCED in machine.marks for machine in machines)
            return Serving.ISOLATED if fenced else Serving.STOPPED
        return Serving.UNKNOWN

    def _recovery_serving(self) -> Serving:
        clones = self._clones()
        if not clones:
            return Serving.ABSENT
        powers = {clone.power for clone in clones}
        if powers == {OFF}:
            return Serving.STOPPED
        here = {clone.marks.get(SOURCE) for clone in clones}
        if powers != {ON} or here < set(self._settings.machines):
            return Serving.UNKNOWN
        network = self._settings.destination.network
        inside = {self._recovery.in_network(clone, network) for clone in clones}
        if len(inside) > 1 or not all(clone.connected for clone in clones):
            return Serving.UNKNOWN
        return Serving.LIVE if inside == {True} else Serving.ISOLATED


def _seen(look: Callable[[], Serving]) -> Serving:
    try:
        return look()
    except (Unavailable, Refused):
        return Serving.UNKNOWN


def _begun(detail: str, side: Side, tasks: Mapping[str, str | None]) -> Progress:
    known = {name: task for name, task in tasks.items() if task is not None}
    return running(detail, {"side": side.value, "tasks": known}, poll_seconds=1.0)


def _names(machines: Sequence["Machine"]) -> str:
    return ", ".join(sorted(machine.name for machine in machines))
