"""What every event store promises. An adapter inherits `EventStoreContract` and gives the fixture `store`, empty."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from cdp.errors import StoreUnavailable
from cdp.model import (
    App,
    Campaign,
    Device,
    Event,
    EventId,
    EventType,
    Identifier,
    Operation,
    Page,
    PersonId,
    SetId,
    TraitChange,
    Window,
)
from profiles.events_clickhouse import ClickHouseEvents
from profiles.events_clickhouse_erasing import PURGED
from profiles.store import (
    BEGINNING,
    AskedTooMuch,
    Came,
    Cursor,
    EventStore,
    OwnerRow,
    SetSummary,
    StoredEvent,
    TraitRow,
)

START = 1_760_000_000_000
"""2025-10-09; most events of these tests happen within seconds of it."""

LI, WANG = (PersonId(f"00000000-0000-8000-8000-00000000000{n}") for n in (1, 2))

MONTH_MS = 31 * 86_400_000


def make_stored(number: int = 0, *, set_: int = 7, **fields: Any) -> StoredEvent:
    """An event that happened `number` seconds after START and was received a moment later, with its set."""
    event: dict[str, Any] = {
        "id": EventId(f"{number:032x}"),
        "client_id": f"client-{number}",
        "type": EventType.TRACK,
        "name": "video_played",
        "original_name": "VideoPlay",
        "occurred_at": START + number * 1000,
        "received_at": START + number * 1000 + 50,
        "source": "site",
        "dialect": "segment",
        "hit": f"0-{number}",
    }
    return StoredEvent(Event(**(event | fields)), SetId(set_))


def emptied(store: ClickHouseEvents) -> ClickHouseEvents:
    for table in PURGED:
        store._background.command(f"TRUNCATE TABLE {store._places[table].name}")
    return store


def owned(set_: int, person: PersonId | None, *, version: int = 1) -> OwnerRow:
    return OwnerRow(SetId(set_), version, person)


def sets(*numbers: int) -> list[SetId]:
    return [SetId(each) for each in numbers]


def ids(events: Sequence[dict[str, Any]]) -> list[int]:
    return [int(event["id"], 16) for event in events]


def at(second: int) -> int:
    return START + second * 1000


def silent() -> list[Window]:
    """Windows after the 20th second and before the 49th, of half a second each, between the events."""
    return [(at(n) + 100, at(n) + 600) for n in range(20, 49)]


class EventStoreContract:
    @pytest.fixture(autouse=True)
    def _typed_too(self, store: EventStore) -> Iterator[None]:
        """Whatever a test does, in the end the typed copy has the same events."""
        yield
        each = "SELECT id, set, occurred_at, received_at, name, source FROM {} ORDER BY ALL"
        assert store.ask(each.format("typed_events"), {}) == store.ask(each.format("events"), {})

    def test_an_event_comes_back_in_the_shape_of_the_contract(self, store: EventStore) -> None:
        written = make_stored(
            1,
            set_=2**63 - 1,
            type=EventType.CLICK,
            platform="web",
            app=App(id="a1", version="2.0"),
            session="s1",
            identifiers=(Identifier("member_id", "m1"), Identifier("wx_openid", "wxa/o'\"\\1")),
            page=Page(url="https://x.cn/x9?a=\t1", path="/x9", title="后排空间 🚗"),
            campaign=Campaign(source="baidu", click_ids={"bd_vid": "77"}),
            device=Device(kind="mobile", os="iOS"),
            locale="zh-CN",
            ip="203.0.113.9",
            ip_city="上海",
            properties=b'{"series":"X9","n":1.5,"deep":{"list":[1,null,true]},"s":"\\u0000\\n"}',
        )
        store.write([written], token="shape")
        assert store.event(written.event.id) == {
            "id": written.event.id,
            "client_id": "client-1",
            "type": "click",
            "name": "video_played",
            "original_name": "VideoPlay",
            "occurred_at": START + 1000,
            "received_at": START + 1050,
            "source": "site",
            "dialect": "segment",
            "platform": "web",
            "app": {"id": "a1", "name": None, "version": "2.0"},
            "session": "s1",
            "identifiers": [{"kind": "member_id", "value": "m1"}, {"kind": "wx_openid", "value": "wxa/o'\"\\1"}],
            "page": {"url": "https://x.cn/x9?a=\t1", "path": "/x9", "title": "后排空间 🚗", "referrer": None},
            "campaign": {
                "source": "baidu",
                "medium": None,
                "name": None,
                "term": None,
                "content": None,
                "click_ids": {"bd_vid": "77"},
            },
            "device": {"kind": "mobile", "os": "iOS", "os_version": None, "browser": None, "model": None},
            "locale": "zh-CN",
            "ip_city": "上海",
            "properties": {"series": "X9", "n": 1.5, "deep": {"list": [1, None, True]}, "s": "\0\n"},
            "hit": "0-1",
            "set": 2**63 - 1,
        }

    def test_a_bare_event_has_null_where_nothing_is_known(self, store: EventStore) -> None:
        store.write([make_stored(1)], token="bare")
        [event] = store.trail([SetId(7)], limit=1)
        assert event["platform"] is None
        assert event["session"] is None
        assert event["locale"] is None
        assert event["ip_city"] is None
        assert set(event["page"].values()) == {None}
        assert set(event["device"].values()) == {None}
        assert set(event["app"].values()) == {None}
        assert event["campaign"]["click_ids"] == {}
        assert event["identifiers"] == []
        assert event["properties"] == {}

    def test_some_events_come_by_their_ids(self, store: EventStore) -> None:
        first, _, third = rows = [make_stored(n) for n in range(3)]
        store.write(rows, token="some")
        wanted = {first.event.id, third.event.id}
        assert {each["id"] for each in store.events_of([*wanted, "none"])} == wanted
        assert store.events_of([]) == []

    def test_an_event_that_is_not_there_is_none(self, store: EventStore) -> None:
        store.write([make_stored(1)], token="other")
        assert store.event("no such id") is None

    @pytest.mark.parametrize("again", [False, True])
    def test_writing_again_with_the_same_token_changes_nothing(self, store: EventStore, again: bool) -> None:
        batch = [make_stored(n, traits=(TraitChange(Operation.INCREMENT, "visits", "1"),)) for n in range(20)]
        store.write(batch, token=f"again {again}", again=again)
        store.write(batch, token=f"again {again}", again=again)
        assert store.count() == 20
        assert len(store.traits([SetId(7)])) == 20

    def test_a_large_batch_is_one_block_under_its_token(self, store: EventStore) -> None:
        batch = [make_stored(n, set_=n % 1000 + 1, properties=b'{"note":"%s"}' % (b"x" * 300)) for n in range(20_000)]
        store.write(batch, token="large")
        store.write(batch, token="large")
        assert store.count() == 20_000

    def test_a_batch_across_months_is_dropped_as_a_whole_when_written_again(self, store: EventStore) -> None:
        batch = [make_stored(n, received_at=START + n * MONTH_MS) for n in range(6)]
        store.write(batch, token="months")
        store.write(batch, token="months")
        assert store.count() == 6

    def test_an_empty_batch_is_no_write(self, store: EventStore) -> None:
        store.write([], token="empty")
        store.write([make_stored(1)], token="empty")
        assert store.count() == 1

    def test_a_trail_is_newest_first_over_all_sets_of_the_person_and_no_other(self, store: EventStore) -> None:
        store.write([make_stored(n, set_=n % 3 + 1) for n in range(9)], token="trail")
        assert ids(store.trail([SetId(1), SetId(3)], limit=10)) == [8, 6, 5, 3, 2, 0]
        assert ids(store.trail([SetId(1)], limit=2)) == [6, 3]
        assert store.trail([], limit=10) == []

    def test_paging_a_trail_neither_skips_nor_repeats_events_of_the_same_moment(self, store: EventStore) -> None:
        store.write([make_stored(n, set_=n % 2 + 1, occurred_at=START + n // 5) for n in range(17)], token="pages")
        sets, seen, before = [SetId(1), SetId(2)], [], None
        while page := store.trail(sets, limit=3, before=before):
            seen += ids(page)
            before = Cursor(page[-1]["occurred_at"], page[-1]["id"])
        assert seen == list(range(16, -1, -1))

    def test_recent_is_by_receipt_and_pages_without_gaps(self, store: EventStore) -> None:
        late = [make_stored(n, occurred_at=START - n, received_at=START + n // 3) for n in range(10)]
        store.write(late, token="recent")
        seen, before = [], None
        while page := store.recent(limit=4, before=before):
            seen += ids(page)
            before = Cursor(page[-1]["received_at"], page[-1]["id"])
        assert seen == list(range(9, -1, -1))

    def test_recent_reaches_back_over_months_of_silence(self, store: EventStore) -> None:
        store.write([make_stored(n, received_at=START + n * MONTH_MS) for n in range(4)], token="silence")
        assert ids(store.recent(limit=10)) == [3, 2, 1, 0]

    def test_recent_keeps_to_its_bounds_name_and_source(self, store: EventStore) -> None:
        batch = [make_stored(n, received_at=START + n, source=("site", "app")[n % 2]) for n in range(10)]
        store.write([*batch, make_stored(10, name="liked", received_at=START + 10)], token="filters")
        assert ids(store.recent(limit=9, start=START + 3, end=START + 6)) == [5, 4, 3]
        assert ids(store.recent(limit=9, source="app", end=START + 6)) == [5, 3, 1]
        assert ids(store.recent(limit=9, name="liked")) == [10]
        assert store.recent(limit=9, name="liked", source="app") == []
        assert store.recent(limit=9, start=START + 11) == []

    @pytest.mark.parametrize("text", ["' OR 1 = 1 --", "\\' OR 1 = 1 --", "{low:Int64}", "%s", "\n"])
    def test_text_from_outside_is_a_value_and_never_a_query(self, store: EventStore, text: str) -> None:
        store.write([make_stored(1), make_stored(2, name=text, source=text, id=EventId(text))], token="quote")
        assert [event["id"] for event in store.recent(limit=9, name=text, source=text)] == [text]
        assert store.recent(limit=9, name=text + "'") == []
        found = store.event(text)
        assert found is not None
        assert found["name"] == text
        assert ids(store.trail([SetId(7)], limit=9, before=Cursor(START + 2000, text))) == [1]

    def test_events_between_are_after_the_first_and_until_the_second_moment(self, store: EventStore) -> None:
        store.write([make_stored(n, set_=n % 2 + 1) for n in range(10)], token="between")
        found = store.events_between([SetId(1)], after=START + 2000, until=START + 8000)
        assert ids(found) == [4, 6, 8]

    def test_traits_come_in_the_order_of_their_moment_event_and_place(self, store: EventStore) -> None:
        first = TraitChange(Operation.SET, "city", '"上海"')
        second = TraitChange(Operation.DELETE, "")
        store.write([make_stored(2, traits=(first, second)), make_stored(1, set_=8, traits=(second,))], token="traits")
        expected = [
            TraitRow(SetId(8), f"{1:032x}", 0, "delete", "", "null", "site", START + 1000),
            TraitRow(SetId(7), f"{2:032x}", 0, "set", "city", '"上海"', "site", START + 2000),
            TraitRow(SetId(7), f"{2:032x}", 1, "delete", "", "null", "site", START + 2000),
        ]
        assert store.traits([SetId(7), SetId(8)]) == expected
        assert store.traits([SetId(7), SetId(8)], until=START + 1000) == expected[:1]
        assert store.traits([]) == []

    def test_summaries_count_each_set_that_has_events(self, store: EventStore) -> None:
        store.write([make_stored(n, set_=n % 2 + 1) for n in range(5)], token="summaries")
        assert sorted(store.summaries([SetId(1), SetId(2), SetId(9)])) == [
            SetSummary(SetId(1), 3, START, START + 4000),
            SetSummary(SetId(2), 2, START + 1000, START + 3000),
        ]
        assert store.summaries([]) == []

    def test_facts_are_the_traits_and_the_summaries(self, store: EventStore) -> None:
        changed = (TraitChange(Operation.SET, "city", '"x"'), TraitChange(Operation.UNSET, "city"))
        store.write([make_stored(n, set_=n % 2 + 1, traits=changed) for n in range(5)], token="facts")
        sets = [SetId(1), SetId(2), SetId(9)]
        traits, summaries = store.facts(sets)
        assert sorted(traits) == sorted(store.traits(sets))
        assert sorted(summaries) == sorted(store.summaries(sets))
        assert store.facts([]) == ([], [])

    @pytest.mark.parametrize("many", [False, True])
    def test_windows_limit_a_set_to_stretches_of_time_the_end_excluded(self, store: EventStore, many: bool) -> None:
        changed = (TraitChange(Operation.INCREMENT, "visits", "1"),)
        store.write([make_stored(n, set_=n % 3 + 1, traits=changed) for n in range(60)], token="windows")
        early: list[Window] = [(None, at(3)), (at(12), at(18))]
        # Nothing happened in these, and so many of them are asked for in another way.
        late: list[Window] = [(at(49), None)]
        windows = {SetId(2): [*early, *silent(), *late] if many else early + late, SetId(3): late}
        sets = [SetId(1), SetId(2), SetId(3)]
        mine = [n for n in range(60) if n % 3 == 0 or n >= 49 or (n % 3 == 1 and (n < 3 or 12 <= n < 18))]
        assert ids(store.trail(sets, limit=99, windows=windows)) == mine[::-1]
        page = store.trail(sets, limit=4, before=Cursor(at(17), f"{17:032x}"), windows=windows)
        assert ids(page) == [each for each in mine if each < 17][:-5:-1]
        between = store.events_between(sets, after=at(9), until=at(50), windows=windows)
        assert ids(between) == [each for each in mine if 9 < each <= 50]
        traits = store.traits(sets, windows=windows)
        assert [int(row.event, 16) for row in traits] == mine
        assert store.traits(sets, until=at(20), windows=windows) == [row for row in traits if row.occurred_at <= at(20)]
        summaries = store.summaries(sets, windows=windows)
        assert {one.set: one.events for one in summaries} == {1: 20, 2: 7, 3: 4}
        assert {one.set: (one.first_seen, one.last_seen) for one in summaries}[SetId(2)] == (at(1), at(58))
        facts, seen = store.facts(sets, windows=windows)
        assert (sorted(facts), sorted(seen)) == (sorted(traits), sorted(summaries))

    def test_windows_of_other_sets_and_windows_at_all_times_limit_nothing(self, store: EventStore) -> None:
        store.write([make_stored(n, set_=n % 2 + 1) for n in range(6)], token="all times")
        windows: dict[SetId, list[Window]] = {SetId(1): [(None, None)], SetId(9): [(at(1), at(2))]}
        assert ids(store.trail([SetId(1), SetId(2)], limit=9, windows=windows)) == [5, 4, 3, 2, 1, 0]

    def test_a_set_without_any_window_has_nothing(self, store: EventStore) -> None:
        store.write([make_stored(n) for n in range(3)], token="never")
        assert store.trail([SetId(7)], limit=9, windows={SetId(7): []}) == []

    @pytest.mark.parametrize("many", [False, True])
    def test_moments_tell_when_something_happened_under_which_set(self, store: EventStore, many: bool) -> None:
        batch = [make_stored(n, set_=n % 2 + 1) for n in range(20)]
        twice = make_stored(20, set_=1, occurred_at=at(4))
        store.write([*batch, twice], token="moments")
        within: list[Window] = [(at(3), at(5)), *(silent() if many else []), (at(18), None)]
        found = store.moments([SetId(1), SetId(2)], within)
        assert found == [(at(3), 2), (at(4), 1), (at(18), 1), (at(19), 2)]
        assert store.moments([SetId(1)], within) == [(at(4), 1), (at(18), 1)]
        assert store.moments([], within) == store.moments([SetId(1)], []) == []

    @pytest.mark.parametrize("many", [False, True])
    def test_what_is_erased_in_windows_is_gone_and_the_rest_is_there(self, store: EventStore, many: bool) -> None:
        changed = (TraitChange(Operation.SET, "city", '"x"'),)
        store.write([make_stored(n, set_=n % 2 + 1, traits=changed) for n in range(60)], token="erase windows")
        windows = {SetId(1): [(None, at(4)), *(silent() if many else []), (at(50), at(58))]}
        assert store.erasing.delete_sets([SetId(1)], windows=windows) == 6
        assert ids(store.trail([SetId(1)], limit=99)) == [58, *range(48, 3, -2)]
        assert len(store.traits([SetId(1)])) == 24
        assert len(store.trail([SetId(2)], limit=99)) == 30

    def test_erased_sets_leave_nothing_and_a_redo_brings_nothing_back(self, store: EventStore) -> None:
        changed = (TraitChange(Operation.SET, "city", '"x"'),)
        batch = [make_stored(n, set_=n % 2 + 1, traits=changed) for n in range(6)]
        store.write(batch, token="erase")
        assert store.erasing.delete_sets([SetId(1)]) == 3
        store.write(batch, token="erase")
        assert store.trail([SetId(1)], limit=9) == []
        assert store.traits([SetId(1)]) == []
        assert ids(store.trail([SetId(2)], limit=9)) == [5, 3, 1]
        assert len(store.traits([SetId(2)])) == 3
        assert store.erasing.delete_sets([SetId(1)]) == 0
        assert store.erasing.delete_sets([]) == 0

    def test_what_was_received_after_an_erasure_stays(self, store: EventStore) -> None:
        changed = (TraitChange(Operation.SET, "city", '"x"'),)
        batch = [make_stored(n, received_at=START + n, occurred_at=START, traits=changed) for n in range(6)]
        store.write(batch, token="erase until")
        assert store.erasing.delete_sets([SetId(7)], received_until=START + 3) == 4
        assert sorted(ids(store.trail([SetId(7)], limit=9))) == [4, 5]
        assert len(store.traits([SetId(7)])) == 2

    def test_markers_are_found_in_events_and_traits_of_these_sets_alone(self, store: EventStore) -> None:
        mine = make_stored(1, set_=1, properties='{"text": "⟦phone:one-_==⟧ and ⟦vin:two⟧"}'.encode())
        trait = (TraitChange(Operation.SET, "note", '"⟦email:three⟧"'),)
        other = make_stored(2, set_=2, properties='{"text": "⟦phone:four⟧"}'.encode(), traits=trait)
        store.write([mine, other], token="markers")
        assert store.erasing.markers([SetId(1)]) == {"one-_==", "two"}
        assert store.erasing.markers([SetId(1), SetId(2)]) == {"one-_==", "two", "three", "four"}
        assert store.erasing.markers([SetId(1)], windows={SetId(1): []}) == store.erasing.markers([]) == set()

    def test_tokens_are_looked_for_in_all_that_is_kept(self, store: EventStore) -> None:
        trait = (TraitChange(Operation.SET, "note", '"⟦email:three⟧"'),)
        phone = (Identifier("phone", "token-of-a-phone=="),)
        rows = [
            make_stored(1, received_at=START, identifiers=phone),
            make_stored(2, received_at=START + 5, properties='{"text": "⟦vin:two⟧"}'.encode(), traits=trait),
        ]
        store.write(rows, token="holding")
        tokens = {"token-of-a-phone==", "two", "three", "nowhere", *(f"missing-{n}" for n in range(300))}
        assert store.erasing.holding(tokens) == {"token-of-a-phone==", "two", "three"}
        assert store.erasing.holding(tokens, received_after=START) == {"two", "three"}
        assert store.erasing.holding(tokens, received_after=START + 5) == store.erasing.holding(set()) == set()

    def test_a_purge_changes_nothing_that_can_be_read(self, store: EventStore) -> None:
        store.write([make_stored(n, set_=n % 2 + 1) for n in range(6)], token="purge")
        store.erasing.delete_sets([SetId(1)])
        store.erasing.purge()
        assert ids(store.trail([SetId(2)], limit=9)) == [5, 3, 1]

    def test_a_scan_gives_every_event_once(self, store: EventStore) -> None:
        store.write([make_stored(n, set_=n % 2 + 1, occurred_at=START) for n in range(11_000)], token="scan")
        assert sorted(ids(list(store.scan()))) == list(range(11_000))

    def test_trim_deletes_what_was_received_before_whatever_its_own_time(self, store: EventStore) -> None:
        changed = (TraitChange(Operation.SET, "city", '"x"'),)
        old = [
            make_stored(n, received_at=START + n * MONTH_MS // 2, occurred_at=START, traits=changed) for n in range(9)
        ]
        store.write(old, token="trim")
        store.erasing.trim(START + 5 * MONTH_MS // 2)
        assert sorted(ids(store.trail([SetId(7)], limit=20))) == [5, 6, 7, 8]
        assert len(store.traits([SetId(7)])) == 4

    def test_a_probe_writes_no_event(self, store: EventStore) -> None:
        store.probe()
        store.probe()
        assert store.count() == 0

    def test_what_came_in_some_hits_is_found_told_apart_and_erased_with_its_traits(self, store: EventStore) -> None:
        trait = (TraitChange(Operation.SET, "level", '"A"'),)
        rows = [make_stored(n, set_=1 + n % 2, source="crm", hit=f"1-{n}", traits=trait) for n in range(6)]
        # The same offsets in another partition, from another source, and in a property.
        rows.append(make_stored(6, set_=1, source="crm", hit="2-3", traits=trait))
        rows.append(make_stored(7, set_=3, source="site", hit="1-3", traits=trait))
        rows.append(make_stored(8, set_=1, source="crm", hit="1-40", properties=b'{"hit":"1-3"}'))
        store.write(rows, token="came")
        came = Came("crm", at(0), at(60), [(1, 1, 3), (1, 3, 5)])
        assert ids(store.erasing.that_came(came, limit=3)) == [1, 2, 3]
        assert ids(store.erasing.that_came(came, after=f"{3:032x}", limit=3)) == [4]
        everything = [SetId(1), SetId(2), SetId(3)]
        assert store.erasing.other_sets(everything, came) == {1, 2, 3}
        assert store.erasing.other_sets([SetId(2)], came._replace(hits=[(1, 1, 6)])) == set()
        assert store.erasing.delete_that_came(came) == 4
        assert store.erasing.delete_that_came(came) == 0
        assert store.erasing.that_came(came, limit=3) == []
        assert {row.event for row in store.traits(everything)} == {f"{n:032x}" for n in (0, 5, 6, 7)}
        assert store.count() == 5

    def test_of_the_owners_of_a_set_those_of_the_highest_version_count(self, store: EventStore) -> None:
        mirror = store.mirror
        mirror.own([owned(1, LI), owned(2, WANG), owned(3, None)])
        mirror.own([owned(1, WANG, version=3), owned(2, LI, version=1)])
        mirror.own([owned(1, LI, version=2)])
        assert sorted(mirror.owners(sets(1, 2, 3, 4))) == [owned(1, WANG, version=3), owned(2, WANG), owned(3, None)]
        assert mirror.owned_sets([WANG]) == set(sets(1, 2))
        assert mirror.owned_sets([LI]) == mirror.owned_sets([]) == mirror.sets_ever([]) == set()
        assert mirror.sets_ever([LI]) == mirror.sets_ever([WANG]) == set(sets(1, 2))
        assert mirror.owners([]) == []

    def test_what_was_true_before_and_is_so_again_is_written_again(self, store: EventStore) -> None:
        for version, person in enumerate([LI, WANG, LI]):
            store.mirror.own([owned(1, person, version=version)])
        same = [owned(1, WANG, version=9), owned(1, LI, version=9)]
        store.mirror.own(same[:1])
        store.mirror.own([same[0]._replace(version=10)])
        store.mirror.own([same[0]._replace(version=10)])
        assert store.mirror.owners(sets(1)) == [owned(1, WANG, version=10)]

    def test_who_had_events_of_a_set_at_any_time_owns_it(self, store: EventStore) -> None:
        sold = owned(1, WANG)._replace(starts=(BEGINNING, -5, at(3)), persons=(LI, None, WANG), kinds=("vin", "phone"))
        store.mirror.own([sold, owned(2, WANG)])
        assert store.mirror.owners(sets(1)) == [sold]
        assert store.mirror.owned_sets([LI]) == set(sets(1))
        assert store.mirror.owned_sets([LI, WANG]) == set(sets(1, 2))

    def test_every_set_of_the_mirror_comes_once_and_in_order(self, store: EventStore) -> None:
        assert list(store.mirror.every_set()) == []
        big = 2**63 - 1
        store.mirror.own([owned(each, LI) for each in (big, *range(21_000, 0, -1))])
        store.mirror.own([owned(5, WANG, version=2)])
        assert list(store.mirror.every_set()) == sets(*range(1, 21_001), big)
        assert len(store.mirror.owned_sets([LI])) == 21_000

    def test_nothing_is_left_of_owners_that_were_to_be_forgotten(self, store: EventStore) -> None:
        mirror = store.mirror
        mirror.own([owned(1, LI), owned(2, LI), owned(3, LI)])
        now = [owned(1, WANG, version=2), owned(2, None, version=3)]
        mirror.own(now)
        mirror.forget_before(now)
        assert sorted(mirror.owners(sets(1, 2, 3))) == [*now, owned(3, LI)]
        assert mirror.owned_sets([LI]) == set(sets(3))
        mirror.forget_before([owned(3, None, version=2)])
        mirror.forget_before([])
        assert list(mirror.every_set()) == sets(1, 2)

    def test_a_question_has_tables_of_its_own_whatever_became_of_another(self, store: EventStore) -> None:
        tables = {
            "asked": "ENGINE = Memory AS SELECT {n:Int64} AS n",
            "rest": "ENGINE = Memory AS SELECT n % 2 AS n FROM asked",
        }
        assert isinstance(store, ClickHouseEvents)
        for client in (*store._clients.asking, store._clients.watching):
            client.command("CREATE TEMPORARY TABLE asked (other String)")
        for aside in (False, True, False, True):
            for n in (1, 2):
                found = store.ask(
                    "SELECT n FROM asked UNION ALL SELECT n FROM rest", {"n": n}, tables=tables, aside=aside
                )
                assert sorted(found) == sorted([[n], [n % 2]])
            with pytest.raises(StoreUnavailable):
                store.ask("SELECT throwIf(n = 3) FROM asked", {"n": 3}, tables=tables, aside=aside)
            with pytest.raises(StoreUnavailable):
                store.ask("SELECT n FROM asked", {}, aside=aside)

    def test_a_question_that_asks_too_much_is_told_from_one_that_is_wrong(self, store: EventStore) -> None:
        for large in ("max_memory_usage = 1000000", "max_execution_time = 0.1"):
            with pytest.raises(AskedTooMuch):
                store.ask(f"SELECT count(DISTINCT number) FROM numbers(100000000) SETTINGS {large}", {})
        with pytest.raises(StoreUnavailable, match="nothing_there") as wrong:
            store.ask("SELECT nothing_there FROM events", {})
        assert not isinstance(wrong.value, AskedTooMuch)

    def test_many_threads_read_while_one_writes(self, store: EventStore) -> None:
        wrong: list[object] = []

        def read() -> None:
            for _ in range(10):
                events = store.trail([SetId(7)], limit=500)
                if len(events) % 20 or len(store.traits([SetId(7)])):
                    wrong.append(len(events))

        readers = [threading.Thread(target=read) for _ in range(6)]
        for thread in readers:
            thread.start()
        for batch in range(10):
            store.write([make_stored(batch * 20 + n) for n in range(20)], token=f"beside-{batch}")
        for thread in readers:
            thread.join()
        assert wrong == []
        assert len(store.trail([SetId(7)], limit=500)) == 200

    def test_hundreds_of_small_batches_are_never_refused(self, store: EventStore) -> None:
        for batch in range(150):
            store.write([make_stored(batch)], token=f"small-{batch}")
        store.write([make_stored(0)], token="small-0")
        assert store.count() == 150
