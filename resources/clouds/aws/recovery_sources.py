"""What a machine can be brought back from: the newest complete image or set of snapshots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from qlrf_pipelines.domain.errors import Refused
from resources.clouds.aws.recovery_calls import AwsCalls, Row, moment, specified, tags
from resources.clouds.aws.recovery_settings import AwsSettings
from resources.recovery.steps import digest

DRILL, MEMBER, SOURCE = "qlrf:drill", "qlrf:member", "qlrf:source"
COPY, REGISTERED = "copy", "registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One complete copy of a machine's disks; `image` if it is one already."""

    taken: datetime
    image: str | None = None
    snapshots: Mapping[str, str] | None = None


class Sources:
    """Copies of a member's machines, and the images a drill makes of them."""

    def __init__(self, calls: AwsCalls, settings: AwsSettings) -> None:
        self._calls = calls
        self._settings = settings

    def newest(self, instance: str, *, region: str | None = None) -> Source | None:
        """The newest complete copy in a region, the recovery region if none is named."""
        place = region or self._settings.recovery
        found = [*self._images(instance, place), *self._snapshots(instance, place)]
        return max(found, key=lambda source: source.taken, default=None)

    def image(self, instance: str, *, drill: str, token: str) -> str | None:
        """An image to launch from; None while one is being made.

        Raises:
            Refused: there is nothing to make one from, or making it failed.
        """
        made = self._made(instance, drill)
        if made is not None:
            return self._usable(made, instance)
        source = self.newest(instance)
        if source is not None and source.image:
            return source.image
        marks = self.marks(drill, instance)
        try:
            if source is not None:
                self._register(instance, source, marks, drill)
            else:
                self._copy(instance, marks, drill, token)
        except Refused:
            # The SDK asks again when an answer is lost; the name is then taken, by ourselves.
            if self._made(instance, drill) is None:
                raise
        return None

    def made_by(self, drill: str) -> Sequence[Row]:
        """The images a drill has made, tagged or not yet."""
        place, prefix = self._settings.recovery, self._prefix(drill)
        rows = self._calls.rows(
            "describe_images", "Images", place, {"name": [f"{prefix}*"]}, Owners=["self"]
        )
        return [row for row in rows if row.get("Name", "").startswith(prefix)]

    def marks(self, drill: str, instance: str) -> dict[str, str]:
        """The tags of everything made for one machine by one drill."""
        return {DRILL: drill, MEMBER: self._settings.member, SOURCE: instance}

    def is_copy(self, image: Row, drill: str) -> bool:
        """Whether an image made by a drill has snapshots of its own."""
        return str(image.get("Name", "")).startswith(f"{self._prefix(drill)}{COPY}-")

    def _prefix(self, drill: str) -> str:
        return f"qlrf-{digest(drill, self._settings.member, length=20)}-"

    def _made(self, instance: str, drill: str) -> Row | None:
        return next((r for r in self.made_by(drill) if r["Name"].endswith(f"-{instance}")), None)

    def _usable(self, image: Row, instance: str) -> str | None:
        state = image.get("State")
        if state in ("invalid", "error", "failed", "deregistered", "disabled"):
            why = (image.get("StateReason") or {}).get("Message", state)
            raise Refused(f"Image {image['ImageId']} for {instance} failed: {why}.")
        return str(image["ImageId"]) if state == "available" else None

    def _register(
        self, instance: str, source: Source, marks: Mapping[str, str], drill: str
    ) -> None:
        settings = self._settings
        devices = source.snapshots or {}
        self._calls.call(
            "ec2",
            "register_image",
            settings.recovery,
            # A name is taken once per account and region: a second call makes no second image.
            Name=f"{self._prefix(drill)}{REGISTERED}-{instance}",
            Architecture=settings.architecture,
            RootDeviceName=settings.root_device,
            VirtualizationType="hvm",
            EnaSupport=True,
            BlockDeviceMappings=[
                {"DeviceName": device, "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": True}}
                for device, snapshot in sorted(devices.items())
            ],
            TagSpecifications=[specified("image", marks)],
        )

    def _copy(self, instance: str, marks: Mapping[str, str], drill: str, token: str) -> None:
        settings = self._settings
        image = next(
            (s.image for s in [self._in_primary(instance)] if s is not None and s.image), None
        )
        if image is None:
            raise Refused(
                f"Instance {instance} has no complete image or snapshot in {settings.recovery}, "
                f"tagged {settings.source_tag}={instance}; let backups be copied there."
            )
        self._calls.call(
            "ec2",
            "copy_image",
            settings.recovery,
            Name=f"{self._prefix(drill)}{COPY}-{instance}",
            SourceImageId=image,
            SourceRegion=settings.primary,
            ClientToken=digest(token, "copy", instance),
            TagSpecifications=[specified("image", marks), specified("snapshot", marks)],
        )

    def _in_primary(self, instance: str) -> Source | None:
        if not self._settings.copy:
            return None
        images = self._images(instance, self._settings.primary)
        return max(images, key=lambda source: source.taken, default=None)

    def _images(self, instance: str, region: str) -> list[Source]:
        rows = self._calls.rows(
            "describe_images", "Images", region, self._of(instance), Owners=["self"]
        )
        return [
            Source(taken=taken, image=str(row["ImageId"]))
            for row in rows
            if row.get("State") == "available" and DRILL not in tags(row)
            if (taken := self._taken(row, "CreationDate")) is not None
        ]

    def _snapshots(self, instance: str, region: str) -> list[Source]:
        rows = self._calls.rows(
            "describe_snapshots", "Snapshots", region, self._of(instance), OwnerIds=["self"]
        )
        newest: dict[str, tuple[datetime, str]] = {}
        for row in rows:
            taken = self._taken(row, "StartTime")
            if row.get("State") != "completed" or taken is None or DRILL in tags(row):
                continue
            device = tags(row).get(self._settings.device_tag, self._settings.root_device)
            newest[device] = max(newest.get(device, (taken, "")), (taken, str(row["SnapshotId"])))
        if self._settings.root_device not in newest:
            return []
        # A machine is as old as its oldest disk.
        oldest = min(taken for taken, _ in newest.values())
        return [Source(taken=oldest, snapshots={d: found for d, (_, found) in newest.items()})]

    def _of(self, instance: str) -> dict[str, list[str]]:
        return {f"tag:{self._settings.source_tag}": [instance]}

    def _taken(self, row: Row, field: str) -> datetime | None:
        # A copy's own time is when it was copied; the tag says when the disks looked like this.
        said = tags(row).get(self._settings.time_tag)
        return moment(said) if said else moment(row.get(field))
