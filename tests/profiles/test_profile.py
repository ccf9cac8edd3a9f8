"""The profile reader over a store that holds its rows in memory and can be made to wait."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from cdp.errors import StoreUnavailable
from cdp.model import NO_WINDOWS, Millis, Operation, SetId, Window, Windows
from profiles.profile import Profile, ProfileReader
from profiles.store import EventStore, SetSummary, TraitRow
from profiles.traits import Trait

LONG_S = 30.0


class Shelf:
    """Trait rows by set, one to an event. `asked` records each query, which sets `begun` and waits for `go`."""

    def __init__(self) -> None:
        self.rows: dict[SetId, list[TraitRow]] = {}
        self.asked: list[list[SetId]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.broken = False

    def put(self, set_: int, city: str, *, at: Millis = 1) -> None:
        one = SetId(set_)
        row = TraitRow(one, f"e{set_}-{at}", 0, Operation.SET, "city", f'"{city}"', "site", at)
        self.rows.setdefault(one, []).append(row)

    def facts(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> tuple[list[TraitRow], list[SetSummary]]:
        self.asked.append(list(sets))
        rows = [row for one in sets for row in self.rows.get(one, ()) if one not in windows or _in(row, windows[one])]
        times = {one: [row.occurred_at for row in rows if row.set == one] for one in sets}
        seen = [SetSummary(one, len(at), min(at), max(at)) for one, at in times.items() if at]
        self.begun.set()
        assert self.go.wait(LONG_S)
        if self.broken:
            raise StoreUnavailable("event", "the test says so")
        return rows, seen


def _in(row: TraitRow, windows: Sequence[Window]) -> bool:
    return any((start or 0) <= row.occurred_at and (end is None or row.occurred_at < end) for start, end in windows)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def reader_of(shelf: Shelf, size: int = 100) -> ProfileReader:
    return ProfileReader(cast(EventStore, shelf), size)


def ids(*sets: int) -> list[SetId]:
    return [SetId(one) for one in sets]


def city(profile: Profile) -> Any:
    return profile.traits["city"].value


def in_thread(reader: ProfileReader, sets: list[SetId], answers: list[Profile]) -> threading.Thread:
    thread = threading.Thread(target=lambda: answers.append(reader.get(sets)))
    thread.start()
    return thread


def test_a_profile_folds_all_sets_of_a_person(shelf: Shelf) -> None:
    shelf.put(1, "上海", at=5)
    shelf.put(2, "北京", at=9)
    seen = (SetSummary(SetId(1), 1, 5, 5), SetSummary(SetId(2), 1, 9, 9))
    assert reader_of(shelf).get(ids(2, 1)) == Profile({"city": Trait("北京", "site", 9)}, 5, 9, 2, seen)


def test_a_person_without_events_has_an_empty_profile(shelf: Shelf) -> None:
    assert reader_of(shelf).get(ids(1)) == Profile({}, None, None, 0)
    assert reader_of(shelf).get([]) == Profile({}, None, None, 0)


def test_a_profile_is_read_once_whatever_the_order_of_its_sets(shelf: Shelf) -> None:
    reader = reader_of(shelf)
    assert reader.cached(ids(1, 2)) is None
    assert reader.get(ids(1, 2)) is reader.get(ids(2, 1, 1)) is reader.cached(ids(1, 2))
    assert shelf.asked == [ids(1, 2)]


def test_a_touched_set_is_read_again_and_no_other(shelf: Shelf) -> None:
    reader = reader_of(shelf)
    shelf.put(1, "上海")
    reader.get(ids(1, 2))
    reader.get(ids(3))
    shelf.put(1, "北京", at=2)
    reader.touch(ids(1, 99))
    assert city(reader.get(ids(1, 2))) == "北京"
    assert reader.cached(ids(3)) is not None
    assert len(shelf.asked) == 3


def test_a_reader_that_keeps_nothing_sees_what_another_process_wrote(shelf: Shelf) -> None:
    reader = reader_of(shelf, size=0)
    shelf.put(1, "上海")
    reader.get(ids(1))
    assert reader.cached(ids(1)) is None
    shelf.put(1, "北京", at=2)
    assert city(reader.get(ids(1))) == "北京"
    assert reader._keys_of == {}


@pytest.mark.parametrize("size", [0, 100])
def test_requests_that_come_while_a_query_runs_share_the_next_one(shelf: Shelf, size: int) -> None:
    reader = reader_of(shelf, size)
    answers: list[Profile] = []
    shelf.go.clear()
    threads = [in_thread(reader, ids(1), answers)]
    assert shelf.begun.wait(LONG_S)
    threads += [in_thread(reader, ids(n), answers) for n in (2, 3, 4, 4)]
    while len(reader._waiting) < 3:
        threading.Event().wait(0.001)
    shelf.go.set()
    for thread in threads:
        thread.join()
    assert shelf.asked == [ids(1), ids(2, 3, 4)]
    assert len(answers) == 5


def test_what_is_touched_while_it_is_read_is_not_kept(shelf: Shelf) -> None:
    reader = reader_of(shelf)
    answers: list[Profile] = []
    shelf.put(1, "上海")
    shelf.go.clear()
    thread = in_thread(reader, ids(1), answers)
    assert shelf.begun.wait(LONG_S)
    shelf.put(1, "北京", at=2)
    reader.touch(ids(1))
    after = in_thread(reader, ids(1), answers)
    while not reader._waiting:
        threading.Event().wait(0.001)
    shelf.go.set()
    thread.join()
    after.join()
    assert sorted(city(answer) for answer in answers) == ["上海", "北京"]
    assert city(reader.get(ids(1))) == "北京"


def test_the_cache_forgets_who_was_asked_for_longest_ago(shelf: Shelf) -> None:
    reader = reader_of(shelf, size=2)
    for one in (1, 2, 1, 3):
        reader.get(ids(one))
    assert reader.cached(ids(1)) is not None
    assert reader.cached(ids(2)) is None
    reader.touch(ids(1, 2, 3))
    assert reader.cached(ids(1)) is None
    assert reader._keys_of == {}


def test_a_failed_query_fails_its_requests_and_the_next_may_succeed(shelf: Shelf) -> None:
    reader = reader_of(shelf)
    shelf.broken = True
    with pytest.raises(StoreUnavailable, match="the test says so"):
        reader.get(ids(1))
    shelf.broken = False
    assert reader.get(ids(1)).events == 0


def test_a_closed_reader_answers_at_once_that_it_is_closed(shelf: Shelf) -> None:
    reader = reader_of(shelf)
    reader.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        reader.get(ids(1))


def test_a_set_that_changed_hands_gives_each_owner_what_is_of_their_time(shelf: Shelf) -> None:
    shelf.put(1, "上海", at=5)
    shelf.put(1, "北京", at=9)
    reader = reader_of(shelf)
    old: Windows = {SetId(1): [(None, 9)]}
    new: Windows = {SetId(1): [(9, None)]}
    assert [city(reader.get(ids(1), windows)) for windows in (old, new)] == ["上海", "北京"]
    assert [reader.get(ids(1), windows).events for windows in (old, new, {})] == [1, 1, 2]
    assert reader.cached(ids(1), old) is not reader.cached(ids(1), new)


def test_who_has_a_set_in_turns_is_not_mixed_up_when_both_are_asked_for_at_once(shelf: Shelf) -> None:
    shelf.put(1, "上海", at=5)
    shelf.put(1, "北京", at=9)
    reader = reader_of(shelf)
    shelf.go.clear()
    answers: dict[int, Profile] = {}

    def ask(n: int, windows: Windows) -> None:
        answers[n] = reader.get(ids(1), windows)

    asked: list[Windows] = [{}, {SetId(1): [(None, 9)]}, {SetId(1): [(9, None)]}]
    threads = [threading.Thread(target=ask, args=each) for each in enumerate(asked)]
    for thread in threads:
        thread.start()
    shelf.go.set()
    for thread in threads:
        thread.join(LONG_S)
    assert [(answers[n].events, city(answers[n])) for n in range(3)] == [(2, "北京"), (1, "上海"), (1, "北京")]


def test_an_event_of_a_set_makes_the_profiles_of_all_its_owners_forgotten(shelf: Shelf) -> None:
    shelf.put(1, "上海", at=5)
    reader = reader_of(shelf)
    windows: Windows = {SetId(1): [(None, 9)]}
    reader.get(ids(1), windows)
    reader.get(ids(1))
    shelf.put(1, "北京", at=7)
    reader.touch(ids(1))
    assert reader.cached(ids(1)) is None
    assert city(reader.get(ids(1), windows)) == "北京"
