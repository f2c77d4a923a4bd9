"""PostgreSQL streaming replication: a primary and its standby, moved for real.

Both data folders are on this machine and belong to the user the servers run as; the servers are
reached on the ports the contract names. docs/guide/drills.md says what that leaves out.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.operations import Health, HealthReport, Progress, Status
from qlrf_pipelines.domain.recovery import (
    Member,
    Move,
    MoveKind,
    Replication,
    ReplicationStatus,
    Serving,
    Side,
)
from qlrf_pipelines.ports.recovery import Canary, RecoveryAdapter, RecoverySession
from resources.database import cluster
from resources.recovery.answering import ANSWERS
from resources.recovery.postgres_back import PgReturn, progress
from resources.recovery.postgres_canary import PostgresCanary
from resources.recovery.postgres_server import Login, PgSide
from resources.recovery.postgres_service import ServiceFile
from resources.secrets import Secrets

# Bytes of log the standby may be behind and still count as in sync: less than one commit a second.
IN_SYNC_BYTES = 64 * 1024
_KNOWN = {"primary", "recovery", "service", "database", "user", "password"}
_LAG = (
    "SELECT state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint "
    "FROM pg_stat_replication ORDER BY state <> 'streaming' LIMIT 1"
)
_AGE = "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8"


class PostgresRecovery(RecoveryAdapter):
    """Moves a streaming pair; the driver is loaded when a member is first asked."""

    name = "postgres"
    version = "postgres-1"
    answers = ANSWERS[name]

    def __init__(self, *, secrets: Secrets, postgres_bin: str = "") -> None:
        self._secrets = secrets
        self._bin = postgres_bin

    def open(self, member: Member) -> RecoverySession:
        """Reach a member; see the port."""
        settings = member.settings
        strangers = sorted(set(settings) - _KNOWN)
        if strangers:
            raise Rejected(f"Member {member.name}: {strangers[0]} is no setting of postgres.")
        owner = f"Member {member.name}"
        references = {"password": settings["password"]} if "password" in settings else {}
        login = Login(
            user=str(settings.get("user", cluster.SUPERUSER)),
            database=str(settings.get("database", "postgres")),
            password=self._secrets.resolved(references, owner=owner).get("password", ""),
        )
        binaries, launch = cluster.find_binaries(self._bin), cluster.launch_as()

        def side(name: str) -> PgSide:
            data, port = _side(member, name)
            return PgSide(data=data, port=port, binaries=binaries, login=login, launch=launch)

        primary, recovery = side("primary"), side("recovery")
        if primary.data == recovery.data or primary.port == recovery.port:
            raise Rejected(f"{owner}: both sides are the same; give each its own data and port.")
        return PostgresSession(primary, recovery, service=_service(member))


def _side(member: Member, name: str) -> tuple[Path, int]:
    given = member.settings.get(name)
    if not isinstance(given, Mapping) or not {"data", "port"} <= set(given):
        raise Rejected(f"Member {member.name}: settings.{name} needs data and port.")
    data, port = Path(str(given["data"])), given["port"]
    if not data.is_absolute():
        raise Rejected(f"Member {member.name}: settings.{name}.data must be an absolute path.")
    if not isinstance(port, int) or not 0 < port < 65536:
        raise Rejected(f"Member {member.name}: settings.{name}.port is {port!r}, no port.")
    return data, port


def _service(member: Member) -> ServiceFile | None:
    given = member.settings.get("service")
    if given is None:
        return None
    if not isinstance(given, Mapping) or not {"file", "name"} <= set(given):
        raise Rejected(f"Member {member.name}: settings.service needs file and name.")
    return ServiceFile(file=Path(str(given["file"])), name=str(given["name"]))


class PostgresSession(RecoverySession):
    """A primary and its standby within reach; everything it knows it reads anew each time."""

    def __init__(self, primary: PgSide, recovery: PgSide, *, service: ServiceFile | None) -> None:
        self.primary = primary
        self.recovery = recovery
        self.service = service

    def replication(self) -> Replication:
        """How far the standby is behind, as the primary and the standby say; see the port."""
        try:
            row = self.primary.ask(_LAG)
        except Unavailable as error:
            return Replication(status=ReplicationStatus.UNKNOWN, detail=str(error))
        if not row or row[0] != "streaming":
            said = f"the standby is in {row[0]}" if row else "no standby streams"
            return Replication(status=ReplicationStatus.FAILED, detail=said)
        lag = None if row[1] is None else max(0, int(row[1]))
        if lag is None:
            return Replication(status=ReplicationStatus.UNKNOWN, detail="its place is not known")
        behind = lag > IN_SYNC_BYTES
        return Replication(
            status=ReplicationStatus.LAGGING if behind else ReplicationStatus.IN_SYNC,
            detail=f"the standby streams, {lag} bytes behind",
            lag_seconds=self._age() if lag else 0.0,
            lag_bytes=lag,
        )

    def _age(self) -> float | None:
        try:
            age = self.recovery.ask(_AGE)[0]
        except Unavailable:
            return None
        return None if age is None else max(0.0, float(age))

    def serving(self) -> Mapping[Side, Serving]:
        """What each server does; see the port."""
        return {Side.PRIMARY: self.primary.serving(), Side.RECOVERY: self.recovery.serving()}

    def advance(self, move: Move) -> Progress:
        """One step of a move; see the port."""
        if move.test and move.kind is not MoveKind.CLEAN_UP:
            raise Rejected(
                "PostgreSQL on this machine has no isolated network for a test failover; drill it "
                "in full, or restore a base backup elsewhere."
            )
        moves: Mapping[MoveKind, Callable[[Move], Progress]] = {
            MoveKind.ISOLATE: self._isolate,
            MoveKind.FAIL_OVER: self._fail_over,
            MoveKind.SWITCH: self._switch,
            MoveKind.FAIL_BACK: PgReturn(self.primary, self.recovery, self.service).step,
            MoveKind.CLEAN_UP: self._clean_up,
        }
        return moves[move.kind](move)

    def leftovers(self, drill: str) -> Sequence[str]:
        """Numbers, folders and fences of a drill; see the port."""
        found = [*self.primary.remains(), *self.recovery.remains()]
        if PostgresCanary(self.primary).read(drill):
            found.append(f"rows of drill {drill} in table qlrf_canary")
        return found

    def canary(self, side: Side, *, drill: str) -> Canary | None:
        """The canary table of one side; see the port."""
        del drill
        return PostgresCanary(self.primary if side is Side.PRIMARY else self.recovery)

    def ask(
        self, side: Side, check: Mapping[str, Any], *, drill: str, timeout_seconds: float
    ) -> HealthReport:
        """A statement, sent where clients send theirs; a good answer of another side is none."""
        del drill
        if check.get("type") != "sql":
            why = "PostgreSQL runs statements; a command needs another adapter"
            return HealthReport(health=Health.UNKNOWN, why=why)
        wanted = self.primary if side is Side.PRIMARY else self.recovery
        host, port = self.service.leads_to() if self.service else (wanted.host, wanted.port)
        if port != wanted.port:
            why = f"the service leads to port {port}, not to the {side} side"
            return HealthReport(health=Health.UNHEALTHY, why=why)
        return _answer(wanted, host, check, timeout_seconds)

    def _isolate(self, move: Move) -> Progress:
        """Turn clients away and stop at once: what was not sent by now is lost, as in a fire."""
        self.primary.fence(move.drill)
        if self.primary.runs():
            return progress(Status.RUNNING, "the old primary is stopping", poll_seconds=0.1)
        return progress(Status.SUCCEEDED, "the old primary is stopped and lets nobody in")

    def _fail_over(self, move: Move) -> Progress:
        if self.primary.serving() in (Serving.LIVE, Serving.UNKNOWN):
            return progress(
                Status.FAILED,
                "the old primary is not fenced; promoting the standby would make two of them",
            )
        found = self.recovery.serving()
        if found is Serving.LIVE:
            return progress(Status.SUCCEEDED, "the recovery side is promoted and takes writes")
        if found is Serving.STOPPED:
            self.recovery.start()
            return progress(Status.RUNNING, "the recovery side is started", poll_seconds=0.05)
        if found is not Serving.STANDBY:
            return progress(Status.FAILED, f"the recovery side is {found}, no standby")
        if not move.checkpoint.get("promoted"):
            self.recovery.promote()
        return progress(
            Status.RUNNING, "the standby is being promoted", poll_seconds=0.05, promoted=True
        )

    def _switch(self, move: Move) -> Progress:
        del move
        if self.service is None:
            return progress(Status.SUCCEEDED, "no service address is declared")
        if self.service.leads_to() != (self.recovery.host, self.recovery.port):
            self.service.switch(
                self.recovery.host, self.recovery.port, database=self.recovery.login.database
            )
        return progress(Status.SUCCEEDED, f"{self.service.name} leads to port {self.recovery.port}")

    def _clean_up(self, move: Move) -> Progress:
        if self.primary.serving() is not Serving.LIVE:
            return progress(Status.FAILED, "the primary is not live yet; fail back first")
        PostgresCanary(self.primary).forget(move.drill)
        for side in (self.primary, self.recovery):
            side.tidy()
        return progress(Status.SUCCEEDED, "nothing of the drill is left")


def _answer(
    side: PgSide, host: str, check: Mapping[str, Any], timeout_seconds: float
) -> HealthReport:
    import psycopg2

    options = f"-c statement_timeout={int(timeout_seconds * 1000)}"
    given = side.login.to(host, side.port, options=options)
    given["connect_timeout"] = max(2, int(timeout_seconds))
    try:
        opened = psycopg2.connect(**given)
    except psycopg2.Error as error:
        return HealthReport(health=Health.UNHEALTHY, why=" ".join(str(error).split())[:300])
    try:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute(str(check["statement"]))
            row = cursor.fetchone() if cursor.description else None
    except psycopg2.Error as error:
        return HealthReport(health=Health.UNHEALTHY, why=" ".join(str(error).split())[:300])
    finally:
        opened.close()
    said = "" if row is None or row[0] is None else str(row[0])
    wanted = check.get("expect")
    if wanted is not None and said != wanted:
        return HealthReport(health=Health.UNHEALTHY, why=f"it answers {said!r}, not {wanted!r}")
    return HealthReport(health=Health.HEALTHY, why=f"it answers {said[:80]!r}")
