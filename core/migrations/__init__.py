"""How an existing database is brought to the tables of core/schema.py, by Alembic."""
