"""Tasks, their documents, decisions and claims, each tenant's rows behind a policy."""

from alembic import context, op

revision = "0002"
down_revision = "0001"

TENANT = "nullif(current_setting('qlrf.tenant', true), '')"

TABLES = """
CREATE TABLE public.task (
  tenant text NOT NULL CHECK (tenant <> ''),
  id text NOT NULL CHECK (id <> ''),
  key text NOT NULL,
  kind text NOT NULL,
  title text NOT NULL,
  state text NOT NULL CHECK (state IN ('created', 'planned', 'awaiting_approval', 'approved',
    'executing', 'paused', 'completed', 'rolled_back', 'failed', 'rejected', 'expired', 'revoked',
    'cancelled', 'superseded')),
  revision integer NOT NULL CHECK (revision >= 1),
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  stage text NOT NULL,
  requested_by text NOT NULL CHECK (requested_by <> ''),
  requested_at timestamptz NOT NULL,
  requirement text NOT NULL,
  launch text,
  changed_at timestamptz NOT NULL,
  reminded integer NOT NULL,
  review_due boolean NOT NULL,
  due_at timestamptz,
  seq bigint NOT NULL,
  ready_seq bigint,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, key)
);
CREATE INDEX task_ready ON public.task (tenant, ready_seq) WHERE state = 'approved';
CREATE INDEX task_due ON public.task (tenant, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX task_by_state ON public.task (tenant, state, id);
CREATE TABLE public.task_document (
  tenant text NOT NULL CHECK (tenant <> ''),
  task text NOT NULL,
  revision integer NOT NULL CHECK (revision >= 1),
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  content text NOT NULL,
  context text NOT NULL,
  made_by text NOT NULL,
  made_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, task, revision)
);
CREATE TABLE public.task_decision (
  tenant text NOT NULL CHECK (tenant <> ''),
  task text NOT NULL,
  number integer NOT NULL CHECK (number >= 1),
  revision integer NOT NULL,
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  kind text NOT NULL CHECK (kind IN ('approve', 'reject', 'request_changes', 'revoke', 'delegate',
    'break_glass', 'review')),
  decided_by text NOT NULL CHECK (decided_by <> ''),
  role text NOT NULL CHECK (role IN ('viewer', 'operator', 'engineer', 'admin')),
  decided_at timestamptz NOT NULL,
  reason text NOT NULL,
  not_before timestamptz,
  not_after timestamptz,
  max_batch integer CHECK (max_batch >= 1),
  delegate text NOT NULL,
  PRIMARY KEY (tenant, task, number)
);
CREATE TABLE public.task_claim (
  tenant text NOT NULL CHECK (tenant <> ''),
  task text NOT NULL,
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  stage text NOT NULL CHECK (stage <> ''),
  holder text NOT NULL CHECK (holder <> ''),
  claimed_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, task, digest, stage)
);
CREATE TABLE public.task_registry (
  name text PRIMARY KEY CHECK (name <> ''),
  seq bigint NOT NULL
);
"""

# What was said stays said, whoever connects; ALWAYS: also under session_replication_role.
APPEND_ONLY = """
CREATE FUNCTION public.rows_are_append_only() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'table % is append-only: % is refused', TG_TABLE_NAME, TG_OP;
END $$;
"""
# The last word against running what nobody approved is the database's own.
CLAIMS = """
CREATE FUNCTION public.claim_is_of_what_was_approved() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM FROM public.task t WHERE t.tenant = NEW.tenant AND t.id = NEW.task
    AND t.digest = NEW.digest AND t.state IN ('approved', 'executing');
  IF NOT FOUND THEN
    RAISE EXCEPTION 'digest % of task % is not approved', left(NEW.digest, 12), NEW.task;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER claim_is_of_what_was_approved AFTER INSERT ON public.task_claim
  FOR EACH ROW EXECUTE FUNCTION public.claim_is_of_what_was_approved();
ALTER TABLE public.task_claim ENABLE ALWAYS TRIGGER claim_is_of_what_was_approved;
"""
KEPT = ("task_document", "task_decision", "task_claim")


def upgrade() -> None:
    """Make the tables, their policies and what the application may do with them."""
    role = context.config.attributes["app_role"]
    app = op.get_bind().dialect.identifier_preparer.quote(role)
    op.execute(TABLES)
    op.execute(APPEND_ONLY)
    for table in KEPT:
        op.execute(
            f"CREATE TRIGGER rows_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON public.{table} FOR EACH STATEMENT EXECUTE FUNCTION public.rows_are_append_only()"
        )
        op.execute(f"ALTER TABLE public.{table} ENABLE ALWAYS TRIGGER rows_are_append_only")
        op.execute(f"GRANT SELECT, INSERT ON public.{table} TO {app}")
    op.execute(CLAIMS)
    for table in ("task", *KEPT):
        op.execute(f"ALTER TABLE public.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE public.{table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY one_tenant ON public.{table} "
            f"USING (tenant = {TENANT}) WITH CHECK (tenant = {TENANT})"
        )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON public.task, public.task_registry TO {app}")


def downgrade() -> None:
    """Refused: what people decided is not thrown away by a migration."""
    raise RuntimeError("Decisions are not removed by a migration; restore a backup instead.")
