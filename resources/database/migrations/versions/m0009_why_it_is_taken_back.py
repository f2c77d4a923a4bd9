"""Why a rollout is taken back, kept until its end."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; of what is on its way back already, its last reason is told."""
    op.execute("ALTER TABLE public.rollout ADD COLUMN taken_back text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Refused: what was done to machines is not forgotten by a migration."""
    raise RuntimeError("Rollouts are not shortened by a migration; restore a backup instead.")
