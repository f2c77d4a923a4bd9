"""EC2 machines that come back in another region, and the Route 53 record that leads to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import QlrfError, Refused, Unavailable
from qlrf_pipelines.domain.estate import Connector, TenantId
from qlrf_pipelines.domain.operations import HealthReport, Progress
from qlrf_pipelines.domain.recovery import (
    Member,
    Move,
    MoveKind,
    Replication,
    ReplicationStatus,
    Serving,
    Side,
)
from qlrf_pipelines.domain.recovery_plans import ProbeType
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clock import Clock
from qlrf_pipelines.ports.recovery import Canary, RecoveryAdapter, RecoverySession
from resources.clouds.patience import Patience
from resources.recovery.answering import ANSWERS, bad, unasked
from resources.recovery.canary import member_canary
from resources.recovery.steps import Step, SteppedSession, failed, running, succeeded
from resources.secrets import Secrets

if TYPE_CHECKING:
    from resources.clouds.aws.recovery_calls import AwsCalls, Row
    from resources.clouds.aws.recovery_settings import AwsSettings

Reach = Callable[[Member, Mapping[str, str]], "AwsCalls"]
_CONNECTIONS = 8


class AwsRecovery(RecoveryAdapter):
    """Moves EC2 instances to their paired region; the SDK is loaded when a member is opened."""

    name = "aws"
    version = "1"
    answers = ANSWERS[name]

    def __init__(
        self,
        *,
        secrets: Secrets,
        clock: Clock,
        attempts: int = 4,
        timeout: float = 30,
        reach: Reach | None = None,
    ) -> None:
        self._secrets = secrets
        self._clock = clock
        self._attempts = attempts
        self._timeout = timeout
        self._reach = reach or self.calls

    def open(self, member: Member) -> RecoverySession:
        """Reach a member; see the port."""
        from resources.clouds.aws.recovery_settings import aws_settings

        settings = aws_settings(member)
        owner = f"Member {member.name}"
        keys = self._secrets.resolved(member.settings.get("credentials", {}), owner=owner)
        calls = self._reach(member, keys)
        return AwsSession(member, settings, calls, secrets=self._secrets, clock=self._clock)

    def calls(self, member: Member, keys: Mapping[str, str]) -> "AwsCalls":
        """The way in that a member's settings describe."""
        from resources.clouds.aws.connection import connect
        from resources.clouds.aws.recovery_calls import AwsCalls

        connector = Connector(
            tenant=TenantId(""),
            name=f"of member {member.name}",
            platform=Platform.AWS,
            regions=(member.settings["recoveryRegion"],),
            endpoint_url=member.settings.get("endpointUrl"),
        )
        patience = Patience(
            max_attempts=self._attempts, read_timeout=self._timeout, pool_size=_CONNECTIONS
        )
        own = connect(connector, keys, patience, changing=True)
        role = member.settings.get("assumeRole")
        return AwsCalls(own.as_role(role) if role else own)


