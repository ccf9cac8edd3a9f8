"""No parameter of a query is larger than a server takes, and what is asked in portions means the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cdp.model import SetId
from segments.language import parse
from segments.sql import verdicts_query
from segments.sql_source import Scope
from tests.segments.live_world import CONSENT, DAY, World

FIELD = 131_072
"""Bytes of one parameter that a server takes."""


def asked(where: Any, members: int = 0) -> Mapping[str, Any]:
    definition = parse({"v": 1, "entity": "person", "where": where}, tz="UTC")
    others = {"sg_other": parse({"v": 1, "entity": "person", "where": {"did": "viewed"}}, tz="UTC")}
    held = {f"{n:08x}-0000-8000-8000-000000000000": 1 for n in range(members)}
    return verdicts_query([definition], DAY, Scope(), others, lambda *_: held).values


def test_however_many_have_been_in_another_segment_each_parameter_can_be_sent() -> None:
    values = asked({"in": "sg_other", "for": "P7D"}, members=20_000)
    assert sum(len(each) for each in values.values() if isinstance(each, list)) >= 20_000
    assert max(len(repr(each)) for each in values.values()) < FIELD


def test_however_long_a_list_of_texts_is_each_parameter_can_be_sent() -> None:
    values = asked({"attr": "city", "op": "in", "value": [f"{n}{'城' * 400}" for n in range(1_000)]})
    assert max(len(repr(each).encode()) for each in values.values()) < FIELD


def test_of_a_long_list_each_value_is_among_it(tmp_path: Any) -> None:
    world = World(tmp_path)
    values = [f"{n}{'城' * 400}" for n in range(300)]
    local = world.segment("local", {"attr": "city", "op": "in", "value": values})
    for visitor, city in (("first", values[0]), ("last", values[-1]), ("other", "x")):
        world.log_in(visitor, f"member-{visitor}", city=city)
    world.live.drain()
    assert world.members(local) == {world.person("first"), world.person("last")}
    world.close()


@pytest.mark.parametrize(("entity", "id_"), [("person", "{:08x}-0000-8000-8000-000000000000"), ("lead", "ld_{:024x}")])
def test_units_stand_in_the_text_as_an_address_does_not_take_thousands(entity: str, id_: str) -> None:
    definition = parse({"v": 1, "entity": entity, "where": {"did": "viewed"}}, tz="UTC")
    units = [id_.format(n) for n in range(5_000)]
    for scope in (Scope(units=units), Scope(units=units, sets=[SetId(1)])):
        query = verdicts_query([definition], DAY, scope, {}, lambda *_: {})
        assert units[-1] in "".join([query.text, *query.tables.values()])
        assert sum(len(repr(each)) for each in query.values.values()) < 1_000


def test_what_cannot_be_the_id_of_a_lead_stands_nowhere_in_a_question(tmp_path: Any) -> None:
    world = World(tmp_path)
    definition = parse({"v": 1, "entity": "lead", "where": {"not": {"did": "viewed"}}}, tz="UTC")
    world.capture({"source": "dealer", "contact": {"phone": "13812345678"}, "consent": CONSENT})
    world.live.drain()
    hostile = "ld_1') OR ('1' = '1"
    assert list(world.system.evaluator.evaluate([definition], world.now, units=[hostile])) == []
    assert [each.members for each in world.system.evaluator.evaluate([definition], world.now)] == [(0,)]
    world.close()
