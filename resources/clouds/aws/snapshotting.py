"""Snapshots of a machine from before it is patched in place, and the way back to them.

They are found by two tags: `qlrf:operation`, the token of the patch (of its first try, as only
then the machine was as it was captured), and `qlrf:before`, the machine. What is made from them
carries `qlrf:restores` and `qlrf:replaces`, so a caller that died goes on where it was.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, Progress
from resources.clouds.aws.captured import Captured
from resources.clouds.aws.hands import (
    BEFORE,
    OPERATION,
    PATCHED,
    REPLACED_BY,
    REPLACES,
    RESTORES,
    Hands,
    Instance,
    is_gone,
    state_of,
    tags_of,
)
from resources.clouds.aws.moving import Move, goal_runs, source_stopped
from resources.clouds.aws.once import LOOKS, Claim, claim_on, do_once
from resources.clouds.aws.said import failed, succeeded, under_way
from resources.clouds.aws.volumes import Rows, like, shared_of, volumes_named

# Ours speak of one operation, and AWS refuses to let anybody write its own.
FOREIGN = ("aws:", "qlrf:")
# How often more than there are volumes a volume is asked for before it counts as never coming.
MORE_ASKED = 6
MOVING = ("attaching", "detaching", "busy")


def first_token(operation: Operation) -> str:
    """The token by which the snapshots of an operation's machine are found."""
    return operation.parameters.get(FIRST_TRY) or operation.token


def snapshots_taken(hands: Hands, operation: Operation) -> Progress | None:
    """One step of taking a snapshot of every volume; None once they are all complete."""
    before = operation.before
    if not before:
        raise Rejected(f"{operation.target.key}: capture it before it is patched with snapshots.")
    machine = hands.instance(before["id"])
    if tags_of(machine).get(PATCHED) == operation.token:
        # The patch is claimed, so they were complete; a later one would hold the patched machine.
        return None
    found = snapshots_of(hands, before["id"], first_token(operation))
    if not found:
        return _take(hands, operation, machine)
    missing = [v["id"] for v in before["volumes"] if v["id"] not in found]
    broken = [s["SnapshotId"] for s in found.values() if s["State"] == "error"]
    if missing or broken:
        what = f"{', '.join(broken)} failed" if broken else f"there is none of {missing[0]}"
        return failed(
            f"The snapshots of {before['id']} are not whole: {what}. It was not patched; delete "
            f"those tagged {OPERATION}={first_token(operation)}, then retry."
        )
    waiting = [s for s in found.values() if s["State"] != "completed"]
    if waiting:
        said = f"{len(waiting)} of {len(found)} snapshots of {before['id']} are being completed."
        return under_way(said, seconds=15)
    return None


def restore_snapshots(hands: Hands, operation: Operation, token: str) -> Progress:
    """One step of putting the volumes back as they were when the snapshots were taken."""
    before = operation.before
    machine = hands.instance(before["id"])
    why = why_not(before)
    if is_gone(machine) or why:
        return failed(f"{before['id']} cannot be restored: {why or 'it is gone'}.")
    way = _Back(
        hands=hands,
        operation=operation,
        token=token,
        machine=machine,
        snapshots=snapshots_of(hands, before["id"], token),
        made=volumes_made(hands, before["id"], token),
        patched=volumes_named(hands, [v["id"] for v in before["volumes"]]),
    )
    return way.step() or succeeded(
        f"{before['id']} runs from its snapshots again; what was written since is on "
        f"{', '.join(sorted(way.patched)) or 'no volume any more'}, kept detached.",
        asset_id=before["id"],
    )


def finalise_snapshots(hands: Hands, operation: Operation, token: str, found: Rows) -> Progress:
    """Delete the snapshots, once the machine runs and needs none of them any more.

    Patched volumes that were replaced stay: whatever was written since is only there.
    """
    name = operation.before["id"]
    try:
        state = state_of(hands.instance(name))
    except NotFound:
        state = "gone"
    if state != "running":
        return failed(f"{name} is {state}; the {len(found)} snapshots from before are kept.")
    made = volumes_made(hands, name, token)
    loose = [v["VolumeId"] for v in made.values() if _holder(v) != name]
    if loose:
        return failed(f"{name} is not wholly restored ({loose[0]} is not attached); all is kept.")
    for item in found.values():
        try:
            hands.call("ec2", "delete_snapshot", SnapshotId=item["SnapshotId"])
        except NotFound:
            continue
    kept = f" What was written since is on {', '.join(sorted(made))}." if made else ""
    return succeeded(f"{len(found)} snapshots of {name} from before are deleted.{kept}")


