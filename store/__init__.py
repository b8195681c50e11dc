"""The store: SQLite or PostgreSQL through SQLAlchemy Core, with migrations by Alembic."""
