"""What many units at once mean: pages, waves, slices, and rounds that do not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import func, select

from cdp.errors import StoreUnavailable
from cdp.model import Millis
from cdp.records import reading
from segments import live_looks, live_rounds, live_writing, sql_tried
from segments.live_writing import Writer
from segments.stays import stay_rows
from segments.tree import Definition
from segments.verdict import Verdicts
from tests.segments.live_world import DAY, HOUR, MINUTE, SECOND, World

VIEWED: dict[str, Any] = {"did": "model_viewed", "window": {"last": "P7D"}}


class Crowd:
    """An evaluator of so many persons, all of whom are members until a moment."""

    def __init__(self, count: int, until: Millis) -> None:
        self.units = [f"{n * 7919 % 2**32:08x}-0000-8000-8000-{n:012x}" for n in range(count)]
        self.until = until
        self.asked: list[Collection[str] | None] = []

    def evaluate(
        self,
        definitions: Sequence[Definition],
        now: Millis,
        *,
        units: Collection[str] | None = None,
        part: tuple[str, str] | None = None,
        others: Mapping[str, Definition] | None = None,
    ) -> Iterator[Verdicts]:
        self.asked.append(units)
        low, high = part or ("", "~")
        for unit in self.units if units is None else units:
            if low <= unit < high and now < self.until:
                places = range(len(definitions))
                yield Verdicts(unit, tuple(places), dict.fromkeys(places, self.until))


@pytest.fixture
def crowded(world: World) -> Callable[[int], Crowd]:
    def crowd(count: int) -> Crowd:
        made = Crowd(count, until=world.now + DAY)
        world.ask(made)
        return made

    return crowd


def noted(world: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each question from now on, how many segments and units it is about."""
    asked: list[tuple[int, int]] = []
    evaluate = world.system.evaluator.evaluate

    def evaluated(definitions: Any, *args: Any, **how: Any) -> Any:
        asked.append((len(definitions), len(how["units"])))
        return evaluate(definitions, *args, **how)

    monkeypatch.setattr(world.system.evaluator, "evaluate", evaluated)
    return asked


def test_the_10001st_member_is_there_now_and_then(world: World, crowded: Callable[[int], Crowd]) -> None:
    crowd = crowded(10_001)
    everybody = world.segment("everybody", VIEWED)
    then = world.live.moment()
    assert world.members(everybody) == set(crowd.units)
    world.pass_by(2 * DAY)
    assert world.members(everybody) == set()
    assert world.members(everybody, at=then) == set(crowd.units)
    told = world.membership.health(everybody.n, now=world.now)
    assert told is not None
    assert told.size == 0


def test_pages_of_changes_hold_each_change_once(world: World, crowded: Callable[[int], Crowd]) -> None:
    crowd = crowded(2_500)
    everybody = world.segment("everybody", VIEWED)
    world.pass_by(2 * DAY)
    seen = []
    page, after = world.membership.changes(everybody.n, limit=700)
    seen += page
    while after is not None:
        page, after = world.membership.changes(everybody.n, after=after, limit=700)
        seen += page
    assert sorted((each.unit, each.entered) for each in seen) == sorted(
        (unit, entered) for unit in crowd.units for entered in (True, False)
    )
    assert [each.at for each in seen] == sorted((each.at for each in seen), reverse=True)


def test_a_wave_at_one_moment_goes_out_in_parts_and_what_happens_does_not_wait_for_it(
    world: World, crowded: Callable[[int], Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_rounds, "TIMERS", 100)
    monkeypatch.setattr(live_looks, "OF_FEW_SEGMENTS", 60)
    crowd = crowded(1_000)
    everybody = world.segment("everybody", VIEWED)
    world.now = crowd.until + SECOND
    world.take("model_viewed", "li")
    crowd.asked.clear()
    assert world.round()
    asked = {unit for units in crowd.asked if units is not None for unit in units}
    assert world.person("li") in asked
    assert len(asked) == 101
    world.live.drain()
    assert {each.at for each in world.changes(everybody) if not each.entered} == {crowd.until}
    assert max(len(units or ()) for units in crowd.asked) == 60


def test_many_with_a_moment_each_are_asked_about_together_however_much_others_are_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_rounds, "VERDICTS_APART", 8)
    names = [f"name-{n}" for n in range(12)]
    for name in names:
        world.segment(name, VIEWED | {"did": name})
    for visitor in range(1, 8):
        for n in range(3):
            if visitor >> n & 1:
                world.take(names[n], f"visitor-{visitor}")
    world.live.drain()
    world.now += 7 * DAY + SECOND
    for name in names[3:]:
        world.take(name, "li")
    asked = noted(world, monkeypatch)
    world.live.drain()
    assert (3, 7) in asked
    assert len(asked) == 2
    world.check()


