"""Drills, what happened in them, what moved, what was asked and written; each behind a policy."""

from alembic import context, op

revision = "0004"
down_revision = "0003"

TENANT = "nullif(current_setting('qlrf.tenant', true), '')"
PHASES = (
    "'validation', 'isolation', 'failover', 'service_validation', 'workload', 'failback', "
    "'reporting', 'held', 'closed'"
)

TABLES = f"""
CREATE TABLE public.drill (
  tenant text NOT NULL CHECK (tenant <> ''),
  id text NOT NULL CHECK (id <> ''),
  plan text NOT NULL,
  application text NOT NULL CHECK (application <> ''),
  type text NOT NULL CHECK (type IN ('full', 'partial', 'tabletop', 'test_failover')),
  phase text NOT NULL CHECK (phase IN ({PHASES})),
  document text NOT NULL,
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{{64}}$'),
  requested_by text NOT NULL CHECK (requested_by <> ''),
  requested_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  only_members text NOT NULL,
  task text NOT NULL,
  attempt integer NOT NULL CHECK (attempt >= 0),
  holder text NOT NULL,
  abort text NOT NULL,
  waiting text NOT NULL,
  outcome text CHECK (outcome IN ('passed', 'failed', 'aborted')),
  result text,
  seq bigint NOT NULL,
  PRIMARY KEY (tenant, id),
  CHECK (phase <> 'closed' OR outcome IS NOT NULL)
);
CREATE UNIQUE INDEX drill_one_per_application ON public.drill (tenant, application)
  WHERE phase <> 'closed';
CREATE TABLE public.drill_event (
  tenant text NOT NULL CHECK (tenant <> ''),
  drill text NOT NULL,
  number integer NOT NULL CHECK (number >= 1),
  phase text NOT NULL CHECK (phase IN ({PHASES})),
  kind text NOT NULL CHECK (kind <> ''),
  at timestamptz NOT NULL,
  ticks bigint NOT NULL,
  boot text NOT NULL,
  attempt integer NOT NULL,
  facts text NOT NULL,
  PRIMARY KEY (tenant, drill, number)
);
CREATE TABLE public.drill_move (
  tenant text NOT NULL CHECK (tenant <> ''),
  drill text NOT NULL,
  token text NOT NULL CHECK (token ~ '^[0-9a-f]{{64}}$'),
  member text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('isolate', 'fail_over', 'switch', 'fail_back', 'clean_up')),
  test boolean NOT NULL,
  state text NOT NULL CHECK (state IN ('planned', 'running', 'succeeded', 'failed', 'unknown',
    'refused')),
  detail text NOT NULL,
  checkpoint text NOT NULL,
  begun_at timestamptz,
  begun_ticks bigint,
  begun_boot text,
  ended_at timestamptz,
  ended_ticks bigint,
  ended_boot text,
  PRIMARY KEY (tenant, drill, token)
);
CREATE TABLE public.drill_answer (
  tenant text NOT NULL CHECK (tenant <> ''),
  drill text NOT NULL,
  number bigint GENERATED ALWAYS AS IDENTITY,
  phase text NOT NULL CHECK (phase IN ({PHASES})),
  probe text NOT NULL,
  health text NOT NULL CHECK (health IN ('healthy', 'unhealthy', 'unknown')),
  why text NOT NULL,
  at timestamptz NOT NULL,
  ticks bigint NOT NULL,
  boot text NOT NULL,
  PRIMARY KEY (tenant, drill, number)
);
CREATE TABLE public.drill_write (
  tenant text NOT NULL CHECK (tenant <> ''),
  drill text NOT NULL,
  member text NOT NULL,
  number bigint NOT NULL CHECK (number >= 1),
  step text NOT NULL CHECK (step IN ('attempted', 'acknowledged')),
  at timestamptz NOT NULL,
  ticks bigint NOT NULL,
  boot text NOT NULL,
  PRIMARY KEY (tenant, drill, member, number, step)
);
CREATE TABLE public.drill_registry (
  name text PRIMARY KEY CHECK (name <> '')
);
"""
KEPT = ("drill_event", "drill_answer", "drill_write")


def upgrade() -> None:
    """Make the tables, their policies and what the application may do with them."""
    role = context.config.attributes["app_role"]
    app = op.get_bind().dialect.identifier_preparer.quote(role)
    op.execute(TABLES)
    for table in KEPT:
        op.execute(
            f"CREATE TRIGGER rows_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON public.{table} FOR EACH STATEMENT EXECUTE FUNCTION public.rows_are_append_only()"
        )
        op.execute(f"ALTER TABLE public.{table} ENABLE ALWAYS TRIGGER rows_are_append_only")
        op.execute(f"GRANT SELECT, INSERT ON public.{table} TO {app}")
    for table in ("drill", "drill_move", *KEPT):
        op.execute(f"ALTER TABLE public.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE public.{table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY one_tenant ON public.{table} "
            f"USING (tenant = {TENANT}) WITH CHECK (tenant = {TENANT})"
        )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON public.drill, public.drill_move TO {app}")
    op.execute(f"GRANT SELECT, INSERT ON public.drill_registry TO {app}")


def downgrade() -> None:
    """Refused: what a drill proved is not thrown away by a migration."""
    raise RuntimeError("Drills are not removed by a migration; restore a backup instead.")
