"""A segment reads as one sentence in each language: what it does with missing values and with zero is said."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from hypothesis import given

from segments.language import parse
from segments.phrases import LANGS, PHRASES, UNITS
from segments.sentence import of_leaf, sentence
from segments.tree import Op
from segments.walk import leaves_of
from tests.segments.documents import DEFINITIONS, unhurried
from tests.segments.examples import TAKEN, TZ, person

EXAMPLES = tomllib.loads((Path(__file__).parents[1] / "data" / "segment_sentences.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", TAKEN)
def test_the_examples_of_the_reference_read_well(name: str) -> None:
    definition = parse(TAKEN[name], tz=TZ)
    assert {lang: sentence(definition, lang) for lang in LANGS} == EXAMPLES[name]


def said(where: Any, entity: str = "person") -> tuple[str, str]:
    """The condition alone, without what stands around it."""
    definition = parse({**person(where), "entity": entity}, tz=TZ)
    chinese, english = sentence(definition, "zh"), sentence(definition, "en")
    return chinese.partition("：")[2].removesuffix("。"), english.partition(": ")[2].removesuffix(".")


def attr(op: str, value: Any = None) -> dict[str, Any]:
    return {"attr": "x", "op": op} | ({} if value is None else {"value": value})


TESTS: list[tuple[dict[str, Any], str, str]] = [
    (attr("=", "a"), "x 是“a”", "x is “a”"),
    (attr("=", 3.0), "x = 3", "x = 3"),
    (attr("=", True), "x 是真", "x is true"),
    (attr("=", ""), "x 是空文本", "x is an empty text"),
    (attr("!=", "a"), "x 有值且不是“a”", "x has a value that is not “a”"),
    (attr("in", ["a", 1]), "x 是“a”、1 之一", "x is one of “a”, 1"),
    (attr("in", ["a"]), "x 是“a”", "x is “a”"),
    (attr("not_in", ["a", "b"]), "x 有值且不是“a”、“b”之一", "x has a value that is none of “a”, “b”"),
    (attr(">", 1.5), "x > 1.5", "x > 1.5"),
    (attr(">=", 1), "x ≥ 1", "x ≥ 1"),
    (attr("<", "b"), "x < “b”", "x < “b”"),
    (attr("<=", 1), "x ≤ 1", "x ≤ 1"),
    (attr("between", [1, 2]), "x 在 1 到 2 之间（含两端）", "x is from 1 to 2, both included"),
    (attr("contains", "a"), "x 包含“a”", "x contains “a”"),
    (attr("starts", "a"), "x 以“a”开头", "x starts with “a”"),
    (attr("matches", "^a"), "x 匹配正则表达式“^a”", "x matches the regular expression “^a”"),
    (attr("missing"), "x 没有值", "x has no value"),
    (attr("present"), "x 有值", "x has a value"),
    (attr("older_than", "P1DT2H"), "x 距今超过 1 天 2 小时", "x is more than 1 day 2 hours ago"),
    (attr("newer_than", "PT90S"), "x 距今不超过 1 分钟 30 秒", "x is at most 1 minute 30 seconds ago"),
    ({**attr("<"), "ref": "y"}, "x < y 的值", "x < the value of y"),
]


@pytest.mark.parametrize(("where", "chinese", "english"), TESTS)
def test_each_comparison(where: Any, chinese: str, english: str) -> None:
    assert said(where) == (chinese, english)


def test_every_op_has_been_listened_to() -> None:
    assert {where["op"] for where, _, _ in TESTS} == set(Op)


@pytest.mark.parametrize(
    ("where", "chinese", "english"),
    [
        (attr("=", "a"), "x 不是“a”（包括没有值）", "x is not “a” (or has no value)"),
        (attr("in", ["a", "b"]), "x 不是“a”、“b”之一（包括没有值）", "x is none of “a”, “b” (or has no value)"),
        (attr("missing"), "x 有值", "x has a value"),
        (attr(">", 1), "并非（x > 1），没有值的也算", "not (x > 1), which includes having no value"),
        ({"in": "s"}, "不在分群 s 中", "is not in the segment s"),
        ({"did": "a"}, "没有发生过 a", "did not do a"),
        ({"did": "a", "op": "=", "value": 0}, "发生过 a", "did a"),
        ({"did": "a", "op": ">", "value": 3}, "a 的次数 ≤ 3（0 也算）", "the number of a ≤ 3 (0 counts too)"),
        ({"did": "a", "op": "<=", "value": 2}, "a 的次数 > 2", "the number of a > 2"),
        (
            {"did": "a", "op": "between", "value": [0, 2]},
            "并非（a 的次数在 0 到 2 之间（含两端））",
            "not (the number of a is from 0 to 2, both included)",
        ),
        (
            {"did": "a", "op": "between", "value": [1, 2]},
            "并非（a 的次数在 1 到 2 之间（含两端））（0 也算）",
            "not (the number of a is from 1 to 2, both included) (0 counts too)",
        ),
        (
            {"did": "a", "agg": {"fn": "avg", "of": "p"}, "op": ">", "value": 3},
            "并非（a 的 p 的平均值 > 3），没有值的也算",
            "not (the average of p of a > 3), which includes having no value",
        ),
        ({"rel": "lead"}, "没有线索", "has no leads"),
        ({"not": attr("=", "a")}, "x 是“a”", "x is “a”"),
        ({"any": [attr("present"), {"in": "s"}]}, "并非（x 有值；或者在分群 s 中）", None),
        ({"all": []}, "从不成立", "never true"),
    ],
)
def test_a_negation_says_what_becomes_of_missing_values(where: Any, chinese: str, english: str | None) -> None:
    told = said({"not": where})
    assert told[0] == chinese
    assert english is None or told[1] == english


@pytest.mark.parametrize(
    ("amount", "chinese", "english"),
    [
        ({}, "发生过 a", "did a"),
        ({"op": "<=", "value": 0}, "没有发生过 a", "did not do a"),
        ({"op": "<", "value": 1}, "没有发生过 a", "did not do a"),
        ({"op": ">=", "value": 2}, "a 的次数 ≥ 2", "the number of a ≥ 2"),
        ({"op": "!=", "value": 2}, "a 的次数 ≠ 2（0 也算）", "the number of a ≠ 2 (0 counts too)"),
        (
            {"op": "in", "value": [0, 2]},
            "a 的次数是 0、2 之一（0 也算）",
            "the number of a is one of 0, 2 (0 counts too)",
        ),
        ({"op": "not_in", "value": [0, 2]}, "a 的次数不是 0、2 之一", "the number of a is none of 0, 2"),
        (
            {"agg": {"fn": "sum", "of": "p"}, "op": "between", "value": [0, 2]},
            "a 的 p 之和在 0 到 2 之间（含两端）（0 也算）",
            "the sum of p of a is from 0 to 2, both included (0 counts too)",
        ),
        (
            {"agg": {"fn": "min", "of": "p"}, "op": "missing"},
            "a 的 p 的最小值没有值",
            "the smallest p of a has no value",
        ),
        ({"agg": {"fn": "max", "of": "p"}, "op": "<", "value": 1}, "a 的 p 的最大值 < 1", "the largest p of a < 1"),
        (
            {"agg": {"fn": "distinct", "of": "p"}, "op": ">", "value": 1},
            "a 的不同 p 的个数 > 1",
            "the number of different p of a > 1",
        ),
        (
            {"agg": {"fn": "distinct_periods", "period": "hour"}, "op": ">", "value": 1},
            "有 a 的不同小时数 > 1",
            "the number of different hours with a > 1",
        ),
        (
            {"agg": {"fn": "last", "of": "p"}, "op": "=", "value": "v"},
            "最近一次 a 的 p 是“v”",
            "p of the last a is “v”",
        ),
        (
            {"agg": {"fn": "nth", "n": 3}, "op": ">=", "value": "2026-03-01"},
            "第 3 次 a 的时间 ≥ 2026-03-01",
            "the time of a number 3 ≥ 2026-03-01",
        ),
        (
            {"agg": {"fn": "since_first"}, "op": "newer_than", "value": "P1D"},
            "首次 a 的时间距今不超过 1 天",
            "the time of the first a is at most 1 day ago",
        ),
    ],
)
def test_each_aggregate(amount: dict[str, Any], chinese: str, english: str) -> None:
    assert said({"did": "a", **amount}) == (chinese, english)


@pytest.mark.parametrize(
    ("window", "chinese", "english"),
    [
        ({"last": "P30D"}, "最近 30 天内", "in the last 30 days"),
        ({"last": "P30D", "until": "P7D"}, "30 天前到 7 天前之间", "from 30 days ago to 7 days ago"),
        ({"calendar": "day"}, "今天", "today"),
        ({"calendar": "quarter", "back": 1}, "上季度", "last quarter"),
        ({"calendar": "month", "back": 2, "count": 3}, "包括当前在内的最近 3 个自然月", None),
        ({"calendar": "month", "back": 3, "count": 3}, "当前之前的 3 个自然月", None),
        ({"calendar": "year", "back": 3}, "从 3 个自然年前开始的 1 个自然年", None),
        ({"from": "2026-03-01"}, "从 2026-03-01 起", "since 2026-03-01"),
        (
            {"from": "2026-03-01T10:00:30+08:00", "to": "2026-04-01"},
            "从 2026-03-01 10:00:30 起到 2026-04-01 前",
            "from 2026-03-01 10:00:30 until before 2026-04-01",
        ),
        ({"since": {"attr": "born"}, "for": "P1D"}, "从 born 的时刻起 1 天内", "within 1 day from the moment in born"),
        (
            {"since": {"did": "b", "which": "first"}, "for": "P1D"},
            "从首次 b 起 1 天内",
            "within 1 day from the first b",
        ),
    ],
)
def test_each_window(window: Any, chinese: str, english: str | None) -> None:
    told = said({"did": "a", "window": window})
    assert told[0] == f"{chinese}发生过 a"
    assert english is None or told[1] == f"did a {english}"


@pytest.mark.parametrize(
    ("where", "chinese", "english"),
    [
        ({"did": ["a", "b"]}, "发生过 a 或 b", "did a or b"),
        ({"did": "*"}, "发生过任意事件", "did any event"),
        (
            {"after": {"did": "a"}, "absent": {"did": "b"}, "for": "PT0S"},
            "发生过 a，此后没有 b",
            "did a, and since then no b",
        ),
        ({"in": "s", "for": "P30D"}, "已连续在分群 s 中至少 30 天", "has been in the segment s for at least 30 days"),
        ({"in": "s", "as_of": "2026-03-01"}, "2026-03-01 时在分群 s 中", "was in the segment s at 2026-03-01"),
        (
            {"rel": "lead", "where": {"prop": "stage", "op": "=", "value": "new"}},
            "有线索（stage 是“new”）",
            "has leads (stage is “new”)",
        ),
        (
            {"rel": "lead", "op": ">=", "value": 2},
            "线索的条数 ≥ 2",
            "the number of leads ≥ 2",
        ),
        (
            {"did": "*", "agg": {"fn": "first", "of": "p"}, "op": "=", "value": 1},
            "首次任意事件的 p = 1",
            "p of the first event = 1",
        ),
        ({"did": "*", "op": ">", "value": 1}, "任意事件的次数 > 1", "the number of events > 1"),
        (
            {"sample": {"salt": "s", "from": 0, "to": 0.125}},
            "在稳定抽样“s”的 0% 到 12.5% 之内",
            "is in the slice from 0% to 12.5% of the stable sample “s”",
        ),
        (
            {"any": [{"all": [attr("present"), {"in": "s"}]}, {"did": "a"}]},
            "（x 有值，且在分群 s 中）；或者发生过 a",
            "(x has a value, and is in the segment s); or did a",
        ),
        ({"attr": "$events", "op": ">", "value": 9}, "事件总数 > 9", "the number of all events > 9"),
    ],
)
def test_the_other_conditions(where: Any, chinese: str, english: str) -> None:
    assert said(where) == (chinese, english)


def test_everybody_and_a_narrower_universe() -> None:
    everybody = parse(person({"all": []}, universe={"attr": "x", "op": "present"}), tz=TZ)
    assert sentence(everybody, "zh") == "在满足（x 有值）的人当中，所有人。"
    assert sentence(everybody, "en") == "Among people who meet (x has a value): All people."


def test_a_time_zone_that_does_not_go_without_saying_is_said() -> None:
    definition = parse(person({"did": "a", "window": {"calendar": "day"}}, tz="America/New_York"), tz=TZ)
    assert sentence(definition, "en", home="America/New_York") == "People who meet this: did a today."
    assert sentence(definition, "en", home=TZ).endswith("did a today. Times are those of America/New_York.")
    assert sentence(definition, "zh", home=TZ).endswith("发生过 a。时间以时区 America/New_York 为准。")


def test_of_a_long_list_the_number_is_told() -> None:
    chinese, english = said(attr("in", [f"v{number}" for number in range(30)]))
    assert chinese.endswith("“v9”等共 30 个值之一")
    assert english.endswith("“v9” and others (30 values in all)")


def test_display_names_take_the_place_of_names() -> None:
    names = {"model_page_viewed": "看车型页", "stay_seconds": "停留秒数", "owners_all": "全部车主"}
    told = sentence(parse(TAKEN["A"], tz=TZ), "zh", names=names)
    assert "发生过看车型页（停留秒数 ≥ 10）" in told
    assert "不在分群全部车主中" in told


def test_signs_that_would_change_how_the_rest_is_shown_are_not_said() -> None:
    assert said(attr("=", "a\n\u202eb"))[0] == "x 是“a\ufffd\ufffdb”"


def test_a_leaf_is_said_as_in_the_sentence() -> None:
    definition = parse(TAKEN["A"], tz=TZ)
    whole = sentence(definition, "en")
    leaves = [of_leaf(leaf, "en", definition) for _, leaf in leaves_of(definition)]
    assert leaves[2] == "is in the segment owners_all"
    assert all(leaf in whole for leaf in (leaves[0], leaves[1], leaves[3]))


def test_both_languages_tell_the_same_parts() -> None:
    def parts(phrase: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(phrase)} - {None}

    for name, (chinese, english) in PHRASES.items():
        if name not in ("since attr",):
            assert parts(chinese) == parts(english), name
    assert all({*map(str, parts(each))} == {"n"} for unit in UNITS.values() for each in unit)


@unhurried
@given(DEFINITIONS)
def test_no_sentence_shows_json_or_leaves_a_piece_empty(document: Any) -> None:
    definition = parse(document, tz=TZ)
    for lang in LANGS:
        told = sentence(definition, lang)
        bare = re.sub("“[^”]*”", "value", told)
        assert not re.search(r"[{}\[\]']|None|\(\)|（）|，，|  |\bop\b|\bagg\b", bare)
        assert told.endswith(("。", "."))