def test_a_wave_that_is_cut_off_while_it_is_written_goes_on_for_the_rest(
    world: World, crowded: Callable[[int], Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_writing, "AT_ONCE", 10)
    crowd = crowded(25)
    segments = [world.segment(name, VIEWED | {"did": name}) for name in ("first", "second")]
    write, wrote = Writer._write, []

    def dies(self: Writer, *what: Any) -> Any:
        if len(wrote) == 1:
            raise StoreUnavailable("records", "gone")
        wrote.append(write(self, *what))
        return wrote[-1]

    world.now = crowd.until + SECOND
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_write", dies)
        with pytest.raises(StoreUnavailable):
            world.round()
    world.live.drain()
    for segment in segments:
        assert world.members(segment) == set()
        assert [each.at for each in world.changes(segment) if not each.entered] == [crowd.until] * 25


def test_a_crowd_that_is_too_large_for_one_question_is_asked_about_in_parts(
    world: World, crowded: Callable[[int], Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_looks, "OF_FEW_SEGMENTS", 100)
    monkeypatch.setattr(live_looks, "UNITS_AT_ONCE", 30)
    crowd = crowded(100)
    everybody = world.segment("everybody", VIEWED)
    evaluate = crowd.evaluate

    def refused(definitions: Any, now: Millis, **how: Any) -> Iterator[Verdicts]:
        if len(how["units"]) > 30:
            raise StoreUnavailable("event", "too much memory")
        yield from evaluate(definitions, now, **how)

    monkeypatch.setattr(crowd, "evaluate", refused)
    world.pass_by(2 * DAY)
    assert world.members(everybody) == set()
    assert world.book.get(everybody.id).live


def test_a_wave_of_one_segment_is_no_look_at_all_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_rounds, "VERDICTS_APART", 10)
    viewed, forms = world.segment("viewed", VIEWED), world.segment("forms", {"did": "form_sent"})
    for n in range(20):
        world.take("model_viewed", f"visitor-{n}")
    world.live.drain()
    world.now += 7 * DAY + SECOND
    world.take("form_sent", "visitor-3")
    asked = noted(world, monkeypatch)
    world.round()
    assert asked[:2] == [(1, 20), (1, 1)]
    assert all(segments == 1 for segments, _ in asked)
    assert (world.members(viewed), world.members(forms)) == (set(), {world.person("visitor-3")})
    world.check()


def test_where_very_many_are_touched_everybody_is_looked_at_slice_by_slice(
    world: World, crowded: Callable[[int], Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_rounds, "FULL_FROM", 500)
    crowd = crowded(1_000)
    everybody = world.segment("everybody", VIEWED)
    world.now = crowd.until + SECOND
    crowd.asked.clear()
    world.live.drain()
    assert crowd.asked == [None, None]
    assert world.members(everybody) == set()
    assert {each["reason"] for each in world.published()} == {"timer"}


def test_an_evaluator_that_is_asked_again_after_a_wave_finds_nothing_to_do(
    world: World, crowded: Callable[[int], Crowd]
) -> None:
    crowd = crowded(300)
    world.segment("everybody", VIEWED)
    world.pass_by(2 * DAY)
    crowd.asked.clear()
    world.pass_by(HOUR)
    assert crowd.asked == []
    assert world.live.reconcile() == {}
    with reading(world.system.records) as connection:
        left = connection.execute(select(func.count()).where(stay_rows.c.left_at.is_(None))).scalar()
    assert left == 0


def test_who_is_told_by_the_hour_is_no_difference_before_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_tried, "MANY", 5)
    world.now = world.now // HOUR * HOUR + 5 * MINUTE
    window = {"last": "P1D"}
    spent = world.segment(
        "spent", {"did": "paid", "window": window, "agg": {"fn": "sum", "of": "x"}, "op": ">=", "value": 9}
    )
    for n in range(8):
        world.take("paid", "li", properties={"x": 0 if n else 9}, ago=-10 * n)
    world.pass_by(SECOND)
    assert world.members(spent) == {world.person("li")}
    world.pass_by(DAY)
    assert world.live.reconcile() == {}
    assert world.members(spent) == {world.person("li")}
    world.pass_by(HOUR)
    assert world.members(spent) == set()
