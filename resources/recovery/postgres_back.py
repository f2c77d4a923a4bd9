"""The way back of a PostgreSQL pair, one step at a time, each found from what is there.

The old primary is rewound (or seeded again) from the promoted standby, follows it, takes over when
the other one has stopped and handed everything over, and is followed again.
"""

from collections.abc import Mapping

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.operations import Progress, Status
from qlrf_pipelines.domain.recovery import Move, Serving
from resources.recovery.postgres_server import PgSide
from resources.recovery.postgres_service import ServiceFile

_BEHIND = (
    "SELECT state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint "
    "FROM pg_stat_replication WHERE application_name = %s"
)
_RECEIVED = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), %s::pg_lsn)::bigint"
POLL_SECONDS = 0.2
_DOWN = (Serving.ISOLATED, Serving.STOPPED)


def progress(
    status: Status, detail: str, *, poll_seconds: float = POLL_SECONDS, **checkpoint: object
) -> Progress:
    """How far a move is."""
    return Progress(status=status, detail=detail, checkpoint=checkpoint, poll_seconds=poll_seconds)


class PgReturn:
    """Looks at both sides and takes the one step that is next."""

    def __init__(self, primary: PgSide, recovery: PgSide, service: ServiceFile | None) -> None:
        self._primary = primary
        self._recovery = recovery
        self._service = service

    def step(self, move: Move) -> Progress:
        """One step of the way back; see the port."""
        here, there = self._primary.serving(), self._recovery.serving()
        if here is Serving.LIVE:
            return self._protect(there, move.checkpoint)
        if here is Serving.STANDBY:
            return self._take_over(there, move.checkpoint)
        if here in _DOWN:
            return self._bring_up(there, move.checkpoint)
        if here is Serving.ABSENT:
            return self._rebuild(there, move.checkpoint)
        return _running("the primary does not say what it is; it may be starting")

    def _bring_up(self, there: Serving, kept: Mapping[str, object]) -> Progress:
        """The primary is down: start it as it was, or as a standby of who took over."""
        if self._recovery.follows():
            return self._never_left(there, kept)
        return self._rebuild(there, kept)

    def _never_left(self, there: Serving, kept: Mapping[str, object]) -> Progress:
        """The standby was never promoted, so the old primary is still the only one."""
        if there is not Serving.STOPPED and not kept.get("checked"):
            # A promotion that was asked for may still be on its way: a stopped server cannot.
            self._recovery.stop("fast")
            return _running("the standby is stopped, to make sure that it stays one", checked=True)
        if not kept.get("checked"):
            return _running("the standby is stopped already", checked=True)
        self._primary.unfence()
        self._primary.start()
        return _running("the primary is started as it was")

    def _rebuild(self, there: Serving, kept: Mapping[str, object]) -> Progress:
        """Make the old primary a standby of the one that took over."""
        if there in _DOWN:
            self._recovery.start()
            return _running("the recovery side is started")
        if there is not Serving.LIVE:
            return progress(Status.FAILED, f"neither side can be followed: recovery is {there}")
        how = self._copied(kept)
        self._primary.restore_config()
        self._primary.follow(self._recovery)
        self._primary.unfence()
        self._primary.follow(self._recovery)
        self._primary.start()
        return _running(f"the old primary follows the recovery side, after a {how}", how=how)

    def _copied(self, kept: Mapping[str, object]) -> str:
        """Bring the data folder to where the other one is."""
        if (self._primary.data / "PG_VERSION").exists() and kept.get("how") != "re-seed":
            (self._primary.data / "standby.signal").unlink(missing_ok=True)
            try:
                self._primary.rewind(self._recovery)
            except Unavailable:
                # What cannot be rewound is made again from the side that has everything.
                self._primary.reseed(self._recovery)
                return "re-seed"
            return "rewind"
        self._primary.reseed(self._recovery)
        return "re-seed"

    def _take_over(self, there: Serving, kept: Mapping[str, object]) -> Progress:
        """The old primary follows: let it take over once it has everything."""
        if there is Serving.LIVE:
            row = self._recovery.ask(_BEHIND, self._primary.standby_name)
            if not row or row[0] != "streaming" or row[1] is None or row[1] > 16 * 1024 * 1024:
                said = f"{row[1]} bytes behind" if row and row[1] is not None else "not streaming"
                return _running(f"the old primary catches up ({said})", **kept)
            # Stopping fast sends everything to the standby before the server ends.
            self._recovery.stop("fast")
            return _running("the recovery side is stopped and has handed everything over", **kept)
        if there is not Serving.STOPPED:
            return progress(Status.FAILED, f"the old primary follows nobody: recovery is {there}")
        left = self._primary.ask(_RECEIVED, self._recovery.last_checkpoint())
        if left[0] is None or left[0] < 0:
            if kept.get("waited"):
                self._recovery.start()
                return _running("something is missing, so the recovery side serves again")
            return _running("waiting for the last of the log", **{**kept, "waited": True})
        self._primary.promote()
        return _running("the primary is being promoted", **kept)

    def _protect(self, there: Serving, kept: Mapping[str, object]) -> Progress:
        """The primary serves: lead clients to it, and make the other one follow again."""
        if there is Serving.LIVE:
            return progress(Status.FAILED, "both sides take writes; stop one of them by hand")
        if self._service is not None:
            to = (self._primary.host, self._primary.port)
            if self._service.leads_to() != to:
                self._service.switch(*to, database=self._primary.login.database)
        if there in _DOWN:
            self._recovery.follow(self._primary)
            self._recovery.start()
            return _running("the recovery side is started as a standby", **kept)
        row = self._primary.ask(_BEHIND, self._recovery.standby_name)
        if not row or row[0] != "streaming":
            return self._lagging(there, kept)
        return progress(
            Status.SUCCEEDED,
            f"the primary serves and is followed again ({kept.get('how', 'nothing')} needed)",
        )

    def _lagging(self, there: Serving, kept: Mapping[str, object]) -> Progress:
        """A standby that does not stream after a while is made again."""
        looks = int(str(kept.get("looks", 0))) + 1
        if there is Serving.ABSENT or looks > 50:
            self._recovery.stop("immediate")
            self._recovery.reseed(self._primary)
            self._recovery.follow(self._primary)
            self._recovery.start()
            looks = 0
        return _running("the recovery side does not stream yet", **{**kept, "looks": looks})


def _running(detail: str, **checkpoint: object) -> Progress:
    return Progress(
        status=Status.RUNNING, detail=detail, checkpoint=checkpoint, poll_seconds=POLL_SECONDS
    )
