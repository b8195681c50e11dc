"""Alembic's scripts; store/migrate.py runs them."""
