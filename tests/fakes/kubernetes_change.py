"""One blue-green change of a Deployment, operation by operation, as a rollout asks for it."""

from qlrf_pipelines.domain.operations import (
    NEW_SIDE,
    Operation,
    OperationKind,
    Progress,
    Status,
    Target,
)
from tests.fakes.kubernetes_fleet import NEW, OLD, Fleet, carry_out, operation

START, SWITCH = OperationKind.START_BESIDE, OperationKind.SWITCH
RESTORE, FINALISE = OperationKind.RESTORE, OperationKind.FINALISE


class Change:
    """The operations of one change, and how everything is before it and after it."""

    def __init__(self, fleet: Fleet, target: Target, image: str = NEW) -> None:
        self.fleet = fleet
        self.target = target
        self.before = fleet.operator().capture(target)
        self.template = fleet.get(target)["spec"]["template"]
        self.image = image
        self.new = ""

    @property
    def side(self) -> Target:
        """The new side."""
        return self.fleet.target(self.new.removeprefix("deployment/"))

    def start(self) -> Operation:
        """A new side beside it."""
        return operation(START, self.target, image=self.image, before=self.before)

    def switch(self) -> Operation:
        """All traffic to the new side."""
        parameters = {NEW_SIDE: self.new}
        return operation(SWITCH, self.target, number=2, before=self.before, parameters=parameters)

    def restore(self, **parameters: str) -> Operation:
        """Back to how it was."""
        return operation(RESTORE, self.target, number=3, before=self.before, parameters=parameters)

    def finalise(self) -> Operation:
        """One Deployment again."""
        parameters = {"operation": str(START), "asset_id": self.new}
        return operation(FINALISE, self.target, number=4, before=self.before, parameters=parameters)

    def done(self, wanted: Operation) -> Progress:
        """Carry an operation out, which must succeed."""
        progress = carry_out(self.fleet, wanted)
        assert progress.status is Status.SUCCEEDED, progress.detail
        if wanted.kind is START:
            self.new = progress.asset_id or ""
        return progress

    def is_new(self, pod: str) -> bool:
        """Whether a pod is of the new side."""
        return pod.startswith(f"{self.side.id.removeprefix('deployment/')}-")

    def never_was(self) -> None:
        """Everything is as if nothing had happened."""
        found = self.fleet.get(self.target)
        assert found["spec"]["template"] == self.template
        assert self.fleet.images_running() == self.fleet.served() == {OLD}
        self._nothing_is_left()

    def is_all_there_is(self) -> None:
        """Everything is as if a rolling update had happened."""
        assert self.fleet.image_of(self.target) == self.image
        assert self.fleet.images_running() == self.fleet.served() == {self.image}
        assert not self.fleet.there(self.side)
        self._nothing_is_left()

    def _nothing_is_left(self) -> None:
        assert self.fleet.is_ready(self.target)
        assert not self.fleet.get(self.target)["spec"].get("paused")
        assert self.fleet.selector() == {"app": "web"}
        assert not [mark for mark in self.fleet.annotations() if mark.startswith("qlrf.io/")]
