"""Runs the revisions of this folder on the connection that `migrate` hands over, inside its transaction."""

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], version_table=given["version_table"])
context.run_migrations()
