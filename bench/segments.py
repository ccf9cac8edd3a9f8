"""Segments over ten million events: everybody, those few whom something came of, previews; then live membership.

    python -m bench.segments [--events 10000000] [--runs 5]

The floor is what the engine needs for as many plain counts over the same events of the same people, in one query.
Wall and processor seconds of this process, which the engine runs in: medians, and (least-most).
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from statistics import median, quantiles
from typing import Any, NamedTuple

from bench.segments_data import NAMES, NOW, open_made
from bench.segments_many import TZ, definitions
from cdp.errors import StoreUnavailable
from cdp.model import DAY_MS
from profiles.events_clickhouse import ClickHouseEvents
from segments.book import Segment, State
from segments.evaluate import Evaluator
from segments.language import parse
from segments.pieces import Piece, Unanswered, piecewise
from segments.sql import verdicts_query
from segments.sql_source import Scope
from segments.tree import Definition
from segments.walk import leaves_of, steps_of

PREVIEWED = 30
FEW = (1, 20, 200, 2_000)
COUNTS = 50
MUCH = 8 * 2**30


class Timed:
    """Runs of one thing, until there are enough."""

    def __init__(self, label: str) -> None:
        self._label = label
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def run(self, does: Callable[..., Any], *args: Any, **more: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        found = does(*args, **more)
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)
        return found

    def tell(self, note: str = "") -> None:
        spread = f"({min(self.wall):.3f}-{max(self.wall):.3f})"
        print(
            f"{self._label:58} wall {median(self.wall):7.3f} s {spread:16} cpu {median(self.cpu):7.3f} s"
            f"  RSS {_peak_mib():5.0f} MiB  {note}",
            flush=True,
        )

    def tell_spread(self) -> None:
        ordered = sorted(self.wall)
        p95 = quantiles(ordered, n=20, method="inclusive")[-1]
        print(
            f"{self._label:58} p50 {median(ordered) * 1000:6.0f}, p95 {p95 * 1000:6.0f} ms of {len(ordered)};"
            f" cpu p50 {median(self.cpu) * 1000:.0f} ms",
            flush=True,
        )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Looked(NamedTuple):
    verdicts: int
    members: int


def _segments(some: Iterable[Definition]) -> list[Segment]:
    return [Segment(n, f"sg_{n}", "", each, 1, 0, 0, State.LIVE) for n, each in enumerate(some)]


class Bench:
    def __init__(self, store: ClickHouseEvents, runs: int) -> None:
        self._store, self._runs = store, runs
        self._evaluator = Evaluator(store, lambda *_: {})
        self.persons, self.leads, self.ordered, self.others = definitions()
        everybody = store.ask("SELECT person FROM owners ORDER BY set LIMIT 200000", {})
        self._people = [person for (person,) in everybody]

    # Everybody

    def floor(self) -> None:
        names = cycle(NAMES)
        counts = ", ".join(
            f"countIf(name = '{next(names)}' AND occurred_at > {NOW - (n + 1) * 2 * DAY_MS}) AS c{n}"
            for n in range(COUNTS)
        )
        owners = "(SELECT set, person FROM owners FINAL) AS owner"
        rows = f"SELECT person, {counts} FROM typed_events INNER JOIN {owners} USING (set) GROUP BY person"
        text = f"SELECT count() FROM ({rows}) WHERE NOT ignore(*)"
        self._repeat(f"floor: {COUNTS} plain counts", self._asked, text)

    def _asked(self, text: str) -> int:
        return int(self._store.ask(text, {})[0][0])

    def least(self) -> None:
        """What is left of the segments of persons where hardly anything is asked of the events that they look at."""
        looked_at = {
            step.names for each in self.persons for _, leaf in leaves_of(each) for _, step in steps_of(leaf, "")
        }
        counts = [
            parse({"v": 1, "entity": "person", "where": {"did": names or "*", "op": ">=", "value": 3}}, tz=TZ)
            for names in sorted(map(list, looked_at))
        ]
        self._repeat(f"their events by {len(counts)} choices of names, counted, engine", self._engine, [counts])

    def everybody(self) -> None:
        plain, every = [self.persons, self.leads], [[*self.persons, *self.ordered], self.leads]
        for label, groups in (("40 without sequences", plain), ("all 50", every)):
            self._repeat(f"{label}, in one query each for persons and leads", self._whole, groups)
            self._repeat(f"{label}, the engine alone", self._engine, groups)
            self._repeat(f"{label}, in the pieces of a fill", self._in_pieces, groups, runs=1)

    def _whole(self, groups: Sequence[Sequence[Definition]]) -> int:
        return sum(self._count(each) for each in groups)

    def _in_pieces(self, groups: Sequence[Sequence[Definition]]) -> int:
        return sum(
            looked.members
            for each in groups
            for looked in piecewise(_segments(each), self._look, lambda segment, cause: print("refused:", cause))
            if looked is not None
        )

    def _look(self, piece: Piece) -> Looked:
        some = [each.definition for each in piece.segments]
        verdicts = members = 0
        try:
            for said in self._evaluator.evaluate(some, NOW, part=piece.part, others=self.others):
                verdicts += len(some)
                members += len(said.members)
        except StoreUnavailable as error:
            raise Unanswered(error.cause) from error
        return Looked(verdicts, members)

    def _engine(self, groups: Sequence[Sequence[Definition]]) -> None:
        """The same query with as much memory as it takes, its rows thrown away."""
        for each in groups:
            query = verdicts_query(each, NOW, Scope(), self.others, lambda *_: {})
            text = f"SELECT count() FROM ({query.text}) WHERE NOT ignore(*) SETTINGS max_memory_usage = {MUCH}"
            self._store.ask(text, query.values, tables=query.tables)

    def _count(self, some: Sequence[Definition], **scope: Any) -> int:
        found = self._evaluator.evaluate(some, NOW, others=self.others, **scope)
        return sum(len(each.members) for each in found)

    # Some

    def few(self) -> None:
        for size in FEW:
            timed = Timed(f"all 50 (46 of persons) for {size:,} persons")
            for _ in range(self._runs):
                units = random.sample(self._people, size)
                timed.run(self._count, [*self.persons, *self.ordered], units=units)
            timed.tell()
        timed = Timed("one of 46 for 20 persons")
        for one in (*self.persons, *self.ordered):
            units = random.sample(self._people, 20)
            timed.run(self._count, [one], units=units)
        timed.tell_spread()

    # What is asked of one

    def asked(self) -> None:
        evaluator, others = self._evaluator, self.others
        # The most of them have no sequence, as with the fifty.
        some = [*self.persons[: PREVIEWED * 4 // 5], *self.ordered[: PREVIEWED // 5]]
        self._each(
            "preview: count, sample, zero, missing, channel, reach", some, lambda d: evaluator.preview(d, NOW, others)
        )
        self._each("the count alone", some, lambda d: evaluator.overlap([d], NOW, others))
        self._each("estimate from 1/64", some, lambda d: evaluator.estimate(d, NOW, others))
        fours = [some[n : n + 4] for n in range(0, PREVIEWED - 3, 4)]
        self._each("overlap of 4", fours, lambda each: evaluator.overlap(each, NOW, others))
        person = random.choice(self._people)
        self._each("explain of one person", some, lambda d: evaluator.explain(d, person, NOW, others))

    def _each(self, label: str, some: Iterable[Any], ask: Callable[[Any], Any]) -> None:
        timed = Timed(label)
        for each in some:
            timed.run(ask, each)
        timed.tell_spread()

    def _repeat(self, label: str, does: Callable[..., Any], *args: Any, runs: int | None = None) -> None:
        timed, found = Timed(label), None
        try:
            for _ in range(runs or self._runs):
                found = timed.run(does, *args)
            timed.tell("" if found is None else f"{found:,}")
        except StoreUnavailable as error:
            print(f"{label:58} refused: {str(error)[:120]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    random.seed(7)
    began = time.perf_counter()
    bench = Bench(open_made(asked.events), asked.runs)
    print(f"{asked.events:,} events there after {time.perf_counter() - began:.0f} s")
    bench.floor()
    bench.least()
    bench.everybody()
    bench.few()
    bench.asked()


if __name__ == "__main__":
    main()
