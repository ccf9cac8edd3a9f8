"""Fresh databases in a running PostgreSQL, quickly."""

from __future__ import annotations

from itertools import count

import psycopg
from psycopg import sql

from cdp.migrations import migrate
from cdp.records import open_engine
from tests.real.servers import Postgres


class Databases:
    """A store ("records" or "graph") is migrated once; each database of it is a copy, which takes a tenth of that."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._numbers = count(1)
        self._templates: dict[str, str] = {}

    def new(self, store: str) -> str:
        """The URL of a database that holds the empty tables of the store."""
        if store not in self._templates:
            url = self.empty()
            engine = open_engine(url)
            migrate(engine, store)
            engine.dispose()
            self._templates[store] = url.rpartition("/")[2]
        return self.empty(self._templates[store])

    def empty(self, template: str = "template0") -> str:
        """The URL of a database without tables, or of a copy of `template`."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(f"host=127.0.0.1 port={self.server.port} user=postgres", autocommit=True) as connection:
            names = sql.Identifier(name), sql.Identifier(template)
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        return self.server.url_of(name)
