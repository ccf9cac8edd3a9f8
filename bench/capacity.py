"""What a volume of events needs, from what one event was measured to cost: the tables of docs/capacity.md.

    python -m bench.capacity

Figures and assumptions stand in `bench/capacity.toml`. The plan is arithmetic; whether it holds at peak, and which part
is exhausted first when more comes, is tried in `bench.capacity_queue`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.capacity_queue import OWN, Outcome, Step, simulate

FIGURES = Path(__file__).with_suffix(".toml")
DAY_S = 86_400
GIB, TIB = 2**30, 2**40
LARGE_DISK = 4 * TIB
"""More than that and backups of one server take days."""
SIMULATED_S = 120.0
LOADS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Of the peak that was planned for."""
MANY_CORES = 64
"""Of the largest single machine that a server is planned on."""
TRIAL = ("events/s", "delay p50, p99", "a batch", "busiest part", "keeps up")
LOST_S = 3.0
"""Older than that at the end of the simulation, and the workers do not keep up."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one event, or one new observation, costs in a role or server. `single`: there is one for all, which cannot
    be split. A copy of what it writes is `disk_bytes`, kept for `days`."""

    name: str
    per: str
    cpu_us: float
    source: str
    single: bool = False
    disk_bytes: float = 0
    days: int = 0
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Change:
    """What could be built where one writer of the graph is not enough: `observations` is the share of new ones that is
    left, `gathered` how many calls of workers make one commit, `graphs` how many there are, each with its writer."""

    name: str
    observations: float = 1
    gathered: int = 1
    graphs: int = 1


@dataclass(frozen=True, slots=True)
class Figures:
    traffic: Mapping[str, Any]
    largest: int
    measured: Mapping[str, float]
    parts: Sequence[Part]
    steps: Sequence[Step]
    changes: Sequence[Change]

    @property
    def new(self) -> float:
        """New observations that come with an event."""
        return float(self.traffic["observations_per_visit"] / self.traffic["events_per_visit"])

    def worker_per_s(self, new: float) -> float:
        """Events that a worker takes through when each of its batches is a full one and nobody is in its way."""
        spent_s = sum(step.wait_ms / 1e3 + step.busy_s(self.largest, self.largest * new) for step in self.steps)
        return self.largest / spent_s


