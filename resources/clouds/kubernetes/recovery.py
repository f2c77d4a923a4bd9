"""Workloads that are scaled up at another namespace or cluster, and the Service leading to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import QlrfError, Refused, Unavailable
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
from qlrf_pipelines.ports.recovery import Canary, RecoveryAdapter, RecoverySession
from resources.recovery.answering import ANSWERS, bad, unasked
from resources.recovery.canary import member_canary
from resources.recovery.steps import Step, SteppedSession, failed, running, succeeded
from resources.secrets import Secrets

if TYPE_CHECKING:
    from resources.clouds.kubernetes.calls import KubernetesCalls
    from resources.clouds.kubernetes.complaints import Object
    from resources.clouds.kubernetes.recovery_parts import Owner
    from resources.clouds.kubernetes.recovery_settings import (
        KubernetesSettings,
        Place,
        Workload,
    )

Reach = Callable[["Place", Callable[[], str]], "KubernetesCalls"]


class KubernetesRecovery(RecoveryAdapter):
    """Moves workloads; nothing is loaded before a member is opened."""

    name = "kubernetes"
    version = "1"
    answers = ANSWERS[name]

    def __init__(
        self, *, secrets: Secrets, timeout: float = 30, reach: Reach | None = None
    ) -> None:
        self._secrets = secrets
        self._timeout = timeout
        self._reach = reach or self.calls

    def open(self, member: Member) -> RecoverySession:
        """Reach a member; see the port."""
        from resources.clouds.kubernetes.recovery_settings import kubernetes_settings

        settings = kubernetes_settings(member)
        calls = {
            side: self._reach(place, self._token(member, side))
            for side, place in (
                (Side.PRIMARY, settings.primary),
                (Side.RECOVERY, settings.recovery),
            )
        }
        return KubernetesSession(member, settings, calls, secrets=self._secrets)

    def calls(self, place: "Place", token: Callable[[], str]) -> "KubernetesCalls":
        """The way in to one namespace."""
        from resources.clouds.kubernetes.calls import KubernetesCalls

        return KubernetesCalls(place, token, timeout=self._timeout)

    def _token(self, member: Member, side: Side) -> Callable[[], str]:
        references = {"token": member.settings[side.value]["credentials"].get("token", "")}
        owner = f"Member {member.name}, {side}"

        def token() -> str:
            # Looked up at each use: tokens in files are renewed within the hour.
            return self._secrets.resolved(references, owner=owner)["token"]

        token()
        return token


class KubernetesSession(SteppedSession):
    """One member's workloads at both sides."""

    def __init__(
        self,
        member: Member,
        settings: "KubernetesSettings",
        calls: Mapping[Side, "KubernetesCalls"],
        *,
        secrets: Secrets,
    ) -> None:
        from resources.clouds.kubernetes.recovery_parts import Fences, SwitchedService, Workloads

        self._member = member
        self._settings = settings
        self._secrets = secrets
        self._calls = calls
        self._primary = Workloads(calls[Side.PRIMARY])
        self._recovery = Workloads(calls[Side.RECOVERY])
        self._fences = Fences(calls[Side.RECOVERY])
        service = settings.service
        self._service = SwitchedService(calls[service.at], service) if service else None

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
        """Whether the recovery side would run the same images; data is not this adapter's."""
        pairs = zip(self._settings.at_primary, self._settings.at_recovery, strict=True)
        try:
            found = {r: (self._primary.read(p), self._recovery.read(r)) for p, r in pairs}
        except (Unavailable, Refused) as error:
            return Replication(status=ReplicationStatus.UNKNOWN, detail=str(error))
        missing = [str(workload) for workload, (_, there) in found.items() if there is None]
        if missing:
            detail = f"The recovery side has no {', '.join(missing)}."
            return Replication(status=ReplicationStatus.FAILED, detail=detail)
        if any(here is None for here, _ in found.values()):
            detail = "The primary side has not all its workloads: nothing to compare with."
            return Replication(status=ReplicationStatus.UNKNOWN, detail=detail)
        other = [str(w) for w, (here, there) in found.items() if _images(here) != _images(there)]
        if other:
            detail = f"{', '.join(other)} would run other images than the primary side."
            return Replication(status=ReplicationStatus.LAGGING, detail=detail)
        detail = "The recovery side would run the same images."
        return Replication(status=ReplicationStatus.IN_SYNC, detail=detail)

    def serving(self) -> Mapping[Side, Serving]:
        """What the workloads of each side do, and where the Service leads; see the port."""
        return {
            Side.PRIMARY: _seen(self._primary_serving),
            Side.RECOVERY: _seen(self._recovery_serving),
        }

    def leftovers(self, drill: str) -> Sequence[str]:
        """Marked workloads and Services, and fences, of a drill; see the port."""
        here, there = self._settings.primary.namespace, self._settings.recovery.namespace
        found = [f"{w} in {here}, changed by the drill" for w in self._held(drill)]
        found += [f"{w} in {there}, changed by the drill" for w in self._raised(drill)]
        found += [f"NetworkPolicy {n} in {there}" for n in self._fences.named(self._owner(drill))]
        if self._switched(drill):
            found.append(f"{self._service.path if self._service else ''}, switched by the drill")
        return found

    def canary(self, side: Side, *, drill: str) -> Canary | None:
        """The declared canary of a side; see the port."""
        return member_canary(self._member, side, drill=drill, secrets=self._secrets)

    def ask(
        self, side: Side, check: Mapping[str, Any], *, drill: str, timeout_seconds: float
    ) -> HealthReport:
        """A command in a ready pod of the side's first workload; see the port."""
        from resources.clouds.kubernetes.asking import asked_in

        if check.get("type") != ProbeType.COMMAND:
            return super().ask(side, check, drill=drill, timeout_seconds=timeout_seconds)
        here = side is Side.PRIMARY
        workload = next(iter(self._settings.at_primary if here else self._settings.at_recovery))
        try:
            found = (self._primary if here else self._recovery).needed(workload)
            waits = None if here else self._not_yet(workload, found, drill)
            if waits is not None:
                return bad(waits)
            return asked_in(self._calls[side], workload, found, check, seconds=timeout_seconds)
        except QlrfError as error:
            return unasked(str(error))

    def _not_yet(self, workload: "Workload", found: "Object", drill: str) -> str | None:
        """Why the recovery side serves nobody yet, whatever its pods would answer."""
        from resources.clouds.kubernetes.recovery_parts import TEST, marks, owned

        if not owned(found, self._owner(drill)):
            return f"{workload} was not brought up by this drill yet."
        if marks(found).get(TEST) == "true" or self._service is None or self._switched(drill):
            return None
        return "The Service does not lead to the recovery side yet."

    def _isolate(self, move: Move) -> Progress:
        from resources.clouds.kubernetes.recovery_parts import marks, settled, wanted

        if move.test:
            return succeeded("A test leaves the primary serving; nothing was fenced.")
        waiting = []
        for workload in self._settings.at_primary:
            found = self._primary.needed(workload)
            # What was at zero before the drill is left there by it.
            if (wanted(found) == 0 and not marks(found)) or (
                self._primary.scale(workload, 0, self._owner(move.drill)) and settled(found)
            ):
                continue
            waiting.append(str(workload))
        if waiting:
            return running(f"Waiting for the pods of {', '.join(waiting)} to end.")
        return succeeded("No pod of the primary side is left.")

    def _fail_over(self, move: Move) -> Progress:
        from resources.clouds.kubernetes.recovery_parts import settled

        owner = self._owner(move.drill)
        waiting = []
        for workload, replicas in self._settings.at_recovery.items():
            if move.test:
                self._fence(workload, owner)
            there = self._recovery.scale(workload, replicas, owner, test=move.test)
            if not (there and settled(self._recovery.needed(workload))):
                waiting.append(str(workload))
        if waiting:
            return running(f"Waiting for the pods of {', '.join(waiting)} to be ready.")
        where = "behind a fence" if move.test else "ready to serve"
        return succeeded(f"Every workload of the recovery side is {where}.")

    def _fence(self, workload: "Workload", owner: "Owner") -> None:
        spec = self._recovery.needed(workload)["spec"]
        labels = spec["template"]["metadata"].get("labels") or {}
        service = self._settings.service
        shared = service is not None and (
            service.at is Side.RECOVERY or self._settings.primary == self._settings.recovery
        )
        if shared and self._service is not None and self._service.would_reach(labels):
            raise Refused(
                f"The Service would lead clients to the pods of {workload}; give the two sides "
                "a label that tells them apart, and select by it."
            )
        self._fences.put(workload, spec["selector"], owner)

    def _switch(self, move: Move) -> Progress:
        if move.test:
            return succeeded("A test leaves the service where it is; nothing was switched.")
        if self._service is None:
            return succeeded("The member declares no Service; there is nothing to switch.")
        if self._service.switch(self._owner(move.drill)):
            return succeeded("The Service leads to the recovery side.")
        return running("Switching the Service.", poll_seconds=0.5)

    def _fail_back(self, move: Move) -> Progress:
        if move.test:
            return succeeded("A test has moved nothing; there is nothing to bring back.")
        owner = self._owner(move.drill)
        waiting = [
            str(w)
            for w in self._held(move.drill)
            if not self._primary.give_back(w, owner, down=False)
        ]
        if waiting:
            return running(f"Waiting for the pods of {', '.join(waiting)} to be ready.")
        if self._service is not None and not self._service.give_back(owner):
            return running("Switching the Service back.", poll_seconds=0.5)
        leaving = [
            str(w)
            for w in self._raised(move.drill)
            if not self._recovery.give_back(w, owner, down=True)
        ]
        if leaving:
            return running(f"Waiting for the pods of {', '.join(leaving)} to end.")
        marked = [w for w in self._held(move.drill) if not self._primary.unmark(w, owner)]
        if marked:
            return running("The primary side serves again.", poll_seconds=0.5)
        return succeeded("The primary side serves; the recovery side is as it was.")

    def _clean_up(self, move: Move) -> Progress:
        held = self._held(move.drill)
        if held or self._switched(move.drill):
            return failed(
                "The service is still on the recovery side, or its primary is fenced "
                f"({', '.join(map(str, held)) or 'the Service is switched'}); fail back first. "
                "Nothing was removed."
            )
        owner = self._owner(move.drill)
        leaving = [
            str(w)
            for w in self._raised(move.drill)
            if not self._recovery.give_back(w, owner, down=True)
        ]
        if leaving:
            return running(f"Waiting for the pods of {', '.join(leaving)} to end.")
        if not self._fences.remove(owner):
            return running("Taking the fences away.", poll_seconds=0.5)
        marked = [w for w in self._raised(move.drill) if not self._recovery.unmark(w, owner)]
        if marked:
            return running("Removing the drill's marks.", poll_seconds=0.5)
        return succeeded("Nothing of the drill is left.")

    def _owner(self, drill: str) -> "Owner":
        from resources.clouds.kubernetes.recovery_parts import Owner

        return Owner(drill=drill, member=self._settings.member)

    def _held(self, drill: str) -> list["Workload"]:
        """The primary's workloads this drill has fenced and not given back."""
        from resources.clouds.kubernetes.recovery_parts import owned

        found = {w: self._primary.read(w) for w in self._settings.at_primary}
        return [w for w, item in found.items() if item and owned(item, self._owner(drill))]

    def _raised(self, drill: str) -> list["Workload"]:
        """The recovery side's workloads this drill has scaled."""
        from resources.clouds.kubernetes.recovery_parts import owned

        found = {w: self._recovery.read(w) for w in self._settings.at_recovery}
        return [w for w, item in found.items() if item and owned(item, self._owner(drill))]

    def _switched(self, drill: str | None = None) -> bool:
        from resources.clouds.kubernetes.recovery_parts import member_of, owned

        if self._service is None:
            return False
        found = self._service.read()
        if drill is None:
            return member_of(found) == self._settings.member
        return owned(found, self._owner(drill))

    def _primary_serving(self) -> Serving:
        found = [self._primary.read(w) for w in self._settings.at_primary]
        state = _state(found)
        if state is Serving.LIVE:
            return Serving.STANDBY if self._switched() else Serving.LIVE
        if state is Serving.STOPPED and any(self._mine(item) for item in found):
            return Serving.ISOLATED
        return state

    def _recovery_serving(self) -> Serving:
        from resources.clouds.kubernetes.recovery_parts import TEST, marks

        found = [self._recovery.read(w) for w in self._settings.at_recovery]
        state = _state(found)
        if state is not Serving.LIVE:
            return state
        if any(item and marks(item).get(TEST) == "true" for item in found):
            return Serving.ISOLATED
        if self._service is not None:
            return Serving.LIVE if self._switched() else Serving.STANDBY
        return Serving.LIVE if all(self._mine(item) for item in found) else Serving.STANDBY

    def _mine(self, item: "Object | None") -> bool:
        from resources.clouds.kubernetes.recovery_parts import member_of

        return item is not None and member_of(item) == self._settings.member


def _state(found: Sequence["Object | None"]) -> Serving:
    """What workloads do together: live only if all are, and anything mixed is unknown."""
    from resources.clouds.kubernetes.recovery_parts import settled, wanted

    items = [item for item in found if item is not None]
    if not items:
        return Serving.ABSENT
    if len(items) < len(found) or not all(settled(item) for item in items):
        return Serving.UNKNOWN
    up = {wanted(item) > 0 for item in items}
    if len(up) > 1:
        return Serving.UNKNOWN
    return Serving.LIVE if up == {True} else Serving.STOPPED


def _images(found: "Object | None") -> list[tuple[str, str]]:
    pod = found["spec"]["template"]["spec"] if found else {}
    containers = [*pod.get("initContainers", ()), *pod.get("containers", ())]
    return sorted((item["name"], item["image"]) for item in containers)


def _seen(look: Callable[[], Serving]) -> Serving:
    try:
        return look()
    except (Unavailable, Refused):
        return Serving.UNKNOWN
