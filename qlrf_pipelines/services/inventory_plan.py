"""Planning a refresh: which accounts and regions to list, who may claim them, and what is lost."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from qlrf_pipelines.domain.errors import Denied, NotFound, QlrfError, Unavailable
from qlrf_pipelines.domain.estate import Connector, Tenant, TenantId
from qlrf_pipelines.domain.inventory import Certificate, Kind, Scope
from qlrf_pipelines.domain.vocabulary import ListingStatus, Platform
from qlrf_pipelines.ports.clouds import CloudSession, LostAccount
from qlrf_pipelines.ports.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One region of one account as one connector of one tenant sees it."""

    tenant: TenantId
    connector: str
    platform: Platform
    account: str
    region: str

    def scope(self, kind: Kind) -> Scope:
        """The place's scope of one kind."""
        return Scope(
            tenant=self.tenant,
            connector=self.connector,
            platform=self.platform,
            account=self.account,
            region=self.region,
            kind=kind,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A place that will be listed, through a session, under a number."""

    number: int
    place: Place
    session: CloudSession

    def scope(self, kind: Kind) -> Scope:
        """The place's scope of one kind."""
        return self.place.scope(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything to list, and the certificates of what cannot even be tried."""

    regions: tuple[Planned, ...]
    certificates: tuple[Certificate, ...]


Known = Mapping[Place, frozenset[Kind]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entered:
    """One connector after its accounts were tried; `regions` are its look-ups, by account."""

    connector: Connector
    certificates: tuple[Certificate, ...]
    sessions: tuple[CloudSession, ...]
    regions: Mapping[str, Sequence[str]]
    lost: QlrfError | None


def plan(
    world: World,
    pool: ThreadPoolExecutor,
    tenants: Iterable[Tenant],
    *,
    known: Known,
    live: Collection[Place] = (),
) -> Plan:
    """Enter every account, look up every region, and share them out without overlap.

    A region is claimed by the first connector by name; the scopes a connector is known to hold
    stay claimed by it while its account does not answer, so nobody else's listing can be taken
    for its own. A connector's places with `live` assets are told to its session.
    """
    connectors = sorted(
        (c for tenant in tenants for c in tenant.connectors), key=lambda c: (c.tenant, c.name)
    )
    entered = list(pool.map(lambda connector: _enter(world, connector), connectors))
    looks = [
        pool.submit(_look, world, entry.connector, session, _lived_in(live, entry, session))
        for entry in entered
        for session in entry.sessions
    ]
    found = iter([look.result() for look in looks])
    shares = _Shares(world, known)
    for entry in entered:
        shares.share(_with_regions(entry, [next(found) for _ in entry.sessions]))
    return Plan(regions=tuple(shares.regions), certificates=tuple(shares.certificates))


def _enter(world: World, connector: Connector) -> _Entered:
    cloud = world.clouds.get(connector.platform)
    certificates: list[Certificate] = []
    sessions: dict[str, CloudSession] = {}
    lost: QlrfError | None = None
    try:
        if cloud is None:
            raise NotFound(
                f"Connector {connector.name} of tenant {connector.tenant} is on "
                f"{connector.platform}, which this installation has no adapter for; remove it."
            )
        answers = cloud.sessions(connector)
    except QlrfError as error:
        answers = [LostAccount(account="unknown", error=error)]
    for answer in answers:
        fault = _error_of(answer)
        certificates.append(_look_up(world, connector, answer.account, Kind.ACCOUNT, error=fault))
        if isinstance(answer, LostAccount):
            lost = fault
        else:
            sessions.setdefault(answer.account, answer)
    return _Entered(
        connector=connector,
        certificates=tuple(certificates),
        sessions=tuple(sessions.values()),
        regions={},
        lost=lost,
    )


def _error_of(answer: CloudSession | LostAccount) -> QlrfError | None:
    if not isinstance(answer, LostAccount):
        return None
    if isinstance(answer.error, QlrfError):
        return answer.error
    return Unavailable(f"Account {answer.account} could not be entered: {answer.error}")


def _lived_in(live: Collection[Place], entry: _Entered, session: CloudSession) -> list[str]:
    mine = (entry.connector.tenant, entry.connector.name, session.account)
    return sorted(p.region for p in live if (p.tenant, p.connector, p.account) == mine)


def _look(
    world: World, connector: Connector, session: CloudSession, lived_in: Sequence[str]
) -> tuple[Sequence[str] | None, Certificate, QlrfError | None]:
    try:
        regions = session.regions(known=lived_in)
    except QlrfError as error:
        failed = _look_up(
            world, connector, session.account, Kind.REGION, error=error, identity=session.identity
        )
        return None, failed, error
    done = _look_up(
        world,
        connector,
        session.account,
        Kind.REGION,
        identity=session.identity,
        listed=len(regions),
    )
    return tuple(dict.fromkeys(regions)), done, None


def _with_regions(
    entry: _Entered,
    looks: Sequence[tuple[Sequence[str] | None, Certificate, QlrfError | None]],
) -> _Entered:
    lost = entry.lost
    regions: dict[str, Sequence[str]] = {}
    for session, (found, _, error) in zip(entry.sessions, looks, strict=True):
        if found is None:
            lost = lost or error
        else:
            regions[session.account] = found
    return _Entered(
        connector=entry.connector,
        certificates=(*entry.certificates, *(certificate for _, certificate, _ in looks)),
        sessions=entry.sessions,
        regions=regions,
        lost=lost,
    )


class _Shares:
    """Hands regions to connectors, first come first served, and remembers who has which."""

    def __init__(self, world: World, known: Known) -> None:
        self.regions: list[Planned] = []
        self.certificates: list[Certificate] = []
        self._world = world
        self._known = known
        self._claimed: dict[tuple[TenantId, Platform, str, str], str] = {}

    def share(self, entry: _Entered) -> None:
        """Give one connector what it found and nobody claimed; keep what it cannot reach now."""
        self.certificates.extend(entry.certificates)
        connector = entry.connector
        for session in entry.sessions:
            for region in entry.regions.get(session.account, ()):
                place = _place(connector, session.account, region)
                holder = self._claim(place)
                if holder == connector.name:
                    number = len(self.regions)
                    self.regions.append(Planned(number=number, place=place, session=session))
                else:
                    self._refuse(place, holder)
        if entry.lost is not None:
            self._keep(entry, entry.lost)

    def _claim(self, place: Place) -> str:
        key = (place.tenant, place.platform, place.account, place.region)
        return self._claimed.setdefault(key, place.connector)

    def _refuse(self, place: Place, holder: str) -> None:
        error = NotFound(
            f"Region {place.region} of account {place.account} is already listed by connector "
            f"{holder}; remove it from connector {place.connector} of tenant {place.tenant}."
        )
        self.certificates.append(_failed(self._world, place.scope(Kind.INSTANCE), error))

    def _keep(self, entry: _Entered, error: QlrfError) -> None:
        mine = (entry.connector.tenant, entry.connector.name)
        for place, kinds in self._known.items():
            if (place.tenant, place.connector) != mine or place.account in entry.regions:
                continue
            self._claim(place)
            for kind in sorted(kinds):
                # Never denied: nobody asked for the scope itself.
                failed = _failed(self._world, place.scope(kind), error)
                self.certificates.append(replace(failed, status=ListingStatus.INCOMPLETE))


def _place(connector: Connector, account: str, region: str) -> Place:
    return Place(
        tenant=connector.tenant,
        connector=connector.name,
        platform=connector.platform,
        account=account,
        region=region,
    )


def _look_up(
    world: World,
    connector: Connector,
    account: str,
    kind: Kind,
    *,
    error: QlrfError | None = None,
    identity: str | None = None,
    listed: int = 1,
) -> Certificate:
    scope = _place(connector, account, "").scope(kind)
    if error is not None:
        return _failed(world, scope, error, identity=identity)
    now = world.clock.now()
    certificate = Certificate(
        scope=scope,
        identity=identity,
        started_at=now,
        finished_at=now,
        status=ListingStatus.COMPLETE,
        pages=1,
        end_marker=True,
        listed=listed,
        error=None,
    )
    world.progress.listed(certificate)
    return certificate


def _failed(
    world: World, scope: Scope, error: QlrfError, *, identity: str | None = None
) -> Certificate:
    now = world.clock.now()
    certificate = Certificate(
        scope=scope,
        identity=identity,
        started_at=now,
        finished_at=now,
        status=ListingStatus.DENIED if isinstance(error, Denied) else ListingStatus.INCOMPLETE,
        pages=0,
        end_marker=False,
        listed=0,
        error=str(error),
    )
    world.progress.listed(certificate)
    return certificate
