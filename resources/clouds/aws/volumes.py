"""Volumes as EC2 describes them, and what makes another one like one of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from resources.clouds.aws.hands import Hands

WITH_IOPS = ("io1", "io2", "gp3")

Rows = Mapping[str, Mapping[str, Any]]


def volumes_named(hands: Hands, names: Sequence[str]) -> Rows:
    """The volumes with these ids that are there, by id.

    Raises:
        Unavailable: EC2 did not answer.
    """
    # By filter: a volume that somebody deleted is missing from the answer, and no error.
    given = [{"Name": "volume-id", "Values": list(names)}]
    rows = hands.every("ec2", "describe_volumes", "Volumes", Filters=given)
    return {row["VolumeId"]: row for row in rows}


def shared_of(rows: Rows) -> list[str]:
    """Those of them that can be attached to several machines at once."""
    return sorted(name for name, row in rows.items() if row.get("MultiAttachEnabled"))


def like(volume: Mapping[str, Any]) -> dict[str, Any]:
    """The size, kind, speed and encryption of a volume, as EC2 takes them for a new one."""
    kind = volume["VolumeType"]
    found = {"VolumeType": kind, "Size": int(volume["Size"])}
    if kind in WITH_IOPS and volume.get("Iops"):
        found["Iops"] = int(volume["Iops"])
    if kind == "gp3" and volume.get("Throughput"):
        found["Throughput"] = int(volume["Throughput"])
    if volume.get("Encrypted"):
        found["Encrypted"] = True
        if volume.get("KmsKeyId"):
            found["KmsKeyId"] = volume["KmsKeyId"]
    return found