class AwsSession(SteppedSession):
    """One member's machines in two regions."""

    def __init__(
        self,
        member: Member,
        settings: "AwsSettings",
        calls: "AwsCalls",
        *,
        secrets: Secrets,
        clock: Clock,
    ) -> None:
        from resources.clouds.aws.recovery_machines import Primary, Recovery
        from resources.clouds.aws.recovery_record import Record
        from resources.clouds.aws.recovery_sources import Sources

        self._calls = calls
        self._member = member
        self._settings = settings
        self._secrets = secrets
        self._clock = clock
        self._sources = Sources(calls, settings)
        self._primary = Primary(calls, settings)
        self._recovery = Recovery(calls, settings, self._sources)
        record = settings.record
        self._record = Record(calls, record, region=settings.recovery) if record else None

    def moves(self) -> Mapping[MoveKind, Step]:
        """All five moves."""
        return {
            MoveKind.ISOLATE: self._isolate,
            MoveKind.FAIL_OVER: self._fail_over,
            MoveKind.SWITCH: self._switch,
            MoveKind.FAIL_BACK: self._fail_back,
            MoveKind.CLEAN_UP: self._clean_up,
        }

    def replication(self) -> Replication:
        """The age of the oldest machine's newest complete copy; see the port."""
        try:
            found = {i: self._sources.newest(i) for i in self._settings.instances}
        except (Unavailable, Refused) as error:
            return Replication(status=ReplicationStatus.UNKNOWN, detail=str(error))
        missing = [instance for instance, source in found.items() if source is None]
        if missing:
            detail = f"{self._settings.recovery} holds no complete copy of {', '.join(missing)}."
            return Replication(status=ReplicationStatus.FAILED, detail=detail)
        taken = {instance: source.taken for instance, source in found.items() if source}
        oldest = min(taken, key=lambda instance: taken[instance])
        age = (self._clock.now() - taken[oldest]).total_seconds()
        if age < 0:
            detail = f"The newest copy of {oldest} is from the future; set the clocks right."
            return Replication(status=ReplicationStatus.UNKNOWN, detail=detail)
        late = age > self._settings.max_age
        return Replication(
            status=ReplicationStatus.LAGGING if late else ReplicationStatus.IN_SYNC,
            detail=f"The newest complete copy of {oldest} is from {taken[oldest].isoformat()}.",
            lag_seconds=age,
        )

    def serving(self) -> Mapping[Side, Serving]:
        """What each region's instances do, and where the record leads; see the port."""
        return {
            Side.PRIMARY: self._seen(self._primary_serving),
            Side.RECOVERY: self._seen(self._recovery_serving),
        }

    def leftovers(self, drill: str) -> Sequence[str]:
        """Instances, images, disks, marks and notes of a drill; see the port."""
        found = self._recovery.leftovers(drill)
        found += [f"tag qlrf:fenced on {i}" for i in self._primary.marked(drill)]
        if self._record is not None and self._noted() == drill:
            found.append(f"record {self._record.beside} TXT")
        return found

    def canary(self, side: Side, *, drill: str) -> Canary | None:
        """The declared canary of a side; see the port."""
        return member_canary(self._member, side, drill=drill, secrets=self._secrets)

    def ask(
        self, side: Side, check: Mapping[str, Any], *, drill: str, timeout_seconds: float
    ) -> HealthReport:
        """A command on every machine of a side; the worst answer counts; see the port."""
        from resources.clouds.aws.asking import Question, asked_on

        if check.get("type") != ProbeType.COMMAND:
            return super().ask(side, check, drill=drill, timeout_seconds=timeout_seconds)
        here = side is Side.PRIMARY
        try:
            found = self._primary.rows() if here else self._brought_up(drill)
            waits = self._resting(found) or (None if here else self._not_yet(found, drill))
            if waits is not None:
                return bad(waits)
            hands = self._calls.hands(self._settings.primary if here else self._settings.recovery)
            question = Question.of(check, timeout_seconds)
            return asked_on(hands, list(found.values()), question)
        except QlrfError as error:
            return unasked(str(error))

    def _brought_up(self, drill: str) -> "Mapping[str, Row]":
        from resources.clouds.aws.recovery_machines import launched

        return launched(self._recovery.alive(drill))

    def _resting(self, found: "Mapping[str, Row]") -> str | None:
        from resources.clouds.aws.recovery_machines import state

        up = {name for name, row in found.items() if state(row) == "running"}
        resting = [name for name in self._settings.instances if name not in up]
        return f"{', '.join(resting)} does not run there." if resting else None

    def _not_yet(self, found: "Mapping[str, Row]", drill: str) -> str | None:
        """Why the recovery side serves nobody yet, whatever its machines would answer."""
        from resources.clouds.aws.recovery_calls import tags
        from resources.clouds.aws.recovery_machines import TEST

        tested = all(tags(row).get(TEST) == "true" for row in found.values())
        record = self._settings.record
        if tested or record is None or self._noted() == drill:
            return None
        return f"The record {record.name} does not lead to the recovery side yet."

    def _isolate(self, move: Move) -> Progress:
        if move.test:
            return succeeded("A test leaves the primary serving; nothing was fenced.")
        waiting = self._primary.fence(move.drill)
        if waiting:
            return running(f"Stopping {', '.join(waiting)}.", move.checkpoint)
        return succeeded("Every declared instance is stopped.")

    def _fail_over(self, move: Move) -> Progress:
        from resources.clouds.aws.recovery_machines import launched, state

        here = launched(self._recovery.rows(move.drill))
        missing = [i for i in self._settings.instances if i not in here]
        if missing:
            return self._launch(missing, move)
        states = {row["InstanceId"]: state(row) for row in here.values()}
        ended = [i for i, word in states.items() if word not in ("pending", "running")]
        if ended:
            return failed(
                f"{', '.join(ended)} was launched and is {states[ended[0]]}; see its state "
                "reason in EC2, clean up and start another drill.",
                move.checkpoint,
            )
        if any(word != "running" for word in states.values()):
            return running(f"Starting {', '.join(states)}.", move.checkpoint)
        where = "the isolated network" if move.test else "the recovery network"
        return succeeded(f"{', '.join(states)} run in {where}.", move.checkpoint)

    def _launch(self, missing: Sequence[str], move: Move) -> Progress:
        chosen = dict(move.checkpoint.get("images", {}))
        lacking = [instance for instance in missing if instance not in chosen]
        for instance in lacking:
            image = self._sources.image(instance, drill=move.drill, token=move.token)
            if image:
                chosen[instance] = image
        if lacking:
            # Chosen before used: the same request must be sent again, whatever is newest then.
            waiting = [instance for instance in lacking if instance not in chosen]
            detail = f"Images: {chosen}" + (f"; waiting for {waiting}." if waiting else ".")
            return running(detail, {"images": chosen}, poll_seconds=5.0 if waiting else 0.0)
        for instance in missing:
            self._recovery.launch(
                instance, chosen[instance], drill=move.drill, token=move.token, test=move.test
            )
        return running(f"Launching {', '.join(missing)}.", {"images": chosen}, poll_seconds=2.0)

    def _switch(self, move: Move) -> Progress:
        if move.test:
            return succeeded("A test leaves the service where it is; nothing was switched.")
        if self._record is None:
            return succeeded("The member declares no record; there is nothing to switch.")
        field = "PublicIpAddress" if self._record.public else "PrivateIpAddress"
        rows = self._recovery.alive(move.drill)
        addresses = [str(row[field]) for row in rows if row.get(field)]
        return self._record.switch(addresses, drill=move.drill, checkpoint=move.checkpoint)

    def _fail_back(self, move: Move) -> Progress:
        if move.test:
            return succeeded("A test has moved nothing; there is nothing to bring back.")
        waiting = self._primary.release(move.drill)
        if waiting:
            return running(f"Starting {', '.join(waiting)}.", move.checkpoint)
        if self._record is not None:
            step = self._record.give_back(drill=move.drill, checkpoint=move.checkpoint)
            if step is not None:
                return step
        resting = self._recovery.stop(move.drill)
        if resting:
            return running(f"Stopping {', '.join(resting)} of the recovery side.")
        self._primary.unmark(move.drill)
        return succeeded("The primary side serves; the recovery side is stopped.")

    def _clean_up(self, move: Move) -> Progress:
        held = self._primary.marked(move.drill)
        if held or (self._record is not None and self._noted() == move.drill):
            return failed(
                f"The service is still on the recovery side (fenced: {', '.join(held) or 'none'}); "
                "fail back first. Nothing was removed."
            )
        done = self._recovery.remove(move.drill)
        if done is not None:
            return running(done)
        return succeeded("Nothing of the drill is left.")

    def _noted(self) -> str | None:
        note = self._record.note() if self._record is not None else None
        return note.drill if note else None

    def _seen(self, look: Callable[[], Serving]) -> Serving:
        try:
            return look()
        except (Unavailable, Refused):
            return Serving.UNKNOWN

    def _primary_serving(self) -> Serving:
        from resources.clouds.aws.recovery_calls import tags
        from resources.clouds.aws.recovery_machines import FENCED, state

        rows = list(self._primary.rows().values())
        states = {state(row) for row in rows} | (
            {"terminated"} if len(rows) < len(self._settings.instances) else set()
        )
        if states <= {"terminated"}:
            return Serving.ABSENT
        if states == {"running"}:
            return Serving.STANDBY if self._noted() else Serving.LIVE
        if states <= {"stopped", "terminated"}:
            return Serving.ISOLATED if any(FENCED in tags(r) for r in rows) else Serving.STOPPED
        return Serving.UNKNOWN

    def _recovery_serving(self) -> Serving:
        from resources.clouds.aws.recovery_calls import tags
        from resources.clouds.aws.recovery_machines import TEST, launched, state

        rows = self._recovery.alive()
        states = {state(row) for row in rows}
        if not rows:
            return Serving.ABSENT
        if states == {"stopped"}:
            return Serving.STOPPED
        if states != {"running"} or set(self._settings.instances) - set(launched(rows)):
            return Serving.UNKNOWN
        if any(tags(row).get(TEST) == "true" for row in rows):
            return Serving.ISOLATED
        return Serving.LIVE if self._record is None or self._noted() else Serving.STANDBY
