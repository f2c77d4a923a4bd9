"""A member's EC2 instances on both sides: fenced, launched, stopped, removed."""

from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.errors import Refused
from resources.clouds.aws.recovery_calls import AwsCalls, Row, pairs, specified, tags
from resources.clouds.aws.recovery_settings import AwsSettings
from resources.clouds.aws.recovery_sources import DRILL, MEMBER, SOURCE, Sources
from resources.recovery.steps import digest

FENCED, TEST = "qlrf:fenced", "qlrf:test"
_GONE = ("terminated", "shutting-down")
_UP = ("pending", "running")


def state(row: Row) -> str:
    """What EC2 says an instance does."""
    return str((row.get("State") or {}).get("Name", "unknown"))


class Primary:
    """The declared instances, where they serve."""

    def __init__(self, calls: AwsCalls, settings: AwsSettings) -> None:
        self._calls = calls
        self._settings = settings

    def rows(self) -> Mapping[str, Row]:
        """The declared instances that EC2 knows, by id."""
        asked = {"instance-id": self._settings.instances}
        found = self._calls.instances(self._settings.primary, asked)
        return {str(row["InstanceId"]): row for row in found}

    def fence(self, drill: str) -> Sequence[str]:
        """Stop what runs, marked so that it is started again; what still has to stop.

        Raises:
            Refused: an instance is not there at all, or is another drill's.
        """
        rows = self.rows()
        missing = sorted(set(self._settings.instances) - set(rows))
        if missing:
            # A wrong id would leave the true primary serving, unfenced.
            raise Refused(
                f"{', '.join(missing)} not found in {self._settings.primary}; correct instances."
            )
        self._refuse_others(rows, drill)
        up = [i for i, row in rows.items() if state(row) in _UP]
        unmarked = [i for i in up if FENCED not in tags(rows[i])]
        if unmarked:
            self._tag(unmarked, drill)
        if up:
            self._call("stop_instances", up)
        # What is asked to stop is looked at again: the next call sees the state it reached.
        return [i for i, row in rows.items() if state(row) not in ("stopped", *_GONE)]

    def release(self, drill: str) -> Sequence[str]:
        """Start what this drill has stopped; what does not run yet.

        Raises:
            Refused: an instance that was stopped is gone.
        """
        rows = {i: row for i, row in self.rows().items() if tags(row).get(FENCED) == drill}
        gone = [i for i, row in rows.items() if state(row) in _GONE]
        if gone:
            raise Refused(f"{', '.join(gone)} was fenced and is terminated; it cannot come back.")
        stopped = [i for i, row in rows.items() if state(row) == "stopped"]
        if stopped:
            self._call("start_instances", stopped)
        return [i for i, row in rows.items() if state(row) != "running"]

    def unmark(self, drill: str) -> None:
        """Remove the marks of this drill."""
        marked = self.marked(drill)
        if marked:
            self._calls.call(
                "ec2",
                "delete_tags",
                self._settings.primary,
                Resources=marked,
                Tags=[{"Key": FENCED, "Value": drill}],
            )

    def marked(self, drill: str) -> list[str]:
        """The instances this drill has fenced and not given back."""
        return sorted(i for i, row in self.rows().items() if tags(row).get(FENCED) == drill)

    def _tag(self, ids: Sequence[str], drill: str) -> None:
        region = self._settings.primary
        self._calls.call(
            "ec2", "create_tags", region, Resources=list(ids), Tags=pairs({FENCED: drill})
        )

    def _call(self, method: str, ids: Sequence[str]) -> None:
        self._calls.call("ec2", method, self._settings.primary, InstanceIds=list(ids))

    def _refuse_others(self, rows: Mapping[str, Row], drill: str) -> None:
        for instance, row in rows.items():
            if (other := tags(row).get(FENCED, drill)) != drill:
                raise Refused(f"{instance} is fenced by drill {other}; fail that one back first.")


