"""The plan of capacity: its arithmetic, its simulation, and whether the documentation says what it computes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.capacity import Figures, plan, read_figures, tables
from bench.capacity_queue import OWN, Step, simulate

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"


@pytest.fixture(scope="module")
def figures() -> Figures:
    return read_figures()


def test_the_page_has_the_tables_that_the_plan_computes(figures: Figures) -> None:
    shown = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [each.strip() for each in shown] == list(tables(figures))


def test_twice_the_events_need_twice_the_cores_and_disks(figures: Figures) -> None:
    one, two = plan(figures, 10**10), plan(figures, 2 * 10**10)
    for part in figures.parts:
        assert 0 <= 2 * one.cores[part.name] - two.cores[part.name] <= 1
        assert two.disk(part, figures.new) == pytest.approx(2 * one.disk(part, figures.new))


def test_a_core_that_is_planned_with_is_not_planned_to_be_busy_all_the_time(figures: Figures) -> None:
    made = plan(figures, 10**10)
    for part in figures.parts:
        rate = made.new_per_s if part.per == "observation" else made.per_s
        assert rate * part.cpu_us / 1e6 <= made.cores[part.name] * figures.traffic["busy"]


def test_the_steps_of_a_batch_add_up_to_what_one_worker_was_measured_to_do(figures: Figures) -> None:
    measured = figures.measured
    assert figures.worker_per_s(measured["new"]) == pytest.approx(measured["worker_per_s"], rel=0.1)


# The simulation, with a store that takes 1 ms a batch and 100 us an event: 10,000 events a second and no more.

STEPS = (Step("translate", OWN, us=50), Step("store", "store", ms=1, us=100))


def test_below_what_the_store_carries_delays_stay_short() -> None:
    found = simulate(STEPS, {OWN: 4, "store": 1}, rate=6_000, new=0, largest=500, seconds=20)
    assert found.p99_s < 1
    assert found.behind_s < 1
    assert found.busy["store"] == pytest.approx(0.6 + 6_000 / found.batch / 1_000, rel=0.1)


def test_above_it_events_wait_for_longer_and_longer_and_the_store_is_named() -> None:
    found = simulate(STEPS, {OWN: 4, "store": 1}, rate=12_000, new=0, largest=500, seconds=20)
    assert found.behind_s > 1
    assert found.busiest == "store"
    assert found.busy["store"] == pytest.approx(1, abs=0.05)


def test_a_second_server_of_the_store_carries_what_was_too_much_for_one() -> None:
    found = simulate(STEPS, {OWN: 4, "store": 2}, rate=12_000, new=0, largest=500, seconds=20)
    assert found.behind_s < 1


def test_only_new_observations_keep_a_part_busy_that_is_asked_for_them() -> None:
    steps = (Step("settle", "identity", per="observation", us=1_000),)
    found = simulate(steps, {OWN: 2, "identity": 1}, rate=4_000, new=0.1, largest=500, seconds=20)
    assert found.busy["identity"] == pytest.approx(0.4, rel=0.05)


def test_the_same_seed_gives_the_same_outcome() -> None:
    servers = {OWN: 3, "store": 1}
    one, other = (simulate(STEPS, servers, rate=5_000, new=0, largest=500, seconds=10, seed=3) for _ in range(2))
    assert one == other
