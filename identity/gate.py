"""A gate that many may pass together, or one alone.

Who waits to be alone goes before those who come later, so that a stream of readers cannot keep a writer out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock

from cdp.errors import GateClosed

REQUEST_S = 10.0
"""For which whoever answers a request waits to enter: an erasure stays inside while a store that it needs is away, and
the threads that wait are the same that answer everything else."""


class Gate:
    """For threads; whoever is inside must not enter again."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside = 0
        self._waiting = 0
        self._alone = False
        self._turns: dict[str, Lock] = {}

    @contextmanager
    def together(self, *, within_s: float | None = None) -> Iterator[None]:
        """Enter with others; None waits without limit. Raises GateClosed."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._alone and not self._waiting, within_s):
                raise GateClosed
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if not self._inside:
                    self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._alone and not self._inside)
            finally:
                self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    @contextmanager
    def turn(self, what: str, *, within_s: float | None = None) -> Iterator[None]:
        """Only one at a time does this, of those inside and of those who are not; None waits without limit. Raises
        GateClosed."""
        turn = self._turns.setdefault(what, Lock())
        if not turn.acquire(timeout=-1 if within_s is None else within_s):
            raise GateClosed
        try:
            yield
        finally:
            turn.release()

    def check(self) -> None:
        """For who is inside, before it commits: raises GateLost where it is not inside any more."""

    def close(self) -> None:
        """Let go of everything."""
