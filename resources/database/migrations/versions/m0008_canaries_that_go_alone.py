"""How far a claim and a rollout go: a canary alone, or all that people approved."""

from alembic import op

revision = "0008"
down_revision = "0007"

COLUMNS = """
ALTER TABLE public.task_claim ADD COLUMN extent text NOT NULL DEFAULT 'whole'
  CHECK (extent IN ('canary', 'whole'));
ALTER TABLE public.rollout ADD COLUMN bound integer;
ALTER TABLE public.rollout ADD CONSTRAINT rollout_stays_within_its_bound CHECK (phase <= bound);
ALTER TABLE public.rollout DROP CONSTRAINT rollout_state_check;
ALTER TABLE public.rollout ADD CONSTRAINT rollout_state_check CHECK (state IN ('running',
  'watching', 'paused', 'held', 'awaiting_approval', 'rolling_back', 'stuck', 'completed',
  'rolled_back', 'failed', 'cancelled'));
"""
# The last word is the database's own: where the platform may begin with a canary, nobody claims
# more of it without a person's word on that very digest.
CLAIMS = """
CREATE OR REPLACE FUNCTION public.claim_is_of_what_was_approved() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  asked public.task%ROWTYPE;
BEGIN
  SELECT t.* INTO asked FROM public.task t WHERE t.tenant = NEW.tenant AND t.id = NEW.task
    AND t.digest = NEW.digest
    AND (t.state IN ('approved', 'executing') OR (t.state = 'paused' AND NEW.stage = 'rest'));
  IF NOT FOUND THEN
    RAISE EXCEPTION 'digest % of task % is not approved', left(NEW.digest, 12), NEW.task;
  END IF;
  IF NEW.extent = 'whole' AND asked.requirement::json ->> 'unattended' = 'canary' THEN
    PERFORM FROM public.task_decision d WHERE d.tenant = NEW.tenant AND d.task = NEW.task
      AND d.digest = NEW.digest AND d.revision = asked.revision
      AND d.kind IN ('approve', 'break_glass')
      AND lower(btrim(d.decided_by)) NOT LIKE 'autonomy:%';
    IF NOT FOUND THEN
      RAISE EXCEPTION 'nobody approved more of digest % of task % than its canary',
        left(NEW.digest, 12), NEW.task;
    END IF;
  END IF;
  RETURN NULL;
END $$;
"""
# Nor does a rollout go further than what was claimed. A bound is only ever lifted.
BOUNDS = """
CREATE FUNCTION public.rollout_goes_as_far_as_claimed() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF NEW.bound IS NOT NULL THEN
    RAISE EXCEPTION 'the bound of rollout % is lifted or stays', NEW.id;
  END IF;
  PERFORM FROM public.task_claim c WHERE c.tenant = NEW.tenant AND c.task = NEW.id
    AND c.digest = NEW.digest AND c.extent = 'whole';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no more of digest % of task % is claimed than its canary',
      left(NEW.digest, 12), NEW.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER rollout_stays_within_its_claim_at_first AFTER INSERT ON public.rollout
  FOR EACH ROW WHEN (NEW.bound IS NULL)
  EXECUTE FUNCTION public.rollout_goes_as_far_as_claimed();
CREATE TRIGGER rollout_stays_within_its_claim AFTER UPDATE ON public.rollout
  FOR EACH ROW WHEN (NEW.bound IS DISTINCT FROM OLD.bound)
  EXECUTE FUNCTION public.rollout_goes_as_far_as_claimed();
ALTER TABLE public.rollout ENABLE ALWAYS TRIGGER rollout_stays_within_its_claim_at_first;
ALTER TABLE public.rollout ENABLE ALWAYS TRIGGER rollout_stays_within_its_claim;
"""


def upgrade() -> None:
    """Add the columns; what was claimed before was claimed whole."""
    op.execute(COLUMNS)
    op.execute(CLAIMS)
    op.execute(BOUNDS)


def downgrade() -> None:
    """Refused: how far people let a change go is not forgotten by a migration."""
    raise RuntimeError("Bounds are not removed by a migration; restore a backup instead.")