def why_not(before: Captured) -> str:
    """Why a machine cannot be taken back to snapshots; '' if it can."""
    reasons = {
        "its Auto Scaling group would replace it as soon as it is stopped for that": (
            bool(before["group"])
        ),
        "its root is an instance store, of which there are no snapshots": (
            before["root_type"] != "ebs"
        ),
        f"it is a {before['lifecycle']} instance, which may not be stopped and started": bool(
            before["lifecycle"]
        ),
        "no volume hangs on it": not before["volumes"],
    }
    return next((why for why, is_so in reasons.items() if is_so), "")


def snapshots_of(hands: Hands, instance_id: str, token: str) -> Rows:
    """The snapshots of a machine from before an operation, by the volume each was taken of."""
    given = {BEFORE: instance_id, OPERATION: token}
    rows = hands.every(
        "ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=_tagged(given)
    )
    return {row["VolumeId"]: row for row in rows}


def volumes_made(hands: Hands, instance_id: str, token: str) -> Rows:
    """The volumes made from those snapshots, by the volume each of them replaces."""
    given = {BEFORE: instance_id, RESTORES: token}
    rows = list(hands.every("ec2", "describe_volumes", "Volumes", Filters=_tagged(given)))
    rows.sort(key=lambda row: bool(row.get("Attachments")))
    return {
        tags_of(row)[REPLACES]: row for row in rows if row["State"] not in ("deleting", "deleted")
    }


def _take(hands: Hands, operation: Operation, machine: Instance) -> Progress:
    before, name = operation.before, operation.before["id"]
    if tags_of(machine).get(PATCHED) != before["tags"].get(PATCHED):
        return failed(f"{name} was patched by an earlier try, and its snapshots are gone.")
    _possible(hands, before, machine)
    own = replace(operation, token=f"{operation.token}-snapshots")
    claim, _ = claim_on(hands, own)
    sought = int(operation.checkpoint.get("sought", 0))
    if operation.begun and sought < LOOKS:
        said = f"No snapshots of {name} are there; they are looked for again."
        return under_way(said, seconds=10, checkpoint={"sought": sought + 1})
    if claim is not Claim.NONE:
        return failed(
            f"Snapshots of {name} may have been asked for and are nowhere. It was not patched; "
            "retry it."
        )
    do_once(hands, own, lambda: _ask(hands, operation))
    return under_way(f"Snapshots of all volumes of {name} are being taken.", seconds=15)


def _ask(hands: Hands, operation: Operation) -> str:
    name = operation.before["id"]
    tags = _written({OPERATION: first_token(operation), BEFORE: name})
    answer = hands.once(
        "ec2",
        "create_snapshots",
        InstanceSpecification={"InstanceId": name, "ExcludeBootVolume": False},
        Description=f"{name} before it is patched",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )
    return f"{len(answer['Snapshots'])} snapshots"


