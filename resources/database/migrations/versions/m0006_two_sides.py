"""Assets that have a new side beside the old one, and those that may be switched to it."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATES = """
ALTER TABLE public.rollout_asset
  DROP CONSTRAINT rollout_asset_state_check,
  ADD CONSTRAINT rollout_asset_state_check CHECK (state IN ('waiting', 'changing', 'standing_by',
    'to_switch', 'done', 'failed', 'unknown', 'skipped', 'restoring', 'restored', 'not_restored'));
"""


def upgrade() -> None:
    """Let rows say so."""
    op.execute(STATES)


def downgrade() -> None:
    """Refused: what stands in the middle of two sides is not forgotten by a migration."""
    raise RuntimeError("Rollouts are not removed by a migration; restore a backup instead.")
