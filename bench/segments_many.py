"""Fifty segments such as marketers make: forty without sequences, ten with sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segments.language import parse
from segments.templates import templates
from segments.tree import Definition

TZ = "Asia/Shanghai"
MODEL, FORM = "model_page_viewed", "test_drive_form_opened"
NAMED = "owners_all"
OWNERS_ALL = {"attr": "delivered_at", "op": "older_than", "value": "P0D"}

EXAMPLE_A = {
    "all": [
        {
            "absent": {"did": "lead_submitted"},
            "after": {"did": MODEL, "where": {"prop": "stay_seconds", "op": ">=", "value": 10}},
            "for": "PT2H",
            "until": "P14D",
            "same": ["model_id"],
        },
        {
            "did": MODEL,
            "window": {"last": "P7D"},
            "agg": {"fn": "distinct_periods", "period": "day"},
            "op": ">=",
            "value": 2,
        },
        {"not": {"in": NAMED}},
        {"attr": "city", "op": "in", "value": ["成都", "重庆"]},
    ]
}
EXAMPLE_B = {
    "all": [
        {"attr": "stage", "op": "in", "value": ["战败", "长期未转化"]},
        {"did": ["login", "page_viewed"], "agg": {"fn": "since_last"}, "op": "older_than", "value": "P60D"},
        {"did": "page_viewed", "agg": {"fn": "first", "of": "channel"}, "op": "=", "value": "dongchedi"},
    ]
}
EXAMPLE_C = {"did": "login", "window": {"last": "P30D"}, "op": "<=", "value": 2}
EXAMPLE_E = {"not": {"attr": "city", "op": "=", "value": "北京"}}
EXAMPLE_G = {
    "did": "test_drive_done",
    "window": {"since": {"attr": "created_at"}, "for": "P1D"},
    "op": ">=",
    "value": 1,
}
EXAMPLE_D = {
    "seq": [
        {"did": "config_page_viewed"},
        {"did": "finance_calc_used", "gap": "PT1H"},
        {"did": FORM, "without": ["test_drive_requested"]},
    ],
    "within": "P1D",
    "same": ["model_id"],
    "window": {"last": "P7D"},
}


def _did(
    names: str | list[str],
    window: str | dict[str, Any] | None = None,
    op: str = ">=",
    value: Any = 1,
    *,
    agg: dict[str, Any] | None = None,
    where: dict[str, Any] | None = None,
) -> dict[str, Any]:
    found: dict[str, Any] = {"did": names, "op": op, "value": value}
    if window is not None:
        found["window"] = {"last": window} if isinstance(window, str) else window
    return found | ({"agg": agg} if agg else {}) | ({"where": where} if where else {})


def _fn(fn: str, of: str = "", **more: Any) -> dict[str, Any]:
    return {"fn": fn, **({"of": of} if of else {}), **more}


def _is(prop: str, value: Any, op: str = "=") -> dict[str, Any]:
    return {"prop": prop, "op": op, "value": value}


_OF_PERSONS = (
    EXAMPLE_A,
    EXAMPLE_C,
    EXAMPLE_E,
    # Windows and thresholds.
    _did(MODEL, "PT2H"),
    _did("page_viewed", "P30D", value=10),
    _did("page_viewed", "P14D", "=", 0),
    _did("app_opened", "P90D", "between", [2, 5]),
    _did(["video_played", "article_liked"], "P7D"),
    _did("*", "P60D", "=", 0),
    _did("element_clicked", {"last": "P30D", "until": "P7D"}, value=2),
    # Properties.
    _did("config_page_viewed", "P30D", where=_is("model_id", "m3")),
    _did(MODEL, "P14D", where={"all": [_is("series", ["s1", "s2"], "in"), _is("stay_seconds", 30, ">=")]}),
    _did("page_viewed", "P7D", where=_is("$page.path", "/cars/1", "starts")),
    _did("page_viewed", None, value=3, where=_is("$campaign.source", "douyin")),
    _did("finance_calc_used", "P30D", ">", 300, agg=_fn("sum", "price")),
    _did("page_viewed", None, ">=", 60, agg=_fn("avg", "stay_seconds")),
    _did(
        "config_page_viewed",
        {"from": "2026-10-01", "to": "2026-11-01"},
        ">",
        250,
        agg=_fn("max", "price"),
    ),
    _did(MODEL, "P30D", value=3, agg=_fn("distinct", "model_id")),
    _did("page_viewed", "P60D", value=3, agg=_fn("distinct_periods", period="week")),
    # Calendars and fixed times.
    _did(MODEL, {"calendar": "month"}, value=2),
    _did("app_opened", {"calendar": "week", "back": 1}),
    _did("lead_submitted", {"calendar": "quarter"}, "=", 0),
    _did("element_clicked", {"from": "2026-11-01", "to": "2026-11-15"}, "between", [2, 5]),
    # One moment or value.
    _did("page_viewed", None, "older_than", "P30D", agg=_fn("since_last")),
    _did("app_opened", None, "newer_than", "P90D", agg=_fn("since_first")),
    _did("page_viewed", None, "=", "douyin", agg=_fn("last", "channel")),
    _did("video_played", None, "older_than", "P14D", agg=_fn("nth", n=3)),
    _did("test_drive_requested", {"since": {"did": MODEL, "which": "first"}, "for": "P7D"}),
    {"absent": {"did": FORM}, "after": {"did": "finance_calc_used"}, "for": "P1D", "until": "P7D"},
    # Who it is.
    {"all": [{"attr": "level", "op": "in", "value": ["A", "B"]}, _did(MODEL, "P7D")]},
    {"all": [{"rel": "lead", "where": _is("stage", "跟进中"), "op": ">=", "value": 1}, _did("page_viewed", "P7D")]},
    {"all": [{"in": NAMED}, {"sample": {"salt": "holdout", "from": 0, "to": 0.9}}, _did("login", "P7D")]},
)

_OF_LEADS = (EXAMPLE_B, EXAMPLE_G)

_FILLED: Mapping[str, Mapping[str, Any]] = {
    "viewed_without_contact": {},
    "sleeping_leads": {"contacts": ["page_viewed", "login"], "quiet": "P60D"},
    "frequent_visitors": {"series": "s1"},
    "first_service_due": {"service": "test_drive_done"},
    "first_touch": {"channel": "dongchedi"},
    "test_drive_not_done": {},
}
"""The templates, with what the made-up events have."""


def _seq(*steps: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"seq": [{"did": each} if isinstance(each, str) else each for each in steps], **more}


_SEQUENCES = (
    EXAMPLE_D,
    _seq("page_viewed", MODEL, within="P1D"),
    _seq(MODEL, "config_page_viewed", within="P7D", same=["model_id"]),
    _seq(MODEL, {"did": "lead_submitted", "gap": "PT1H"}),
    _seq("app_opened", "video_played", "article_liked", window={"last": "P30D"}),
    _seq("config_page_viewed", {"did": "finance_calc_used", "without": ["element_clicked"]}, window={"last": "P60D"}),
    _seq("search_used", MODEL, FORM, same=["series"]),
    _seq(FORM, {"did": "test_drive_requested", "gap": "P1D"}, window={"calendar": "month", "back": 1, "count": 2}),
    _seq("login", "page_viewed", "element_clicked", MODEL, within="PT2H", window={"last": "P14D"}),
    _seq(
        {"did": MODEL, "where": _is("stay_seconds", 30, ">=")},
        {"did": "finance_calc_used", "where": _is("price", 100, ">")},
        within="P3D",
        same=["model_id", "series"],
    ),
)


def documents(owners: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Those of persons without sequences, those of leads, and those with sequences; `owners` is the id of the segment
    of OWNERS_ALL, which some name."""
    filled = [templates()[name].filled(values) for name, values in _FILLED.items()]
    persons = [each for each in filled if each["entity"] == "person"] + [_whole(each) for each in _OF_PERSONS]
    leads = [each for each in filled if each["entity"] == "lead"] + [_whole(each, "lead") for each in _OF_LEADS]
    assert (len(persons) + len(leads), len(_SEQUENCES)) == (40, 10)
    named: tuple[list[Any], list[Any], list[Any]] = _naming(
        (persons, leads, [_whole(each) for each in _SEQUENCES]), owners
    )
    return named


def definitions() -> tuple[list[Definition], list[Definition], list[Definition], Mapping[str, Definition]]:
    """The same as `documents`, read; and what `in` names."""
    persons, leads, ordered = ([parse(each, tz=TZ) for each in some] for some in documents(NAMED))
    return persons, leads, ordered, {NAMED: parse(_whole(OWNERS_ALL), tz=TZ)}


def _whole(where: Any, entity: str = "person") -> dict[str, Any]:
    return {"v": 1, "entity": entity, "where": where}


def _naming(value: Any, owners: str) -> Any:
    match value:
        case {"in": _}:
            return value | {"in": owners}
        case dict():
            return {key: _naming(each, owners) for key, each in value.items()}
        case list() | tuple():
            return type(value)(_naming(each, owners) for each in value)
    return value
