"""What the database's errors mean to us; the one place where they are translated."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from sqlalchemy import exc

from qlrf_pipelines.domain.errors import Denied, QlrfError, Refused, Rejected, Unavailable


class Lost(Unavailable):
    """The connection is gone; what was not committed was rolled back."""


class CommitLost(Lost):
    """The connection went away during the commit: all of it was kept, or nothing."""


# Said while connecting, where psycopg2 gives no code.
_PASSING = (
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting",
    "Connection refused",
    "Connection reset",
    "server closed the connection",
    "too many clients",
    "reserved for",
)
_NOT_TO_US = ("authentication failed", "permission denied for database", "no pg_hba.conf entry")
_GONE = ("08", "57P")
_FULL = ("53", "58")
_RACES = ("40001", "40P01", "55P03")


def is_passing(error: Exception) -> bool:
    """Whether a connection failed in a way that passes: the server restarts or is crowded."""
    return any(words in str(error) for words in _PASSING)


def is_lost(error: Exception) -> bool:
    """Whether the connection itself is gone, so that what ran on it was rolled back."""
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return True
        return error.orig is not None and is_lost(error.orig)
    if not isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return False
    code = error.pgcode or ""
    return code.startswith(_GONE) or (not code and _connectionless(error))


def _connectionless(error: psycopg2.Error) -> bool:
    return isinstance(error, psycopg2.InterfaceError) or is_passing(error) or "SSL" in str(error)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors of this block into ours; what is a defect of ours stays as it is."""
    try:
        yield
    except exc.DBAPIError as error:
        ours = meaning(error.orig if error.orig is not None else error, lost=is_lost(error))
        if ours is None:
            raise
        raise ours from error
    except psycopg2.Error as error:
        ours = meaning(error, lost=is_lost(error))
        if ours is None:
            raise
        raise ours from error
    except ValueError as error:
        if "NUL" not in str(error):  # the driver's own check, before anything is sent
            raise
        raise Rejected("The database cannot keep a text with a NUL character in it.") from error
    except exc.TimeoutError as error:
        raise Unavailable("Every connection to the database is in use; try again.") from error


def meaning(error: BaseException, *, lost: bool) -> QlrfError | None:
    """The error of ours that says what happened; None for what only a defect of ours causes."""
    code = getattr(error, "pgcode", None) or ""
    said = str(error).strip().split("\n")[0] or type(error).__name__
    if code.startswith("28") or any(words in said for words in _NOT_TO_US):
        return Denied(f"The database does not let us in: {said}. Check the role and its password.")
    if lost or (not code and isinstance(error, psycopg2.OperationalError)):
        return Lost(f"The database does not answer: {said}.")
    if code.startswith(_FULL):
        return Unavailable(f"The database is full or exhausted: {said}.")
    if code in _RACES:
        return Unavailable(f"The database was busy: {said}; try again.")
    if code == "42501":
        return Refused(f"The database refuses: {said}.")
    if code.startswith("23") or code == "P0001":
        return Refused(f"The database refuses the row: {said}.")
    if code.startswith("22") or isinstance(error, psycopg2.DataError):
        return Rejected(f"The database cannot keep this value: {said}.")
    return None