class Recovery:
    """What drills have made of a member in the recovery region."""

    def __init__(self, calls: AwsCalls, settings: AwsSettings, sources: Sources) -> None:
        self._calls = calls
        self._settings = settings
        self._sources = sources

    def rows(self, drill: str | None = None) -> list[Row]:
        """The instances launched for this member, by one drill or by any, also terminated ones."""
        asked = {f"tag:{MEMBER}": [self._settings.member]}
        found = self._calls.instances(self._settings.recovery, asked)
        mine = [r for r in found if tags(r).get(MEMBER) == self._settings.member]
        return [r for r in mine if drill is None or tags(r).get(DRILL) == drill]

    def alive(self, drill: str | None = None) -> list[Row]:
        """Those that are not terminated."""
        return [row for row in self.rows(drill) if state(row) not in _GONE]

    def launch(self, instance: str, image: str, *, drill: str, token: str, test: bool) -> None:
        """Launch one machine of the recovery side, tagged in the moment it is made."""
        settings = self._settings
        network = settings.isolated if test else settings.network
        marks = {**self._sources.marks(drill, instance), TEST: str(test).lower()}
        marks |= {"Name": f"qlrf-{settings.member}-{instance}"[:255]}
        profile = {"IamInstanceProfile": {"Name": settings.profile}} if settings.profile else {}
        self._calls.call(
            "ec2",
            "run_instances",
            settings.recovery,
            ImageId=image,
            InstanceType=settings.types[instance],
            MinCount=1,
            MaxCount=1,
            SubnetId=network.subnet,
            SecurityGroupIds=list(network.groups),
            ClientToken=digest(token, "run", instance),
            TagSpecifications=[specified("instance", marks), specified("volume", marks)],
            **profile,
        )

    def stop(self, drill: str) -> list[str]:
        """Stop the drill's instances; those that do not rest yet."""
        rows = self.alive(drill)
        up = [str(row["InstanceId"]) for row in rows if state(row) in _UP]
        if up:
            self._calls.call("ec2", "stop_instances", self._settings.recovery, InstanceIds=up)
        return [str(row["InstanceId"]) for row in rows if state(row) != "stopped"]

    def remove(self, drill: str) -> str | None:
        """One step of removing all a drill has made here; what was done, None if nothing is left.

        Instances first, then the images they came from, then disks, each when the former are gone.
        """
        steps = (self._terminate, self._deregister, self._delete_snapshots, self._delete_volumes)
        return next((done for step in steps if (done := step(drill))), None)

    def leftovers(self, drill: str) -> list[str]:
        """Everything a drill has made here that is still there."""
        place = self._settings.recovery
        rows = [row for row in self.rows(drill) if state(row) != "terminated"]
        found = [f"instance {row['InstanceId']} in {place}" for row in rows]
        found += [f"image {r['ImageId']} in {place}" for r in self._sources.made_by(drill)]
        found += [f"snapshot {s} in {place}" for s in self._snapshots(drill)]
        return found + [f"volume {row['VolumeId']} in {place}" for row in self._volumes(drill)]

    def _terminate(self, drill: str) -> str | None:
        alive = [str(row["InstanceId"]) for row in self.alive(drill)]
        if alive:
            region = self._settings.recovery
            self._calls.call("ec2", "terminate_instances", region, InstanceIds=alive)
            return f"Terminating {', '.join(alive)}."
        leaving = [r["InstanceId"] for r in self.rows(drill) if state(r) == "shutting-down"]
        return f"Waiting for {', '.join(leaving)} to end." if leaving else None

    def _deregister(self, drill: str) -> str | None:
        images = self._sources.made_by(drill)
        for image in images:
            if self._sources.is_copy(image, drill):
                self._tag_snapshots(image, drill)
            self._call("deregister_image", ImageId=image["ImageId"])
        return f"Deregistered {', '.join(str(i['ImageId']) for i in images)}." if images else None

    def _tag_snapshots(self, image: Row, drill: str) -> None:
        # Deregistering leaves them behind with nothing that says whose they are.
        disks = [m.get("Ebs", {}).get("SnapshotId") for m in image.get("BlockDeviceMappings", ())]
        snapshots = [disk for disk in disks if disk]
        marks = pairs({DRILL: drill, MEMBER: self._settings.member})
        if snapshots:
            self._call("create_tags", Resources=snapshots, Tags=marks)

    def _delete_snapshots(self, drill: str) -> str | None:
        snapshots = self._snapshots(drill)
        for snapshot in snapshots:
            self._call("delete_snapshot", SnapshotId=snapshot)
        return f"Deleted {', '.join(snapshots)}." if snapshots else None

    def _delete_volumes(self, drill: str) -> str | None:
        volumes = self._volumes(drill)
        for row in volumes:
            if row.get("State") == "available":
                self._call("delete_volume", VolumeId=row["VolumeId"])
        return f"Deleting {', '.join(str(v['VolumeId']) for v in volumes)}." if volumes else None

    def _snapshots(self, drill: str) -> list[str]:
        rows = self._tagged("describe_snapshots", "Snapshots", drill, OwnerIds=["self"])
        return sorted(str(row["SnapshotId"]) for row in rows)

    def _volumes(self, drill: str) -> list[Row]:
        rows = self._tagged("describe_volumes", "Volumes", drill)
        return [row for row in rows if row.get("State") not in ("deleting", "deleted")]

    def _tagged(self, method: str, key: str, drill: str, **more: object) -> list[Row]:
        asked = {f"tag:{DRILL}": [drill], f"tag:{MEMBER}": [self._settings.member]}
        found = self._calls.rows(method, key, self._settings.recovery, asked, **more)
        mine = (drill, self._settings.member)
        return [r for r in found if (tags(r).get(DRILL), tags(r).get(MEMBER)) == mine]

    def _call(self, method: str, **parameters: Any) -> None:  # noqa: ANN401
        self._calls.call("ec2", method, self._settings.recovery, **parameters)


def launched(rows: Sequence[Row]) -> dict[str, Row]:
    """Which machine each instance was launched for."""
    return {tags(row).get(SOURCE, ""): row for row in rows}
