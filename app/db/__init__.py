"""The only SQL. One module of queries for each aggregate; a transaction is handed in, or made by the function that takes a Database."""

from app.db.engine import Connection, Database, db_now, new_id

__all__ = ["Connection", "Database", "db_now", "new_id"]
