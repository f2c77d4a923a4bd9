"""AWS as a cloud: accounts, regions and listings. Importing it imports no SDK."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import Truncated, Unavailable
from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.inventory import Page, Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clouds import Cloud, CloudSession, LostAccount
from resources.clouds.aws.listings import pages
from resources.clouds.patience import Patience
from resources.secrets import Secrets

if TYPE_CHECKING:
    from resources.clouds.aws.connection import Connection

# What DescribeRegions calls a region that may be used.
ENABLED = ("opt-in-not-required", "opted-in")


class AwsCloud(Cloud):
    """AWS over its own API, one session per account of a connector."""

    platform = Platform.AWS

    def __init__(self, *, secrets: Secrets, patience: Patience) -> None:
        self._secrets = secrets
        self._patience = patience

    def sessions(self, connector: Connector) -> Sequence[CloudSession | LostAccount]:
        """One session per account; see the port."""
        from resources.clouds.aws.connection import connect

        keys = self._secrets.of(connector)
        try:
            own = connect(connector, keys, self._patience)
        except Unavailable as error:
            return [LostAccount(account="unknown", error=error)]
        if not connector.assume_roles:
            return [_enter(own, connector, account="unknown")]
        found = [
            _enter(own.as_role(role), connector, account=role.split(":")[4])
            for role in connector.assume_roles
        ]
        return _one_each(found)


class AwsSession(CloudSession):
    """One AWS account as one identity sees it."""

    def __init__(
        self, connection: "Connection", connector: Connector, *, account: str, identity: str
    ) -> None:
        self.account = account
        self.identity = identity
        self._connection = connection
        self._connector = connector

    def regions(self, *, known: Sequence[str] = ()) -> Sequence[str]:
        """The connector's regions, or every one the account has enabled; see the port."""
        del known  # a region of AWS does not come and go
        if self._connector.regions:
            return self._connector.regions
        answer = self._connection.call("ec2", "describe_regions")
        return sorted(
            region["RegionName"]
            for region in _field(answer, "Regions", "ec2:describe_regions")
            if region.get("OptInStatus", ENABLED[0]) in ENABLED
        )

    def list_scope(self, scope: Scope, *, ids: Sequence[str] = ()) -> Iterator[Page]:
        """Every page of one scope; see the port."""
        return pages(scope.kind, partial(self._connection.call, region=scope.region), ids)


def _enter(
    connection: "Connection", connector: Connector, *, account: str
) -> CloudSession | LostAccount:
    try:
        who = connection.call("sts", "get_caller_identity")
        return AwsSession(
            connection,
            connector,
            account=_field(who, "Account", "sts:get_caller_identity"),
            identity=_field(who, "Arn", "sts:get_caller_identity"),
        )
    except Unavailable as error:
        return LostAccount(account=account, error=error)


def _field(answer: dict[str, Any], name: str, what: str) -> Any:  # noqa: ANN401
    if not answer.get(name):
        raise Truncated(f"{what}: the answer has no {name}; it is asked again later.")
    return answer[name]


def _one_each(
    found: Sequence[CloudSession | LostAccount],
) -> Sequence[CloudSession | LostAccount]:
    # Two roles may lead into one account: one that opens it is enough, or its scopes come twice.
    opened: dict[str, CloudSession] = {}
    for session in found:
        if isinstance(session, CloudSession):
            opened.setdefault(session.account, session)
    lost = {s.account: s for s in found if isinstance(s, LostAccount) and s.account not in opened}
    return [*opened.values(), *lost.values()]
