"""A connector's way into AWS: credentials, clients and calls, over botocore (boto3's core)."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials
from botocore.loaders import Loader
from botocore.session import Session

from qlrf_pipelines.domain.estate import Connector
from resources.clouds.aws.answers import AnswerParsers
from resources.clouds.aws.faults import broken_off, translated
from resources.clouds.patience import Patience

FALLBACK_REGION = "us-east-1"
SPOKEN = frozenset(
    {
        "AssumeRole",
        "DescribeImages",
        "DescribeInstancePatchStates",
        "DescribeInstances",
        "DescribeRegions",
        "DescribeSecurityGroups",
        "DescribeVolumes",
        "GetCallerIdentity",
    }
)
# What executing asks besides; nothing in this file decides what is permitted, IAM does.
CHANGING = frozenset(
    {
        "AssociateAddress",
        "AttachNetworkInterface",
        "AttachVolume",
        "CancelInstanceRefresh",
        "CreateLaunchTemplateVersion",
        "CreateSnapshots",
        "CreateTags",
        "CreateVolume",
        "DeleteSnapshot",
        "DeleteTags",
        "DeregisterTargets",
        "DescribeAddresses",
        "DescribeAutoScalingGroups",
        "DescribeAutoScalingInstances",
        "DescribeInstanceAttribute",
        "DescribeInstanceInformation",
        "DescribeInstanceRefreshes",
        "DescribeInstanceStatus",
        "DescribeLaunchTemplateVersions",
        "DescribeNetworkInterfaces",
        "DescribeSnapshots",
        "DescribeTargetGroups",
        "DescribeTargetHealth",
        "DetachNetworkInterface",
        "DetachVolume",
        "GetCommandInvocation",
        "Invoke",
        "ListCommands",
        "RebootInstances",
        "RegisterTargets",
        "RunInstances",
        "SendCommand",
        "StartInstanceRefresh",
        "StartInstances",
        "StopInstances",
        "TerminateInstances",
    }
)
# What bringing machines back in another region asks besides.
RECOVERING = frozenset(
    {
        "ChangeResourceRecordSets",
        "CopyImage",
        "DeleteSnapshot",
        "DeleteVolume",
        "DeregisterImage",
        "DescribeSnapshots",
        "GetChange",
        "ListResourceRecordSets",
        "RegisterImage",
    }
)
_CREATING = threading.Lock()


class _Models(Loader):
    """Service models with the calls we make: a client is built from every call in its model."""

    def __init__(self, spoken: frozenset[str]) -> None:
        super().__init__()
        self._spoken = spoken

    def load_service_model(
        self, service_name: str, type_name: str, api_version: str | None = None
    ) -> Mapping[str, Any]:
        model: Mapping[str, Any] = super().load_service_model(service_name, type_name, api_version)
        if "operations" not in model:
            return model
        calls = {name: call for name, call in model["operations"].items() if name in self._spoken}
        return {**model, "operations": calls}


# EC2's model is megabytes of JSON: read once for all connectors, which share nothing else.
_MODELS = _Models(SPOKEN)
_CHANGING_MODELS = _Models(SPOKEN | CHANGING | RECOVERING)


class Connection:
    """One identity's clients, one per service and region. Safe to use from many threads."""

    def __init__(
        self,
        session: Session,
        connector: Connector,
        patience: Patience,
        *,
        changing: bool = False,
    ) -> None:
        self._session = session
        self._connector = connector
        self._patience = patience
        self._changing = changing
        self._clients: dict[tuple[str, str, bool], Any] = {}
        own = connector.regions[0] if connector.regions else None
        self.home: str = own or session.get_config_variable("region") or FALLBACK_REGION

    def call(
        self, service: str, method: str, *, region: str = "", **parameters: object
    ) -> dict[str, Any]:
        """One call's whole answer, after the SDK's own retries.

        Raises:
            Unavailable: there is none (Denied: not for us; Truncated: it broke off).
        """
        place = region or self.home
        what = f"{service}:{method} in {place}"
        with translated(what):
            answer: dict[str, Any] = getattr(self.client(service, place), method)(**parameters)
        if "Error" in answer:
            raise broken_off(what, str(answer["Error"].get("Message")))
        return answer

    def as_role(self, role: str) -> "Connection":
        """The same way in, with the credentials of a role, renewed whenever they run out."""

        def renew() -> dict[str, str]:
            given = self.call("sts", "assume_role", RoleArn=role, RoleSessionName="qlrf")
            keys = given["Credentials"]
            return {
                "access_key": keys["AccessKeyId"],
                "secret_key": keys["SecretAccessKey"],
                "token": keys["SessionToken"],
                "expiry_time": keys["Expiration"].isoformat(),
            }

        session = _session(changing=self._changing)
        session.register_component("credential_provider", _Renewed(renew))
        return Connection(session, self._connector, self._patience, changing=self._changing)

    def client(self, service: str, region: str, *, once: bool = False) -> Any:  # noqa: ANN401
        """The SDK's client, made at first use; `once` is for calls that must not be repeated."""
        with _CREATING:  # a botocore session is not thread-safe; its clients are
            made = self._clients.get((service, region, once))
            if made is None:
                made = self._clients[service, region, once] = self._session.create_client(
                    service,
                    region_name=region,
                    endpoint_url=self._connector.endpoint_url,
                    config=self._config(1 if once else self._patience.max_attempts),
                )
        return made

    def _config(self, attempts: int) -> Config:
        return Config(
            retries={"mode": "adaptive", "total_max_attempts": attempts},
            connect_timeout=min(10, self._patience.read_timeout),
            read_timeout=self._patience.read_timeout,
            max_pool_connections=self._patience.pool_size,
        )


class _Renewed:
    """Stands where botocore looks for credentials."""

    def __init__(self, renew: Callable[[], dict[str, str]]) -> None:
        self._credentials = DeferredRefreshableCredentials(renew, "assume-role")

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return self._credentials


def connect(
    connector: Connector,
    secrets: Mapping[str, str],
    patience: Patience,
    *,
    changing: bool = False,
) -> Connection:
    """A fresh connection for a connector; nothing but service models is shared with another's.

    A `changing` one knows the calls that change something, and reads every answer in full.

    Raises:
        Denied: the SDK's own configuration cannot be used.
    """
    with translated(f"connector {connector.name}"):
        session = _session(changing=changing)
        if secrets:
            session.set_credentials(
                secrets["accessKeyId"], secrets["secretAccessKey"], secrets.get("sessionToken")
            )
        return Connection(session, connector, patience, changing=changing)


def _session(*, changing: bool) -> Session:
    session = Session()
    session.register_component("data_loader", _CHANGING_MODELS if changing else _MODELS)
    session.register_component("response_parser_factory", AnswerParsers(lean=not changing))
    return session
