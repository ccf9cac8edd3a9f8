"""Trails that are read together are those that would be read alone."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cdp.model import NO_WINDOWS, SetId, Windows
from leads import together
from leads.together import ReadTogether
from profiles.store import SetSummary


class Store:
    """Events of some sets in memory, and how often it was asked; `late` come behind its first count."""

    def __init__(self, events: dict[int, int], late: int = 0) -> None:
        self.asked, self._late = 0, late
        self._events = [_event(set_, n) for set_, many in events.items() for n in range(many)]

    def trail(self, sets: Any, *, limit: int, windows: Windows = NO_WINDOWS) -> list[dict[str, Any]]:
        self.asked += 1
        found = [each for each in self._events if each["set"] in sets and each["set"] not in windows]
        return sorted(found, key=lambda each: (each["occurred_at"], each["id"]), reverse=True)[:limit]

    def summaries(self, sets: Any, *, windows: Windows = NO_WINDOWS) -> list[SetSummary]:
        self.asked += 1
        found = self.trail(sets, limit=10_000, windows=windows)
        self.asked -= 1
        # They come between the two questions.
        self._events += [_event(1, 1_000 + n) for n in range(self._late)]
        self._late = 0
        moments = {each: [event["occurred_at"] for event in found if event["set"] == each] for each in sets}
        return [SetSummary(each, len(those), min(those), max(those)) for each, those in moments.items() if those]


def _event(set_: int, n: int) -> dict[str, Any]:
    # Many at one moment, so that their order hangs on their ids.
    return {"set": set_, "id": f"e-{random.Random(set_ * 10_000 + n).random()}", "occurred_at": n // 4}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "TOGETHER_EVENTS", 50)


def test_each_trail_is_the_same_as_alone_and_only_long_ones_and_stretches_are_asked_for() -> None:
    held = {1: 3, 2: 0, 3: 7, 4: 300, 5: 1}
    store, alone = Store(held), Store(held)
    sets = [SetId(each) for each in held]
    read = ReadTogether(store, sets)  # type: ignore[arg-type]
    windows: Windows = {SetId(5): []}
    for mine, limit, when in [
        ([sets[0]], 200, NO_WINDOWS),
        ([sets[1]], 200, NO_WINDOWS),
        ([sets[0], sets[2], sets[4]], 5, NO_WINDOWS),
    ]:
        assert read.trail(mine, limit=limit, windows=when) == alone.trail(mine, limit=limit, windows=when)
        assert sorted(read.summaries(mine, windows=when)) == sorted(alone.summaries(mine, windows=when))
    assert store.asked == 2
    assert read.trail([sets[0], sets[3]], limit=200) == alone.trail([sets[0], sets[3]], limit=200)
    assert read.trail([sets[4]], limit=200, windows=windows) == []
    assert store.asked == 4


def test_where_many_events_come_meanwhile_nothing_is_cut_off() -> None:
    store = Store({1: 3, 2: 3}, late=200)
    read = ReadTogether(store, [SetId(1), SetId(2)])  # type: ignore[arg-type]
    assert len(read.trail([SetId(2)], limit=200)) == 3
    assert len(read.trail([SetId(1)], limit=300)) == 203
