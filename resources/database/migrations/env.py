"""Where Alembic starts: on the connection it is given, in one transaction, from any folder."""

from alembic import context

from resources.database.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