def _possible(hands: Hands, before: Captured, machine: Instance) -> None:
    wanted = [volume["id"] for volume in before["volumes"]]
    found = volumes_named(hands, wanted)
    elsewhere = [v for v in wanted if v not in found or _holder(found[v]) != before["id"]]
    shared = shared_of(found)
    why = why_not(before)
    if state_of(machine) != "running":
        why = why or f"it is {state_of(machine)}; start it first, or exclude it"
    if elsewhere:
        why = why or f"{elsewhere[0]} was detached since it was captured"
    if shared:
        why = why or f"{shared[0]} can be attached to several machines at once"
    if why:
        raise Rejected(f"{before['id']} cannot be taken back to snapshots: {why}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Back:
    """The way back as it stands: snapshots, volumes made from them, and volumes that were there."""

    hands: Hands
    operation: Operation
    token: str
    machine: Instance
    snapshots: Rows
    made: Rows
    patched: Rows

    @property
    def name(self) -> str:
        return str(self.machine["InstanceId"])

    def step(self) -> Progress | None:
        """The first thing that is not done yet, done; None if all is."""
        move = Move(
            hands=self.hands,
            before=self.operation.before,
            source=self.machine,
            goal=self.machine,
        )
        back = self._whole() or self._volumes_made()
        if back is not None:
            return back
        if any(_holder(volume) != self.name for volume in self.made.values()):
            return source_stopped(move) or self._swapped()
        return self._swapped() or goal_runs(move)

    def _whole(self) -> Progress | None:
        """Nothing is touched unless everything is there."""
        for volume in self.operation.before["volumes"]:
            name = volume["id"]
            if name in self.made:
                continue
            snapshot = self.snapshots.get(name)
            if snapshot is None or snapshot["State"] != "completed" or name not in self.patched:
                gone = "its snapshot from before" if name in self.patched else "the volume itself"
                return failed(
                    f"{self.name} cannot be restored: {gone} is gone for {name}. Nothing was "
                    "changed; replace it with the image you trust."
                )
        return None

    def _volumes_made(self) -> Progress | None:
        wanted = self.operation.before["volumes"]
        missing = [v["id"] for v in wanted if v["id"] not in self.made]
        asked = int(self.operation.checkpoint.get("asked", 0))
        if missing and asked >= len(wanted) + MORE_ASKED:
            return failed(
                f"A volume from the snapshot of {missing[0]} was asked for and never appeared; "
                "see whether its key may be used."
            )
        if missing:
            self._make(missing[0])
            said = f"A volume is made from the snapshot of {missing[0]}."
            return under_way(said, seconds=2, checkpoint={"asked": asked + 1})
        for volume in self.made.values():
            if volume["State"] == "error":
                return failed(f"{volume['VolumeId']} could not be made from its snapshot.")
            if volume["State"] == "creating":
                return under_way(f"{volume['VolumeId']} is being made.", seconds=2)
        return None

    def _make(self, replaced: str) -> None:
        source, snapshot = self.patched[replaced], self.snapshots[replaced]
        kept = {k: v for k, v in tags_of(source).items() if not k.startswith(FOREIGN)}
        ours = {BEFORE: self.name, RESTORES: self.token, REPLACES: replaced}
        tags = _written(kept | ours)
        self.hands.call(
            "ec2",
            "create_volume",
            SnapshotId=snapshot["SnapshotId"],
            AvailabilityZone=source["AvailabilityZone"],
            ClientToken=hashlib.sha256(f"{self.operation.token}:{replaced}".encode()).hexdigest(),
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
            **like(source),
        )

    def _swapped(self) -> Progress | None:
        for volume in self.operation.before["volumes"]:
            taken = self._swap(volume)
            if taken is not None:
                return taken
        return None

    def _swap(self, volume: Mapping[str, Any]) -> Progress | None:
        new = self.made[volume["id"]]
        name, holder = new["VolumeId"], _holder(new)
        if _is_moving(new) or _is_moving(self.patched.get(volume["id"], {})):
            return under_way(f"{volume['device']} of {self.name} is changing hands.", seconds=2)
        if holder == self.name:
            return None
        if holder:
            return failed(f"{name} was attached to {holder} by somebody else.")
        if _holder(self.patched.get(volume["id"], {})) == self.name:
            self.hands.tag(volume["id"], {REPLACED_BY: name, BEFORE: self.name})
            self.hands.call("ec2", "detach_volume", VolumeId=volume["id"], InstanceId=self.name)
            return under_way(f"{volume['id']} is detached from {self.name}.", seconds=2)
        self.hands.call(
            "ec2",
            "attach_volume",
            VolumeId=name,
            InstanceId=self.name,
            Device=volume["device"],
        )
        return under_way(f"{name} is attached at {volume['device']}.", seconds=2)


def _attachment(volume: Mapping[str, Any]) -> Mapping[str, Any]:
    found = [a for a in volume.get("Attachments", ()) if a.get("State") != "detached"]
    return found[0] if found else {}


def _holder(volume: Mapping[str, Any]) -> str:
    return str(_attachment(volume).get("InstanceId", ""))


def _is_moving(volume: Mapping[str, Any]) -> bool:
    return _attachment(volume).get("State") in MOVING


def _tagged(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def _written(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
