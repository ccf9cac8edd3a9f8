"""The graph in Neo4j, as the rows that it would be in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdp.errors import Refused
from cdp.move.contents import Digest, Key, Page, digest_of
from cdp.move.sql import Rows as SqlRows
from identity.graph_neo4j import Neo4jGraph
from identity.graph_neo4j_rows import ROWS, Rows

PAGE_ROWS = 2_000
"""Of one transaction, as in a commit."""


class Neo4jContents:
    """`cdp.move.contents.Contents`; a page is what `SqlContents` takes."""

    def __init__(self, url: str) -> None:
        """Makes constraints and indexes that are missing. Raises what `Neo4jGraph` does."""
        self._graph = Neo4jGraph(url)
        self._tables = {each.table.name: each for each in ROWS}

    def tables(self) -> Mapping[str, int]:
        return {name: int(self._graph.ask(each.count())[0][0]) for name, each in self._tables.items()}

    def last(self, table: str) -> Key | None:
        its = self._its(table)
        found = self._graph.ask(its.newest(), **_parameters(its.before_all), limit=1)
        return _key(its, its.to_sql(found[0])) if found else None

    def pages(self, table: str, after: Key | None) -> Iterator[Page[SqlRows]]:
        its = self._its(table)
        while True:
            found = self._graph.ask(its.page(), **_parameters(after or its.before_all), limit=PAGE_ROWS)
            rows = [its.to_sql(row) for row in found]
            if rows:
                yield Page(len(rows), rows)
                after = _key(its, rows[-1])
            if len(rows) < PAGE_ROWS:
                return

    def add(self, table: str, page: Page[SqlRows]) -> None:
        its = self._its(table)
        self._graph.fill(its.writes, [its.to_neo4j(row) for row in page.rows])

    def digest(self, table: str, until: Key | None = None) -> Digest:
        its = self._its(table)
        rows = (row for page in self.pages(table, None) for row in page.rows)
        return digest_of(tuple(row.values()) for row in rows if until is None or _key(its, row) <= until)

    def close(self) -> None:
        self._graph.close()

    def _its(self, table: str) -> Rows:
        if table not in self._tables:
            raise Refused(f"The graph in Neo4j has no place for the table {table}.")
        return self._tables[table]


def _parameters(key: Sequence[object]) -> dict[str, object]:
    return {f"k{place}": value for place, value in enumerate(key)}


def _key(its: Rows, row: Mapping[str, object]) -> Key:
    return tuple(row[name] for name in its.key)
