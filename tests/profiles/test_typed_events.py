"""The typed copy of events: every value under its path with its type, whatever collectors let through."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.model import App, Campaign, Device, Identifier, Page
from collectors.record import MAX_DEPTH
from profiles.events_clickhouse import ClickHouseEvents
from segments.sql_values import quoted
from tests.contracts.events_contract import START, emptied, make_stored


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseEvents]:
    with closing(ClickHouseEvents(f"chdb://{tmp_path_factory.mktemp('events')}")) as store:
        yield store


@pytest.fixture
def store(opened: ClickHouseEvents) -> ClickHouseEvents:
    return emptied(opened)


def rows(store: ClickHouseEvents) -> list[list[Any]]:
    """All typed rows, in order, with the types that values have."""
    columns = "* EXCEPT properties, toJSONString(properties), JSONAllPathsWithTypes(properties)"
    return store.ask(f"SELECT {columns} FROM typed_events ORDER BY id", {})


def nested(depth: int) -> str:
    return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)


HOSTILE = {
    "a megabyte in one value": json.dumps({"text": "v" * 1_000_000}),
    "a megabyte in one name": json.dumps({"k" * 1_000_000: 1}),
    "a list of a hundred thousand": json.dumps({"list": list(range(100_000))}),
    "thousands of names": json.dumps({f"name {n}": n for n in range(5_000)}),
    "objects as deep as may be": nested(MAX_DEPTH),
    "lists as deep as may be": '{"list":' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}",
    "one path twice": '{"a":{"b":1},"a.b":"x","a":2,"c":[1],"c":{"d":[]},"e":1,"e":"1"}',
    "names of nothing and of dots": '{"":1,".":2,"..":3,"a.":4,".a":5,"a..b":{"":6}}',
    "names with signs": '{"a\\"b":1,"a`b":2,"a\'b":3,"a\\\\":4,"\\u0000":5,"\\n":6,"a.:Int64":7,"^a":8,"a[]":9}',
    "names of the engine": '{"null":1,"size0":2,"name":3,"set":4,"properties":{"properties":5}}',
    "numbers beyond all bounds": f'{{"a":1{"0" * 400},"b":-{"9" * 30},"c":1e-400,"d":1.{"0" * 400}1,"e":-0.0}}',
    "lists of everything": '{"a":[1,"a",null,true,1.5,{"x":[1,{"y":[]}]},[1,["z"]],[[]],{}],"b":[[1],[true]]}',
    "half a sign and none": '{"a":"x\\u0000y","b":"\\ud83d\\ude97","c":"\\u2028"}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_whatever_properties_hold_the_batch_is_written_and_its_other_events_are_whole(
    store: ClickHouseEvents, text: str
) -> None:
    store.write(
        [make_stored(n, properties=text.encode() if n == 1 else b'{"n":1.5}') for n in range(3)], token=text[:99]
    )
    assert store.count() == len(rows(store)) == 3
    assert store.ask("SELECT id FROM typed_events WHERE properties.n = 1.5 ORDER BY id", {}) == [
        ["0" * 32],
        [f"{2:032x}"],
    ]


def test_each_value_has_a_place_of_its_own_type(store: ClickHouseEvents) -> None:
    event = make_stored(
        1,
        set_=5,
        platform="web",
        session="s1",
        app=App(id="a1", name="APP", version="2.0"),
        page=Page(url="https://x.cn/", path="/", title="首页", referrer="https://y.cn"),
        campaign=Campaign(source="baidu", medium="cpc", name="n", term="t", content="c", click_ids={"bd_vid": "7"}),
        device=Device(kind="mobile", os="iOS", os_version="18", model="iPhone"),
        locale="zh-CN",
        ip_city="上海",
        identifiers=(Identifier("phone", "token"),),
        properties=b'{"n":1,"x":1.5,"s":"1","yes":true,"at":"2026-01-01","none":null,"in":{"list":[1,"a"]}}',
    )
    store.write([event], token="types")
    [row] = rows(store)
    assert row[:6] == ["video_played", 5, START + 1000, event.event.id, START + 1050, "site"]
    assert row[6:-2] == [
        *("track", "web", "segment", "s1", "a1", "2.0", "https://x.cn/", "/", "首页", "https://y.cn"),
        *("baidu", "cpc", "n", "t", "c", "mobile", "iOS", "zh-CN", "上海"),
    ]
    types = {"n": "Int64", "x": "Float64", "s": "String", "yes": "Bool", "at": "String", "in.list": "Array(Dynamic)"}
    assert row[-1] == types


names = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["a", "b", "a.b", "a.b.c", "b.c"])
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))


def flat(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        elif value is not None:
            yield f"{before}{name}", value


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(names, values, max_size=5), min_size=1, max_size=20))
def test_every_value_is_read_back_by_its_path(opened: ClickHouseEvents, documents: list[dict[str, Any]]) -> None:
    store = emptied(opened)
    batch = [make_stored(n, properties=json.dumps(each).encode()) for n, each in enumerate(documents)]
    store.write(batch, token=json.dumps(documents))
    paths = sorted({path for each in documents for path, _ in flat(each) if path})
    columns = "".join(f", toJSONString(properties.{quoted(path)})" for path in paths)
    read = store.ask(f"SELECT id{columns} FROM typed_events ORDER BY id", {})
    for document, [_, *found] in zip(documents, read, strict=True):
        # Of what comes twice under one path the first counts.
        said = dict(reversed(list(flat(document))))
        for path, text in zip(paths, found, strict=True):
            value = None if text is None else json.loads(text)
            assert same(value, said.get(path)), (path, value)


def same(one: Any, other: Any) -> bool:
    """As JSON has it: 1 is 1.0, and true is not 1. In lists the engine tells null from [] and {} no more, and objects
    are not looked into."""
    if one in ([], {}) and other is None:
        return True
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return True
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return float(one) == pytest.approx(float(other), rel=1e-15)
    return bool(one == other)


@pytest.mark.parametrize(
    "items", ["[false,0]", '[true,"true"]', '[1,"1"]', "[[true],[1]]", "[1,2.5,null]", "[{},1,[]]"]
)
def test_in_a_list_each_item_keeps_its_type(store: ClickHouseEvents, items: str) -> None:
    store.write([make_stored(1, properties=f'{{"list":{items}}}'.encode())], token=items)
    [[read]] = store.ask("SELECT toJSONString(properties.list) FROM typed_events", {})
    assert read == items
