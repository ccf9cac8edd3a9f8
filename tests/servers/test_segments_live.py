"""Segments are live on servers as they are in one process: the same walk, with records, graph and events apart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cdp.at_work import doing_jobs
from cdp.moments import now_ms
from cdp.roles import Role
from cdp.wiring import open_system
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


def test_what_another_process_stores_is_looked_at_by_the_scheduler(
    tmp_path: Path, databases: Databases, clickhouse: ClickHouse
) -> None:
    records, graph, events = databases.new("records"), databases.new("graph"), clickhouse.url_of("live_apart")
    world = World(tmp_path, records_url=records, graph_url=graph, events_url=events)
    scheduler = open_system(world.settings, frozenset({Role.SCHEDULER}))
    try:
        viewers = world.make("viewers", {"did": "model_viewed"})
        with doing_jobs(scheduler):
            world.now = now_ms()
            world.take("model_viewed", "li")
            until = time.monotonic() + 60
            while not world.members(viewers) and time.monotonic() < until:
                time.sleep(0.1)
        assert world.members(viewers) == {world.person("li")}
    finally:
        scheduler.close()
        world.close()
