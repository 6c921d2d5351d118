"""Alembic migrations of the database; one change each. `csms migrate` runs them."""
