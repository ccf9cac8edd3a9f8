"""One person's profile out of the sets that belong to it, fast enough for each request to ask anew.

A query costs the engine milliseconds whatever it asks for, so requests that come while one runs are answered
together by the next, and what was answered is kept until an event touches one of its sets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

import msgspec

from cdp.errors import StoreUnavailable
from cdp.model import NO_WINDOWS, Millis, SetId, Window, Windows
from profiles.store import EventStore, SetSummary, TraitRow
from profiles.traits import Trait, fold

CACHED_PROFILES = 50_000
BATCH_SETS = 2_000
"""Sets asked for in one query."""


class Key(NamedTuple):
    """Whose profile: sorted sets, and the windows of those that are not the person's at all times."""

    sets: tuple[SetId, ...]
    limits: tuple[tuple[SetId, tuple[Window, ...]], ...]

    @classmethod
    def of(cls, sets: Iterable[SetId], windows: Windows) -> Key:
        ordered = tuple(sorted(set(sets)))
        return cls(ordered, tuple((one, tuple(windows[one])) for one in ordered if one in windows) if windows else ())


class Profile(msgspec.Struct, frozen=True):
    """`first_seen` and `last_seen` are `occurred_at` of the first and the last event; None where there is none.
    `seen` tells the same by set."""

    traits: dict[str, Trait]
    first_seen: Millis | None
    last_seen: Millis | None
    events: int
    seen: tuple[SetSummary, ...] = ()


class ProfileReader:
    """Reads profiles through a cache. Safe to use from any thread; a profile that is given must not be changed.

    Whoever writes events calls `touch` after the write: a `get` that begins after `touch` returned sees them. Where
    other processes write events too, `cache_size` is 0: then each `get` sees what was written before it.
    """

    def __init__(self, store: EventStore, cache_size: int = CACHED_PROFILES) -> None:
        self._store = store
        self._size = cache_size
        self._lock = Lock()
        self._cache: OrderedDict[Key, Profile] = OrderedDict()
        self._keys_of: dict[SetId, set[Key]] = {}
        self._waiting: dict[Key, Future[Profile]] = {}
        self._in_flight: _Batch | None = None
        # One asks the next query while the other hands out the answers of the last.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="profiles")

    def get(self, sets: Iterable[SetId], windows: Windows = NO_WINDOWS) -> Profile:
        """The profile of whom these sets belong to, in these windows. Raises StoreUnavailable."""
        key = Key.of(sets, windows)
        with self._lock:
            if (known := self._known(key)) is not None:
                return known
            future = self._waiting.get(key)
            if future is None:
                future = self._waiting[key] = Future()
                if self._in_flight is None:
                    self._start()
        return future.result()

    def cached(self, sets: Iterable[SetId], windows: Windows = NO_WINDOWS) -> Profile | None:
        """What `get` would give at once, None where it would ask the store. Never blocks for long."""
        with self._lock:
            return self._known(Key.of(sets, windows))

    def touch(self, sets: Iterable[SetId]) -> None:
        """Forget the profiles that have any of these sets."""
        with self._lock:
            touched = set(sets)
            if self._in_flight is not None:
                self._in_flight.touched |= touched
            for one in touched & self._keys_of.keys():
                for key in list(self._keys_of.get(one, ())):
                    self._forget(key)

    def close(self) -> None:
        """Wait for what is being read; who asks later gets StoreUnavailable. The store stays open."""
        self._threads.shutdown()

    def _known(self, key: Key) -> Profile | None:
        profile = self._cache.get(key)
        if profile is not None:
            self._cache.move_to_end(key)
        return profile

    def _start(self) -> None:
        """Hand what waits to a thread, as much as fits one query. The lock is held."""
        batch = _Batch()
        for key in list(self._waiting):
            if batch.waiting and batch.sets + len(key.sets) > BATCH_SETS:
                break
            batch.waiting[key] = self._waiting.pop(key)
            batch.sets += len(key.sets)
        self._in_flight = batch
        try:
            self._threads.submit(self._fetch, batch)
        except RuntimeError:
            self._in_flight = None
            for future in (*batch.waiting.values(), *self._waiting.values()):
                future.set_exception(StoreUnavailable("profile", "it was closed"))
            self._waiting.clear()

    def _fetch(self, batch: _Batch) -> None:
        try:
            profiles = self._read(list(batch.waiting))
        except BaseException as error:
            self._finish(batch, {})
            for future in batch.waiting.values():
                future.set_exception(error)
            return
        self._finish(batch, profiles)
        for key, future in batch.waiting.items():
            future.set_result(profiles[key])

    def _finish(self, batch: _Batch, profiles: dict[Key, Profile]) -> None:
        with self._lock:
            self._in_flight = None
            for key, profile in profiles.items():
                # What an event touched while it was read may lack that event: good for who asked before, not to keep.
                if batch.touched.isdisjoint(key.sets):
                    self._keep(key, profile)
            if self._waiting:
                self._start()

    def _read(self, keys: Sequence[Key]) -> dict[Key, Profile]:
        # Two persons may have one set in turns; so whoever has windows is asked for alone.
        limited = [key for key in keys if key.limits]
        alone = {key: profile_of(*self._store.facts(key.sets, windows=dict(key.limits))) for key in limited}
        return alone | self._read_together([key for key in keys if not key.limits])

    def _read_together(self, keys: Sequence[Key]) -> dict[Key, Profile]:
        if not keys:
            return {}
        sets = sorted({one for key in keys for one in key.sets})
        traits, seen = self._store.facts(sets)
        rows: dict[SetId, list[TraitRow]] = {}
        for row in traits:
            rows.setdefault(row.set, []).append(row)
        summaries = {summary.set: summary for summary in seen}
        return {
            key: profile_of(
                [row for one in key.sets for row in rows.get(one, ())],
                [summaries[one] for one in key.sets if one in summaries],
            )
            for key in keys
        }

    def _keep(self, key: Key, profile: Profile) -> None:
        self._cache[key] = profile
        for one in key.sets:
            self._keys_of.setdefault(one, set()).add(key)
        while len(self._cache) > self._size:
            self._forget(next(iter(self._cache)))

    def _forget(self, key: Key) -> None:
        del self._cache[key]
        for one in key.sets:
            self._keys_of[one].discard(key)
            if not self._keys_of[one]:
                del self._keys_of[one]


class _Batch:
    """Requests that one query answers, and the sets that were touched while it ran."""

    __slots__ = ("sets", "touched", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[Key, Future[Profile]] = {}
        self.sets = 0
        self.touched: set[SetId] = set()


def profile_of(rows: Iterable[TraitRow], summaries: Sequence[SetSummary]) -> Profile:
    """Fold what is stored of all sets of a person into its profile."""
    return Profile(
        traits=fold(rows),
        first_seen=min((one.first_seen for one in summaries), default=None),
        last_seen=max((one.last_seen for one in summaries), default=None),
        events=sum(one.events for one in summaries),
        seen=tuple(summaries),
    )
