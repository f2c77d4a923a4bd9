"""The control plane's tables, as the application sees them; migrations make them."""

import sqlalchemy as sa

METADATA = sa.MetaData()

EVIDENCE = sa.Table(
    "evidence",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    # Canonical JSON as text: jsonb would rewrite numbers, and the hash is over these very bytes.
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

SCOPE_ACCEPTANCES = sa.Table(
    "scope_acceptances",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("scope_id", sa.Text, primary_key=True),
    sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("accepted_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
