"""Alembic's entry: runs the revisions on the connection that :mod:`app.db.schema` hands over."""

from alembic import context

from app.db import tables

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=tables.metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
