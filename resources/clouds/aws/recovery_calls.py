"""The calls of a recovery: any region of one account, whole answers, refusals told apart."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.session import Session

from qlrf_pipelines.domain.errors import Refused
from resources.clouds.aws.answers import WholeAnswers
from resources.clouds.aws.faults import DENIALS, LOST_PAGES, broken_off, translated

Row = Mapping[str, Any]
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
_CREATING = threading.Lock()


class _Models(Loader):
    """EC2's model is megabytes: a client is built from the calls we make, and no others."""

    def load_service_model(
        self, service_name: str, type_name: str, api_version: str | None = None
    ) -> Mapping[str, Any]:
        model: Mapping[str, Any] = super().load_service_model(service_name, type_name, api_version)
        if "operations" not in model:
            return model
        calls = {name: call for name, call in model["operations"].items() if name in SPOKEN}
        return {**model, "operations": calls}


SPOKEN = frozenset(
    {
        "AssumeRole",
        "ChangeResourceRecordSets",
        "CopyImage",
        "CreateTags",
        "DeleteSnapshot",
        "DeleteTags",
        "DeleteVolume",
        "DeregisterImage",
        "DescribeImages",
        "DescribeInstances",
        "DescribeSnapshots",
        "DescribeVolumes",
        "GetChange",
        "ListResourceRecordSets",
        "RegisterImage",
        "RunInstances",
        "StartInstances",
        "StopInstances",
        "TerminateInstances",
    }
)
_MODELS = _Models()


class AwsCalls:
    """One identity's way to EC2 and Route 53. Safe to use from many threads."""

    def __init__(
        self,
        keys: Mapping[str, str],
        *,
        endpoint_url: str | None,
        attempts: int,
        timeout: float,
        renew: Callable[[], dict[str, str]] | None = None,
    ) -> None:
        self._endpoint_url = endpoint_url
        self._clients: dict[tuple[str, str], Any] = {}
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=min(10, timeout),
            read_timeout=timeout,
        )
        self._session = Session()
        self._session.register_component("data_loader", _MODELS)
        self._session.register_component("response_parser_factory", WholeAnswers())
        if renew is not None:
            self._session.register_component("credential_provider", _Renewed(renew))
        elif keys:
            self._session.set_credentials(
                keys["accessKeyId"], keys["secretAccessKey"], keys.get("sessionToken")
            )

    def call(self, service: str, method: str, region: str, /, **parameters: object) -> Any:  # noqa: ANN401
        """One call's whole answer, after the SDK's own retries.

        Raises:
            Refused: AWS says no for good; the message is AWS's own.
            Unavailable: there is no answer (Denied: not for us; Truncated: it broke off).
        """
        what = f"{service}:{method} in {region}"
        with translated(what):
            try:
                answer = getattr(self._client(service, region), method)(**parameters)
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

    def _client(self, service: str, region: str) -> Any:  # noqa: ANN401  made at run time
        with _CREATING:  # a botocore session is not thread-safe; its clients are
            made = self._clients.get((service, region))
            if made is None:
                made = self._clients[service, region] = self._session.create_client(
                    service,
                    region_name=region,
                    endpoint_url=self._endpoint_url,
                    config=self._config,
                )
        return made


class _Renewed:
    """Stands where botocore looks for credentials; a drill may outlive a role's."""

    def __init__(self, renew: Callable[[], dict[str, str]]) -> None:
        self._credentials = DeferredRefreshableCredentials(renew, "assume-role")

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return self._credentials


def as_role(own: AwsCalls, role: str, *, region: str) -> Callable[[], dict[str, str]]:
    """How to get the credentials of a role that this identity may take."""

    def renew() -> dict[str, str]:
        given = own.call("sts", "assume_role", region, RoleArn=role, RoleSessionName="qlrf")
        keys = given["Credentials"]
        return {
            "access_key": keys["AccessKeyId"],
            "secret_key": keys["SecretAccessKey"],
            "token": keys["SessionToken"],
            "expiry_time": keys["Expiration"].isoformat(),
        }

    return renew


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
