"""How Alembic runs our migrations: on the connection it is given, in the transaction that is open there."""

from __future__ import annotations

from alembic import context

from neuro_platform.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
