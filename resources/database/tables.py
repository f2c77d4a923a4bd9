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

TASK = sa.Table(
    "task",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("requirement", sa.Text, nullable=False),
    sa.Column("launch", sa.Text, nullable=True),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("reminded", sa.Integer, nullable=False),
    sa.Column("review_due", sa.Boolean, nullable=False),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
    # Numbers of entries in the tenant's ledger, which is added to by one at a time: whoever has
    # seen a number has seen every smaller one.
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("ready_seq", sa.BigInteger, nullable=True),
)

TASK_DOCUMENT = sa.Table(
    "task_document",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    # Canonical JSON as text, as in the ledger: the digest is over these very values.
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
)

TASK_DECISION = sa.Table(
    "task_decision",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
    sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
    sa.Column("max_batch", sa.Integer, nullable=True),
    sa.Column("delegate", sa.Text, nullable=False),
)

TASK_CLAIM = sa.Table(
    "task_claim",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("extent", sa.Text, nullable=False),
)

# Names of tenants and nothing else of theirs: whom a sensor has to look at, one tenant at a time.
TASK_REGISTRY = sa.Table(
    "task_registry",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

ROLLOUT = sa.Table(
    "rollout",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("phase", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("watch_since", sa.DateTime(timezone=True), nullable=True),
    sa.Column("wake_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("passed", sa.Integer, nullable=False),
    sa.Column("max_batch", sa.Integer, nullable=True),
    sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
    sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    # Tells whether a step whose commit got no answer was kept.
    sa.Column("mark", sa.Text, nullable=False),
    sa.Column("bound", sa.Integer, nullable=True),
    sa.Column("taken_back", sa.Text, nullable=False),
)

ROLLOUT_ASSET = sa.Table(
    "rollout_asset",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("rollout", sa.Text, primary_key=True),
    sa.Column("asset", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("phase", sa.Integer, nullable=False),
    sa.Column("batch", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("begun", sa.Boolean, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("checkpoint", sa.Text, nullable=False),
    sa.Column("now_id", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("until", sa.DateTime(timezone=True), nullable=True),
    sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
)

ROLLOUT_LOCK = sa.Table(
    "rollout_lock",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("asset", sa.Text, primary_key=True),
    sa.Column("rollout", sa.Text, nullable=True),  # none: the asset is free
)
