"""The graph in SQL: the contract on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.records import open_engine
from identity.graph import Graph
from identity.graph_sql import SqlGraph, metadata
from tests.contracts.graph_contract import GraphContract, OpenGraph


class TestSqliteGraph(GraphContract):
    @pytest.fixture
    def open_graph(self, tmp_path: Path) -> Iterator[OpenGraph]:
        opened: list[SqlGraph] = []

        def open_it() -> Graph:
            engine = open_engine(f"sqlite:///{tmp_path}/graph.db")
            metadata.create_all(engine)
            opened.append(SqlGraph(engine))
            return opened[-1]

        yield open_it
        for graph in opened:
            graph.close()