def read_figures() -> Figures:
    told = tomllib.loads(FIGURES.read_text(encoding="utf-8"))
    return Figures(
        told["traffic"],
        told["batch"]["hits"],
        told["batch"]["measured"],
        [Part(**each) for each in told["part"]],
        [Step(**each) for each in told["step"]],
        [Change(**each) for each in told["change"]],
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """For one volume: rates at peak, cores by part, and how many workers there are."""

    a_day: int
    per_s: float
    new_per_s: float
    cores: Mapping[str, int]
    workers: int

    def disk(self, part: Part, new: float) -> float:
        """Bytes of all copies once the first day is forgotten."""
        kept = self.a_day * part.days * (new if part.per == "observation" else 1)
        return kept * part.disk_bytes * part.copies


def plan(figures: Figures, a_day: int) -> Plan:
    busy = figures.traffic["busy"]
    per_s = a_day / DAY_S * figures.traffic["peak"]
    cores = {part.name: _whole(_rate(part, per_s, figures.new) * part.cpu_us / 1e6 / busy) for part in figures.parts}
    return Plan(
        a_day, per_s, per_s * figures.new, cores, max(2, _whole(per_s / busy / figures.worker_per_s(figures.new)))
    )


def _rate(part: Part, per_s: float, new: float) -> float:
    return per_s * new if part.per == "observation" else per_s


def _whole(cores: float) -> int:
    return max(1, math.ceil(cores))


def changed(figures: Figures, change: Change) -> Figures:
    visit = figures.traffic["observations_per_visit"] * change.observations
    steps = [replace(each, ms=each.ms / change.gathered) if each.part == "identity" else each for each in figures.steps]
    return replace(figures, traffic={**figures.traffic, "observations_per_visit": visit}, steps=steps)


def servers_of(figures: Figures, made: Plan, graphs: int = 1) -> dict[str, int]:
    """How many each part is in the simulation. One Python process is the identity, whatever cores it is given; a server
    that cannot be split has those of one machine at most."""
    counts = {OWN: made.workers, "identity": graphs, "counters": 1}
    for part in figures.parts:
        if part.name not in ("collector", "Kafka", *counts):
            counts[part.name] = min(made.cores[part.name], MANY_CORES) if part.single else made.cores[part.name]
    return counts


def try_out(figures: Figures, made: Plan, load: float, graphs: int = 1) -> Outcome:
    return simulate(
        figures.steps,
        servers_of(figures, made, graphs),
        rate=made.per_s * load,
        new=figures.new,
        largest=figures.largest,
        seconds=SIMULATED_S,
    )


# The tables.


def tables(figures: Figures) -> Iterator[str]:
    plans = [plan(figures, a_day) for a_day in figures.traffic["volumes"]]
    yield _table(("part", "CPU", "on disk, one copy", "measured by"), _costs(figures))
    yield _table(("at peak", *(f"{made.a_day:,} a day" for made in plans)), _needs(figures, plans))
    yield _table(("part", "there is", "carries at most", "events a day at that"), _limits(figures))
    for made in plans[:-1]:
        yield _table((f"{made.a_day:,} a day: load", *TRIAL), _trials(figures, made))
    yield _table((f"{plans[-1].a_day:,} a day: what would come", *TRIAL), _changes(figures, plans[-1].a_day))


def _costs(figures: Figures) -> Iterator[Sequence[str]]:
    for part in figures.parts:
        per = "a new observation" if part.per == "observation" else "an event"
        disk = f"{part.disk_bytes:,.0f} bytes {per}" if part.disk_bytes else ""
        yield part.name, f"{part.cpu_us:,.0f} µs {per}", disk, part.source


def _needs(figures: Figures, plans: Sequence[Plan]) -> Iterator[Sequence[str]]:
    yield "events a second", *(f"{made.per_s:,.0f}" for made in plans)
    yield "new observations a second", *(f"{made.new_per_s:,.0f}" for made in plans)
    for part in figures.parts:
        yield f"cores: {part.name}", *(f"{made.cores[part.name]:,}" for made in plans)
    yield "worker processes", *(f"{made.workers:,}" for made in plans)
    yield "partitions of the log, at least", *(f"{2 * made.workers:,}" for made in plans)
    for part in figures.parts:
        if part.disk_bytes:
            what = f"disk: {part.name}, {part.days} days, {part.copies} {'copy' if part.copies == 1 else 'copies'}"
            yield what, *(_size(made.disk(part, figures.new)) for made in plans)
    sent = figures.traffic["bytes_sent"], figures.traffic["bytes_inside"]
    for what, size in zip(("network: into the collectors", "network: among processes and servers"), sent, strict=True):
        yield what, *(f"{made.per_s * size * 8 / 1e9:,.2f} Gbit/s" for made in plans)


def _limits(figures: Figures) -> Iterator[Sequence[str]]:
    """What there is only one of, and the rate at which it is exhausted."""
    peak = figures.traffic["peak"]
    for name, there_is, per_s, what in limits(figures):
        events = per_s / figures.new if what == "new observations" else per_s
        yield name, there_is, f"{per_s:,.0f} {what} a second", f"{_rounded(events / peak * DAY_S):,.0f}"


def limits(figures: Figures) -> Iterator[tuple[str, str, float, str]]:
    identity = next(step for step in figures.steps if step.part == "identity")
    largest = figures.largest * figures.new
    for size, observations in (
        ("calls of a full batch of hits", largest),
        ("calls of 1,000", 1_000),
    ):
        yield f"identity, {size}", "one process", observations / identity.busy_s(0, observations), "new observations"
    for part in figures.parts:
        # Of the graph's server nothing is added: it does one transaction of the identity at a time.
        if part.single and part.per == "event":
            yield f"{part.name}, {MANY_CORES} cores", "one server", MANY_CORES * 1e6 / part.cpu_us, "events"
        if part.single and part.disk_bytes:
            a_day = LARGE_DISK / part.disk_bytes / part.days
            per_s = a_day / DAY_S * figures.traffic["peak"]
            yield f"{part.name}, {_size(LARGE_DISK)} of seen ids", "one server", per_s, "events"
    counters = sum(step.busy_s(0, 0) for step in figures.steps if step.part == "counters")
    yield "the shared counts, full batches", "one row a source and hour", figures.largest / counters, "events"


def _trials(figures: Figures, made: Plan) -> Iterator[Sequence[str]]:
    for load in LOADS:
        yield f"{load:g} x", *_told(made.per_s * load, try_out(figures, made, load))


def _changes(figures: Figures, a_day: int) -> Iterator[Sequence[str]]:
    for change in figures.changes:
        then = changed(figures, change)
        made = plan(then, a_day)
        yield change.name, *_told(made.per_s, try_out(then, made, 1, change.graphs))


def _told(per_s: float, found: Outcome) -> Iterator[str]:
    keeps_up = found.behind_s < LOST_S
    yield f"{per_s:,.0f}"
    yield f"{found.p50_s:.2f}, {found.p99_s:.2f} s" if keeps_up else "grows"
    yield f"{found.batch:,.0f}"
    yield f"{found.busiest}, {min(1, found.busy[found.busiest]):.0%}"
    yield "yes" if keeps_up else "no"


def _size(size: float) -> str:
    return f"{size / TIB:,.1f} TiB" if size >= TIB else f"{size / GIB:,.0f} GiB"


def _rounded(number: float) -> float:
    """To two digits: more would be pretence."""
    return round(number, 1 - math.floor(math.log10(number)))


def _table(headings: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line).replace("  ", " ") + " |" for line in lines)


def main() -> None:
    print("\n\n".join(tables(read_figures())))


if __name__ == "__main__":
    main()
