"""The evidence ledger and the acceptances of scopes, each tenant's rows behind a policy."""

from collections.abc import Sequence

from alembic import context, op

revision = "0001"
down_revision = None

# `nullif`: after a transaction the setting is '' and not NULL.
TENANT = "nullif(current_setting('qlrf.tenant', true), '')"

TABLES = """
CREATE TABLE public.evidence (
  tenant text NOT NULL CHECK (tenant <> ''),
  seq bigint NOT NULL CHECK (seq >= 1),
  kind text NOT NULL,
  subject text NOT NULL,
  recorded_at timestamptz NOT NULL,
  content text NOT NULL,
  previous_hash text NOT NULL CHECK (previous_hash ~ '^[0-9a-f]{64}$'),
  hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
  PRIMARY KEY (tenant, seq)
);
CREATE TABLE public.scope_acceptances (
  tenant text NOT NULL CHECK (tenant <> ''),
  scope_id text NOT NULL,
  accepted_at timestamptz NOT NULL,
  accepted_by text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (tenant, scope_id)
);
"""

# A row joins the end of its tenant's chain or not at all: with the primary key, no fork and no gap
# is possible, whatever the writer believes. ALWAYS: also under session_replication_role.
CHAIN = """
CREATE FUNCTION public.evidence_joins_the_chain() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  last_seq bigint := 0;
  last_hash text := repeat('0', 64);
BEGIN
  SELECT e.seq, e.hash INTO last_seq, last_hash FROM public.evidence e
    WHERE e.tenant = NEW.tenant ORDER BY e.seq DESC LIMIT 1;
  IF NOT FOUND THEN
    last_seq := 0;
    last_hash := repeat('0', 64);
  END IF;
  IF NEW.seq <> last_seq + 1 OR NEW.previous_hash <> last_hash THEN
    RAISE EXCEPTION 'entry % of tenant % does not follow entry % of its ledger',
      NEW.seq, NEW.tenant, last_seq;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER evidence_joins_the_chain BEFORE INSERT ON public.evidence
  FOR EACH ROW EXECUTE FUNCTION public.evidence_joins_the_chain();
ALTER TABLE public.evidence ENABLE ALWAYS TRIGGER evidence_joins_the_chain;

CREATE FUNCTION public.evidence_is_append_only() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the evidence ledger is append-only: % is refused', TG_OP;
END $$;
CREATE TRIGGER evidence_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.evidence
  FOR EACH STATEMENT EXECUTE FUNCTION public.evidence_is_append_only();
ALTER TABLE public.evidence ENABLE ALWAYS TRIGGER evidence_is_append_only;
"""


def upgrade() -> None:
    """Make the tables, their policies and what the application may do with them."""
    role = context.config.attributes["app_role"]
    app = op.get_bind().dialect.identifier_preparer.quote(role)
    op.execute(TABLES)
    op.execute(CHAIN)
    for table in ("evidence", "scope_acceptances"):
        op.execute(f"ALTER TABLE public.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE public.{table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY one_tenant ON public.{table} "
            f"USING (tenant = {TENANT}) WITH CHECK (tenant = {TENANT})"
        )
    op.execute(f"GRANT USAGE ON SCHEMA public TO {app}")
    op.execute(f"GRANT SELECT ON public.alembic_version TO {app}")
    op.execute(f"GRANT SELECT, INSERT ON public.evidence TO {app}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON public.scope_acceptances TO {app}")
    _schemas_of_the_marts(app)


def _schemas_of_the_marts(app: str) -> None:
    # The embedded server has them already, under the marts' own role.
    found: Sequence[str] = (
        op.get_bind().exec_driver_sql("SELECT nspname FROM pg_namespace").scalars().all()
    )
    for schema in ("lake", "marts"):
        if schema not in found:
            op.execute(f"CREATE SCHEMA {schema}")
    if "marts" not in found:
        op.execute(f"GRANT USAGE ON SCHEMA marts TO {app}")
        op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA marts GRANT SELECT ON TABLES TO {app}")


def downgrade() -> None:
    """Refused: evidence is not thrown away by a migration."""
    raise RuntimeError("The ledger is not removed by a migration; restore a backup instead.")
