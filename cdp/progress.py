"""How far each partition of the log is processed, and waiting for it: in the worker's own process, or by what workers
committed, from any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from sqlalchemy import Engine

from cdp.begun import positions
from cdp.records import reading

LOOK_S = 0.01
"""Between two looks of who waits: a hundredth of what a capture waits for at most."""


class Processed(Protocol):
    def wait_for(self, ends: Mapping[int, int], timeout_s: float) -> bool:
        """Wait until everything before these ends is processed; whether that came in time."""


class Progress:
    """That of the worker in this process, which `rests` only where all who wait for it do so here. Thread-safe."""

    def __init__(self, *, rests: bool = True) -> None:
        self._rests = rests
        self._done: dict[int, int] = {}
        self._waiting = 0
        self._moved = threading.Condition()

    def at(self, partition: int) -> int:
        return self._done.get(partition, 0)

    def reached(self, partition: int, offset: int) -> None:
        with self._moved:
            self._done[partition] = offset
            self._moved.notify_all()

    def wait_for(self, ends: Mapping[int, int], timeout_s: float) -> bool:
        with self._moved:
            self._waiting += 1
            self._moved.notify_all()
            try:
                return self._moved.wait_for(lambda: all(self.at(each) >= end for each, end in ends.items()), timeout_s)
            finally:
                self._waiting -= 1

    def pause(self, longest_s: float) -> None:
        """The worker rests so long, or until somebody waits for it."""
        if self._rests and longest_s > 0:
            with self._moved:
                self._moved.wait_for(lambda: self._waiting > 0, longest_s)


class StoredProgress:
    """That of all workers, as the records store has it. Raises StoreUnavailable."""

    def __init__(self, records: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._records, self._clock = records, clock

    def wait_for(self, ends: Mapping[int, int], timeout_s: float) -> bool:
        deadline = self._clock() + timeout_s
        while True:
            with reading(self._records) as connection:
                done = positions(connection)
            if all(done.get(each, 0) >= end for each, end in ends.items()):
                return True
            if self._clock() > deadline:
                return False
            time.sleep(LOOK_S)
