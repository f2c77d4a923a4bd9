"""Messages that are to be sent, each tenant's behind a policy."""

from alembic import context, op

revision = "0005"
down_revision = "0004"

TENANT = "nullif(current_setting('qlrf.tenant', true), '')"

TABLE = """
CREATE TABLE public.notification (
  tenant text NOT NULL CHECK (tenant <> ''),
  key text NOT NULL CHECK (key <> ''),
  number bigint GENERATED ALWAYS AS IDENTITY,
  channel text NOT NULL CHECK (channel IN ('slack', 'email', 'webhook', 'pagerduty')),
  target text NOT NULL CHECK (target <> ''),
  message text NOT NULL,
  queued_at timestamptz NOT NULL,
  due_at timestamptz NOT NULL,
  give_up_at timestamptz NOT NULL,
  state text NOT NULL CHECK (state IN ('waiting', 'sent', 'lost')),
  attempts integer NOT NULL CHECK (attempts >= 0),
  said text NOT NULL,
  ended_at timestamptz,
  PRIMARY KEY (tenant, key),
  CHECK ((state = 'waiting') = (ended_at IS NULL))
);
CREATE INDEX notification_due ON public.notification (tenant, due_at) WHERE state = 'waiting';
CREATE INDEX notification_newest ON public.notification (tenant, number);
"""


def upgrade() -> None:
    """Make the table, its policy and what the application may do with it."""
    role = context.config.attributes["app_role"]
    app = op.get_bind().dialect.identifier_preparer.quote(role)
    op.execute(TABLE)
    op.execute("ALTER TABLE public.notification ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE public.notification FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY one_tenant ON public.notification "
        f"USING (tenant = {TENANT}) WITH CHECK (tenant = {TENANT})"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON public.notification TO {app}")


def downgrade() -> None:
    """Refused: what people were told, and what not, is not forgotten by a migration."""
    raise RuntimeError("Messages are not removed by a migration; restore a backup instead.")
