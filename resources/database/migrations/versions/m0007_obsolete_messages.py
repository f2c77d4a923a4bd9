"""Messages that were not true any more; broken glasses that wait for a review, found quickly."""

from alembic import op

revision = "0007"
down_revision = "0006"

CHANGES = """
ALTER TABLE public.notification DROP CONSTRAINT notification_state_check;
ALTER TABLE public.notification ADD CONSTRAINT notification_state_check
  CHECK (state IN ('waiting', 'sent', 'lost', 'obsolete'));
CREATE INDEX task_review_due ON public.task (tenant, id) WHERE review_due;
"""


def upgrade() -> None:
    """One more way for a message to end, and an index."""
    op.execute(CHANGES)


def downgrade() -> None:
    """Refused: what became of messages is not forgotten by a migration."""
    raise RuntimeError("What became of messages is not removed by a migration; restore a backup.")
