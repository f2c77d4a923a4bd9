"""What can go wrong, as one family.

QlrfError
├── Rejected        a document or an argument breaks its contract   exit 2, HTTP 422, never retried
│   └── InvalidEstate   contracts of the estate do, all listed      (domain/problems.py)
├── Refused         a policy, a gate, a lock or a state says no     exit 1, HTTP 409, never retried
├── NotFound        the thing named does not exist                  exit 1, HTTP 404, never retried
├── Tampered        evidence does not match its own hashes          exit 1, HTTP 409, never retried
└── Unavailable     the other side is down, full or throttling      exit 1, HTTP 503, retried
    ├── Denied      the other side answers, but not to us           exit 1, HTTP 502, never retried
    └── Truncated   an answer began and did not end                 exit 1, HTTP 502, retried
"""

from typing import ClassVar


class QlrfError(Exception):
    """Anything this platform raises on purpose; the message says what, which one and what to do."""

    retryable: ClassVar[bool] = False
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1


class Rejected(QlrfError):
    """A document or an argument breaks its contract; it must be changed before it is sent again."""

    status = 422
    exit_code = 2


class Refused(QlrfError):
    """A policy, a gate, a lock or a state says no; asking again changes nothing by itself."""

    status = 409


class NotFound(QlrfError):
    """The thing that was named does not exist."""

    status = 404


class Tampered(QlrfError):
    """Evidence does not match its own hashes, or its verdicts cannot be derived again."""

    status = 409


class Unavailable(QlrfError):
    """The other side is down, full or throttling; asking again may help."""

    retryable = True
    status = 503


class Denied(Unavailable):
    """The other side answers, but our identity may not ask this; a permission must change."""

    retryable = False
    status = 502


class Truncated(Unavailable):
    """An answer began and did not end, or cannot be read as what it claims to be."""

    status = 502
