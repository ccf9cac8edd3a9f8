"""Segments are live on servers as they are in one process: the same walk, with records, graph and events apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.servers import ClickHouse
from tests.segments.live_world import World
from tests.segments.test_live_walk import Walk
from tests.servers.databases import Databases

STEPS = 25


@pytest.mark.parametrize("seed", [11, 12])
def test_live_membership_is_a_full_evaluation_after_every_step(
    tmp_path: Path, databases: Databases, clickhouse: ClickHouse, seed: int
) -> None:
    records, graph, events = databases.new("records"), databases.new("graph"), clickhouse.url_of(f"live_{seed}")
    world = World(tmp_path, records_url=records, graph_url=graph, events_url=events)
    try:
        walk = Walk(world, seed)
        done = []
        for _ in range(STEPS):
            done.append(walk.step())
            try:
                world.check()
            except AssertionError as error:
                raise AssertionError(f"after {done}") from error
        assert world.live.reconcile() == {}
        world.check_published()
    finally:
        world.close()
