"""Damaged requests through every decoder: that nothing but a refusal comes out, how long the worst takes, and how
much memory.

    python -m bench.fuzz [--inputs 200000]

An input that takes over 50 ms is taken again three times, since the machine is shared; the best of them counts.
Memory is what Python allocates for one input, measured for all over 10 KB and for bombs of each packing.
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Iterator
from time import perf_counter

from bench.bombs import bombs
from collectors.dialect import MAX_BODY_BYTES, Request
from tests.wire.mutants import Mutants
from tests.wire.replay import FAMILIES, taken

LONGEST_S = 0.050
"""For an input of 100 KB."""
MOST_BYTES = 6 * MAX_BODY_BYTES
"""A body of the largest size, its text, and the records in it; reached by bombs alone."""
MEASURED_BYTES = 10_000


class Worst:
    """The slowest input and the one that took most memory."""

    def __init__(self) -> None:
        self.seconds, self.bytes = 0.0, 0
        self.slowest = self.largest = ""

    def time(self, name: str, request: Request) -> None:
        seconds = _timed(request)
        if seconds > LONGEST_S:
            seconds = min(seconds, *(_timed(request) for _ in range(3)))
        if seconds > self.seconds:
            self.seconds, self.slowest = seconds, _told(name, request)

    def memory(self, name: str, request: Request) -> None:
        tracemalloc.start()
        taken(request)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        if peak > self.bytes:
            self.bytes, self.largest = peak, _told(name, request)


def _timed(request: Request) -> float:
    began = perf_counter()
    taken(request)
    return perf_counter() - began


def _told(name: str, request: Request) -> str:
    return f"{name}: {request.method} {request.path}, {len(request.body) + len(request.query):,} bytes"


def inputs(count: int) -> Iterator[tuple[str, Request]]:
    """The same share for every family."""
    for number, family in enumerate(FAMILIES):
        for request in Mutants(1_000 + number, (family,)).requests(count // len(FAMILIES)):
            yield family, request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000)
    args = parser.parse_args()
    mutants, blasts, count = Worst(), Worst(), 0
    for name, request in inputs(args.inputs):
        count += 1
        mutants.time(name, request)
        if len(request.body) > MEASURED_BYTES:
            mutants.memory(name, request)
    for name, request in bombs():
        blasts.time(name, request)
        blasts.memory(name, request)
    print(f"inputs: {count:,}, no exception but refusals")
    for what, worst in (("mutants", mutants), ("bombs", blasts)):
        print(f"{what}: slowest {worst.seconds * 1000:.1f} ms ({worst.slowest})")
        print(f"{what}: most memory {worst.bytes / 2**20:.1f} MiB ({worst.largest})")
    if mutants.seconds > LONGEST_S or max(mutants.bytes, blasts.bytes) > MOST_BYTES:
        raise SystemExit(f"over {LONGEST_S * 1000:.0f} ms, or over {MOST_BYTES / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
