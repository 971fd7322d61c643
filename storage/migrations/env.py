"""Run by Alembic inside the transaction that `storage.migration` opened."""

from alembic import context

from storage import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=False,
)
context.run_migrations()
