"""The calls of a recovery: any region of one account, whole answers, refusals told apart."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from qlrf_pipelines.domain.errors import Refused
from resources.clouds.aws.connection import Connection
from resources.clouds.aws.faults import DENIALS, LOST_PAGES, broken_off, translated
from resources.clouds.aws.hands import Hands

Row = Mapping[str, Any]
AT_ONCE = 4
# Codes that say no for good, beside all that begin with Invalid or Unsupported.
_REFUSALS = frozenset(
    {
        "IdempotentInstanceTerminated",
        "IdempotentParameterMismatch",
        "IncorrectInstanceState",
        "NoSuchHostedZone",
        "OperationNotPermitted",
        "VcpuLimitExceeded",
        "InstanceLimitExceeded",
    }
)


class AwsCalls:
    """One identity's way to EC2 and Route 53. Safe to use from many threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turn = threading.BoundedSemaphore(AT_ONCE)

    def hands(self, region: str) -> Hands:
        """The same identity's hands in one region: commands on instances are their work."""
        return Hands(connection=self._connection, region=region, turn=self._turn)

    def call(self, service: str, method: str, region: str, /, **parameters: object) -> Any:  # noqa: ANN401
        """One call's whole answer, after the SDK's own retries.

        Raises:
            Refused: AWS says no for good; the message is AWS's own.
            Unavailable: there is no answer (Denied: not for us; Truncated: it broke off).
        """
        what = f"{service}:{method} in {region}"
        with translated(what):
            try:
                answer = getattr(self._connection.client(service, region), method)(**parameters)
            except ClientError as error:
                said = error.response.get("Error", {})
                if _is_refusal(str(said.get("Code", ""))):
                    raise Refused(f"{what}: {said.get('Code')}: {said.get('Message')}") from error
                raise
        if "Error" in answer:
            raise broken_off(what, str(answer["Error"].get("Message")))
        return answer

    def rows(
        self,
        method: str,
        key: str,
        region: str,
        /,
        filters: Mapping[str, Sequence[str]],
        **more: object,
    ) -> list[Row]:
        """Everything a listing of EC2 has, all pages of it."""
        asked = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
        found: list[Row] = []
        token: dict[str, str] = {}
        while True:
            answer = self.call("ec2", method, region, Filters=asked, **more, **token)
            found += answer.get(key, ())
            if not answer.get("NextToken"):
                return found
            token = {"NextToken": answer["NextToken"]}

    def instances(self, region: str, filters: Mapping[str, Sequence[str]]) -> list[Row]:
        """The instances of a region that fit, the terminated ones too as long as EC2 knows them."""
        reservations = self.rows("describe_instances", "Reservations", region, filters)
        return [instance for r in reservations for instance in r.get("Instances", ())]


def tags(row: Row) -> dict[str, str]:
    """A resource's tags."""
    return {tag["Key"]: tag["Value"] for tag in row.get("Tags") or ()}


def specified(kind: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Tags to be put on what a call makes, in the same moment it is made."""
    return {"ResourceType": kind, "Tags": pairs(values)}


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 spells them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]


def moment(value: object) -> datetime | None:
    """A time of EC2's; None for anything else."""
    if isinstance(value, datetime):
        return value
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _is_refusal(code: str) -> bool:
    if code in DENIALS or code in LOST_PAGES:
        return False
    return code in _REFUSALS or code.startswith(("Invalid", "Unsupported"))
