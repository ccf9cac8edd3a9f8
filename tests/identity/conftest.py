from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdp.records import open_engine
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph, metadata
from identity.kinds import BUILT_IN, Policy

OpenEngine = Callable[..., IdentityEngine]


@pytest.fixture
def open_identity(tmp_path: Path) -> Iterator[OpenEngine]:
    """Opens an engine on the test's one graph; called again, it is another process after a restart."""
    graphs: list[SqlGraph] = []

    def opened(policy: Policy = BUILT_IN, kind: type[SqlGraph] = SqlGraph) -> IdentityEngine:
        engine = open_engine(f"sqlite:///{tmp_path}/graph.db")
        metadata.create_all(engine)
        graphs.append(kind(engine))
        return IdentityEngine(graphs[-1], policy, now=lambda: 1_700_000_000_000)

    yield opened
    for graph in graphs:
        graph.close()


@pytest.fixture
def engine(open_identity: OpenEngine) -> IdentityEngine:
    return open_identity()
