"""A segment that the engine refuses keeps none of the others waiting, in rounds, fills and comparisons alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import pytest
from sqlalchemy import select

from cdp.errors import StoreUnavailable
from cdp.model import Millis
from cdp.records import reading
from cdp.segment_work import work_rows
from segments import live
from segments.book import State
from segments.pieces import Piece, slices
from segments.stays import stay_rows
from segments.tree import Definition, Did, Entity
from segments.verdict import Evaluates, Verdicts
from tests.segments.live_world import HOUR, World

GOOD, POISON = {"did": "viewed"}, {"did": "poison"}


class Sick:
    """An evaluator that refuses whatever names the poison, of slices that are larger than some, and of units."""

    def __init__(self, real: Evaluates, *, largest: float = 0, units: bool = True) -> None:
        self.real, self.largest, self.units = real, largest, units
        self.away = False

    def evaluate(
        self,
        definitions: Sequence[Definition],
        now: Millis,
        *,
        units: Collection[str] | None = None,
        part: tuple[str, str] | None = None,
        others: Mapping[str, Definition] | None = None,
    ) -> Iterator[Verdicts]:
        poisoned = any(isinstance(each.where, Did) and "poison" in each.where.step.names for each in definitions)
        if self.away or (poisoned and (self.units if units is not None else self._share(part) > self.largest)):
            raise StoreUnavailable("event", "Memory limit exceeded")
        return self.real.evaluate(definitions, now, units=units, part=part, others=others or {})

    @staticmethod
    def _share(part: tuple[str, str] | None) -> float:
        low, high = part or ("", "g")
        return ((16**4 if high == "g" else int(f"{high:0<4}", 16)) - int(f"{low:0<4}", 16)) / 16**4


def sicken(world: World, sick: Sick) -> Sick:
    world.ask(sick)
    return sick


def heal(world: World, sick: Sick, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers again, and what was refused is tried at once."""
    world.ask(sick.real)
    monkeypatch.setattr(live, "REFUSED_AGAIN_S", 0.0)
    world.live.drain()


def test_a_live_segment_that_is_refused_is_set_aside_and_filled_when_it_is_taken_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = world.segment("good", GOOD), world.segment("bad", POISON)
    sick = sicken(world, Sick(world.system.evaluator))
    world.take("viewed", "li")
    world.take("poison", "wang")
    world.live.drain()
    assert world.members(good) == {world.person("li")}
    assert (world.book.get(good.id).state, world.book.get(bad.id).state) == (State.LIVE, State.REFUSED)
    told = world.membership.health(bad.n, now=world.now)
    assert told is not None
    assert told.refused == "Memory limit exceeded"
    with reading(world.system.records) as connection:
        assert connection.execute(select(work_rows)).all() == []
    heal(world, sick, monkeypatch)
    assert world.book.get(bad.id).live
    assert world.members(bad) == {world.person("wang")}
    world.check()


def test_a_new_segment_that_is_refused_keeps_no_others_from_being_filled(world: World) -> None:
    sicken(world, Sick(world.system.evaluator))
    world.take("viewed", "li")
    made = [world.make("first", GOOD), world.make("bad", POISON), world.make("last", {"not": GOOD})]
    world.live.drain()
    assert [world.book.get(each.id).state for each in made] == [State.LIVE, State.REFUSED, State.LIVE]
    assert world.members(made[0]) == {world.person("li")}


def test_a_segment_that_a_round_was_refused_of_while_it_was_filled_is_set_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors = [f"visitor-{n}" for n in range(100)]
    for each in visitors:
        world.take("viewed", each)
    world.live.drain()
    early = next(each for each in visitors if world.person(each) < "1")
    sick = sicken(world, Sick(world.system.evaluator, largest=1))
    bad = world.make("bad", POISON)
    assert world.live._turn(), "the first slice is filled"
    world.take("poison", early)
    world.live.drain()
    assert world.book.get(bad.id).state is State.REFUSED
    heal(world, sick, monkeypatch)
    assert world.members(bad) == {world.person(early)}
    world.check()


def test_whoever_is_erased_is_not_left_in_a_segment_that_is_set_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = world.segment("bad", POISON)
    world.take("poison", "li")
    world.live.drain()
    her = world.person("li")
    sick = sicken(world, Sick(world.system.evaluator))
    world.take("poison", "wang")
    world.live.drain()
    assert (world.book.get(bad.id).state, world.members(bad)) == (State.REFUSED, {her})
    world.erase(her)
    world.live.drain()
    assert world.members(bad) == set()
    with reading(world.system.records) as connection:
        assert her not in connection.execute(select(stay_rows.c.unit)).scalars().all()
    heal(world, sick, monkeypatch)
    assert world.members(bad) == {world.person("wang")}
    world.check()


def test_what_is_refused_of_many_is_taken_of_few(world: World) -> None:
    for visitor in ("li", "wang", "zhao"):
        world.take("poison", visitor)
    sicken(world, Sick(world.system.evaluator, largest=1 / 64))
    bad = world.segment("bad", POISON)
    assert bad.live
    assert len(world.members(bad)) == 3
    assert world.live.reconcile() == {}


def test_a_segment_that_is_refused_when_it_is_compared_is_set_aside(world: World) -> None:
    good, bad = world.segment("good", GOOD), world.segment("bad", POISON)
    sicken(world, Sick(world.system.evaluator))
    assert world.live.reconcile() == {}
    assert (world.book.get(good.id).live, world.book.get(bad.id).state) == (True, State.REFUSED)


def test_no_segment_is_set_aside_because_the_store_is_away(world: World) -> None:
    good = world.segment("good", GOOD)
    sick = sicken(world, Sick(world.system.evaluator))
    sick.away = True
    world.take("viewed", "li")
    with pytest.raises(StoreUnavailable):
        world.live.drain()
    assert world.book.get(good.id).live
    sick.away = False
    world.pass_by(HOUR)
    assert world.members(good) == {world.person("li")}


@pytest.mark.parametrize("entity", Entity)
def test_the_halves_of_a_piece_are_the_piece(world: World, entity: Entity) -> None:
    where = {"all": []}
    segment = world.make("everybody", where, entity=entity.value)
    for part in slices(entity):
        left, right = Piece([segment], part).halves()
        assert (left.part[0], left.part[1], right.part[1]) == (part[0], right.part[0], part[1])
        assert part[0] < left.part[1] < part[1]
