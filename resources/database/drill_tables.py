"""The tables of drills, as the application sees them; migration 0004 makes them."""

import sqlalchemy as sa

from resources.database.tables import METADATA


def _moment(prefix: str, *, nullable: bool = False) -> tuple["sa.Column[object]", ...]:
    """A moment on both clocks: the wall's, and nanoseconds since the boot named beside them."""
    return (
        sa.Column(f"{prefix}at", sa.DateTime(timezone=True), nullable=nullable),
        sa.Column(f"{prefix}ticks", sa.BigInteger, nullable=nullable),
        sa.Column(f"{prefix}boot", sa.Text, nullable=nullable),
    )


DRILL = sa.Table(
    "drill",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("application", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    # Canonical JSON as text, as in the ledger: the digest is over these very values.
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("only_members", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("abort", sa.Text, nullable=False),
    sa.Column("waiting", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=True),
    sa.Column("result", sa.Text, nullable=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

DRILL_EVENT = sa.Table(
    "drill_event",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("drill", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    *_moment(""),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
)

DRILL_MOVE = sa.Table(
    "drill_move",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("drill", sa.Text, primary_key=True),
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("member", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("test", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("checkpoint", sa.Text, nullable=False),
    *_moment("begun_", nullable=True),
    *_moment("ended_", nullable=True),
)

DRILL_ANSWER = sa.Table(
    "drill_answer",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("drill", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("probe", sa.Text, nullable=False),
    sa.Column("health", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    *_moment(""),
)

DRILL_WRITE = sa.Table(
    "drill_write",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("drill", sa.Text, primary_key=True),
    sa.Column("member", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.Text, primary_key=True),
    *_moment(""),
)

# Names of tenants and nothing else of theirs: whom a sensor has to look at, one tenant at a time.
DRILL_REGISTRY = sa.Table("drill_registry", METADATA, sa.Column("name", sa.Text, primary_key=True))
