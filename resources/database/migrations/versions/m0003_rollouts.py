"""Rollouts, the assets they change and who holds which asset, each tenant's behind a policy."""

from alembic import context, op

revision = "0003"
down_revision = "0002"

TENANT = "nullif(current_setting('qlrf.tenant', true), '')"

TABLES = """
CREATE TABLE public.rollout (
  tenant text NOT NULL CHECK (tenant <> ''),
  id text NOT NULL CHECK (id <> ''),
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  environment text NOT NULL,
  state text NOT NULL CHECK (state IN ('running', 'watching', 'paused', 'held', 'rolling_back',
    'stuck', 'completed', 'rolled_back', 'failed', 'cancelled')),
  total integer NOT NULL CHECK (total >= 0),
  started_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  phase integer NOT NULL,
  attempt integer NOT NULL CHECK (attempt >= 0),
  holder text NOT NULL,
  reason text NOT NULL,
  watch_since timestamptz,
  wake_at timestamptz,
  passed integer NOT NULL,
  max_batch integer CHECK (max_batch >= 1),
  not_before timestamptz,
  not_after timestamptz,
  seq bigint NOT NULL,
  mark text NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX rollout_by_state ON public.rollout (tenant, state, id);
CREATE TABLE public.rollout_asset (
  tenant text NOT NULL CHECK (tenant <> ''),
  rollout text NOT NULL,
  asset text NOT NULL CHECK (asset <> ''),
  position integer NOT NULL,
  phase integer NOT NULL,
  batch integer NOT NULL,
  state text NOT NULL CHECK (state IN ('waiting', 'changing', 'done', 'failed', 'unknown',
    'skipped', 'restoring', 'restored', 'not_restored')),
  step integer NOT NULL CHECK (step >= 0),
  tries integer NOT NULL CHECK (tries >= 0),
  begun boolean NOT NULL,
  before text NOT NULL,
  checkpoint text NOT NULL,
  now_id text NOT NULL,
  detail text NOT NULL,
  until timestamptz,
  begun_at timestamptz,
  ended_at timestamptz,
  PRIMARY KEY (tenant, rollout, asset),
  FOREIGN KEY (tenant, rollout) REFERENCES public.rollout (tenant, id)
);
CREATE TABLE public.rollout_lock (
  tenant text NOT NULL CHECK (tenant <> ''),
  asset text NOT NULL CHECK (asset <> ''),
  rollout text,
  PRIMARY KEY (tenant, asset),
  FOREIGN KEY (tenant, rollout) REFERENCES public.rollout (tenant, id)
);
"""
# The last word against carrying out what nobody claimed is the database's own; and what a rollout
# is of, never changes.
CLAIMED = """
CREATE FUNCTION public.rollout_is_of_a_claim() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM FROM public.task_claim c JOIN public.task t ON t.tenant = c.tenant AND t.id = c.task
    WHERE c.tenant = NEW.tenant AND c.task = NEW.id AND c.digest = NEW.digest
      AND t.digest = NEW.digest AND t.state = 'executing';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'digest % of task % is claimed by no run', left(NEW.digest, 12), NEW.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER rollout_is_of_a_claim AFTER INSERT ON public.rollout
  FOR EACH ROW EXECUTE FUNCTION public.rollout_is_of_a_claim();
ALTER TABLE public.rollout ENABLE ALWAYS TRIGGER rollout_is_of_a_claim;
CREATE FUNCTION public.rollout_keeps_its_digest() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF NEW.digest <> OLD.digest OR NEW.attempt < OLD.attempt THEN
    RAISE EXCEPTION 'rollout % keeps its digest and its attempts', OLD.id;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER rollout_keeps_its_digest BEFORE UPDATE ON public.rollout
  FOR EACH ROW EXECUTE FUNCTION public.rollout_keeps_its_digest();
ALTER TABLE public.rollout ENABLE ALWAYS TRIGGER rollout_keeps_its_digest;
"""
OURS = ("rollout", "rollout_asset", "rollout_lock")


def upgrade() -> None:
    """Make the tables, their policies and what the application may do with them."""
    role = context.config.attributes["app_role"]
    app = op.get_bind().dialect.identifier_preparer.quote(role)
    op.execute(TABLES)
    op.execute(CLAIMED)
    for table in OURS:
        op.execute(f"ALTER TABLE public.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE public.{table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY one_tenant ON public.{table} "
            f"USING (tenant = {TENANT}) WITH CHECK (tenant = {TENANT})"
        )
    for table in OURS:
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON public.{table} TO {app}")


def downgrade() -> None:
    """Refused: what was done to machines is not forgotten by a migration."""
    raise RuntimeError("Rollouts are not removed by a migration; restore a backup instead.")
