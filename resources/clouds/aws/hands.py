"""An executor's calls in one region: bounded, translated, repeated only if that is harmless."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import NotFound, Truncated
from qlrf_pipelines.domain.operations import IDLE as IDLE

if TYPE_CHECKING:
    from resources.clouds.aws.connection import Connection

OPERATION = "qlrf:operation"
REPLACES = "qlrf:replaces"
REPLACED_BY = "qlrf:replaced-by"
BESIDE = "qlrf:beside"
RETAINED = "qlrf:retained"
PATCHED = "qlrf:patched"
CLAIM = "qlrf:claim"
BEFORE = "qlrf:before"
RESTORES = "qlrf:restores"

Instance = Mapping[str, Any]


class Turns:
    """At most so many calls at a time for each account and region, whoever makes them."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._turns: dict[tuple[str, str], threading.BoundedSemaphore] = {}

    def of(self, account: str, region: str) -> threading.BoundedSemaphore:
        """The turns of one account and region."""
        with self._lock:
            key = (account, region)
            if key not in self._turns:
                self._turns[key] = threading.BoundedSemaphore(self._at_once)
            return self._turns[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """One identity in one region."""

    connection: "Connection"
    region: str
    turn: threading.BoundedSemaphore

    def call(self, service: str, method: str, **parameters: object) -> dict[str, Any]:
        """One call, which the SDK may repeat: a reading, or a change that knows its repetition.

        Raises:
            NotFound: what it names does not exist.
            Rejected: AWS will never do that.
            Unavailable: there is no answer.
        """
        return self._call(service, method, parameters, once=False)

    def once(self, service: str, method: str, **parameters: object) -> dict[str, Any]:
        """One call that is sent once, because doing it twice would be twice the harm.

        Raises:
            NotFound: what it names does not exist; nothing was done.
            Rejected: AWS will never do that; nothing was done.
            Unanswered: nobody knows whether it was done.
            Unavailable: nothing was done.
        """
        return self._call(service, method, parameters, once=True)

    def every(
        self, service: str, method: str, rows: str, **parameters: object
    ) -> Iterator[Mapping[str, Any]]:
        """Every row of a listing, page by page.

        Raises:
            Truncated: the listing does not end.
            Unavailable: a page could not be read.
        """
        given, wanted = ("Marker", "NextMarker") if service == "elbv2" else ("NextToken",) * 2
        seen: set[str] = set()
        while True:
            answer = self.call(service, method, **parameters)
            yield from answer.get(rows, ())
            token = answer.get(wanted)
            if not token:
                return
            if token in seen:
                raise Truncated(f"{service}:{method}: the listing never ends; it is asked later.")
            seen.add(token)
            parameters = {**parameters, given: token}

    def instance(self, instance_id: str) -> Instance:
        """One instance as EC2 describes it.

        Raises:
            NotFound: there is none.
            Unavailable: EC2 did not answer.
        """
        found = self.instances(InstanceIds=[instance_id])
        if not found:
            raise NotFound(f"There is no instance {instance_id} in {self.region}.")
        return found[0]

    def instances(self, **parameters: object) -> Sequence[Instance]:
        """The instances that match."""
        pages = self.every("ec2", "describe_instances", "Reservations", **parameters)
        return [instance for page in pages for instance in page["Instances"]]

    def tagged(self, key: str, value: str) -> Sequence[Instance]:
        """The instances that carry a tag with this value, also those that are gone."""
        return self.instances(Filters=[{"Name": f"tag:{key}", "Values": [value]}])

    def tag(self, resource: str, tags: Mapping[str, str]) -> None:
        """Write tags; doing it twice is doing it once."""
        given = [{"Key": key, "Value": value} for key, value in tags.items()]
        self.call("ec2", "create_tags", Resources=[resource], Tags=given)

    def untag(self, resource: str, *keys: str) -> None:
        """Take tags away; doing it twice is doing it once."""
        self.call("ec2", "delete_tags", Resources=[resource], Tags=[{"Key": key} for key in keys])

    def _call(
        self, service: str, method: str, parameters: Mapping[str, object], *, once: bool
    ) -> dict[str, Any]:
        from resources.clouds.aws.faults import Unanswered, executing

        what = f"{service}:{method} in {self.region}"
        with self.turn, executing(what):
            client = self.connection.client(service, self.region, once=once)
            answer: dict[str, Any] = getattr(client, method)(**parameters)
        if "Error" in answer:
            raise Unanswered(f"{what}: the answer broke off; it is asked again later.")
        return answer


def found_instance(hands: Hands, instance_id: str) -> Instance | None:
    """One instance as EC2 describes it; None if EC2 knows none.

    Raises:
        Unavailable: EC2 did not answer.
    """
    try:
        return hands.instance(instance_id)
    except NotFound:
        return None


def tags_of(instance: Instance) -> dict[str, str]:
    """The tags of anything EC2 describes."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}


def state_of(instance: Instance) -> str:
    """The state of an instance, as EC2 names it."""
    return str(instance["State"]["Name"])


def is_gone(instance: Instance) -> bool:
    """Whether an instance has ended for good."""
    return state_of(instance) in ("shutting-down", "terminated")
