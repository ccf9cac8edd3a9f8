"""A bounded memory of what was used lately, safe to use from several threads.

Two generations: when the young one is full it becomes the old one, and what nobody asked for meanwhile is forgotten.
A hit costs one look into a dict, a tenth of what moving an entry to the end of a list would.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps the last `size` used entries at least, twice as many at most. None is no value."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is not None or key not in self._old:
            return found
        # Without the lock an entry that another thread drops just now could be carried back.
        with self._lock:
            found = self._old.get(key)
            if found is not None:
                self._put(key, found)
            return found

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._put(key, value)

    def drop(self, keys: Iterable[K]) -> None:
        with self._lock:
            for key in keys:
                self._young.pop(key, None)
                self._old.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._young, self._old = {}, {}

    def _put(self, key: K, value: V) -> None:
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value
