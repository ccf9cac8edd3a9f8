"""Definitions of every kind, drawn at random as JSON. Each is one that the language takes."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Json = dict[str, Any]
Drawn = st.SearchStrategy[Any]

NAMES = st.sampled_from(["page_viewed", "lead_submitted", "试驾"])
PROPERTIES = st.sampled_from(["model_id", "stay_seconds", "a.b", "$page.path"])
ATTRIBUTES = st.sampled_from(["city", "年龄", "$first_seen"])
LEAD_MOMENTS = st.sampled_from(["status", "interest.series", "campaign.x", "created_at"])
LEAD_ATTRIBUTES = LEAD_MOMENTS | st.just("contact.phone")
DURATIONS = st.sampled_from(["PT1S", "PT2H", "P1D", "PT24H", "P1W", "P7D", "P30DT5M"])
MOMENTS = st.sampled_from(["2026-03-01", "2026-03-01T10:00:00+08:00", "2026-03-01T02:00:00Z", "2025-01-01T00:00:00.5Z"])
TEXTS = st.sampled_from(["北京", "", "a'b\\", "x"])
NUMBERS = st.sampled_from([0, 1, 1.0, -2.5, 10, 1e300])
SCALARS = TEXTS | NUMBERS | st.booleans()
COUNTS = st.integers(0, 5)

_ORDER = ("=", "!=", ">", ">=", "<", "<=")


def _fields(required: Json, optional: Json | None = None) -> Drawn:
    return st.fixed_dictionaries(required, optional=optional or {})


def _just(**fields: Any) -> Json:
    return {name: st.just(value) for name, value in fields.items()}


def _compared(value: Drawn) -> Drawn:
    return _fields({"op": st.sampled_from(_ORDER), "value": value}) | _fields(
        {"op": st.just("between"), "value": st.lists(value, min_size=2, max_size=2)}
    )


def _listed(value: Drawn) -> Drawn:
    return _fields({"op": st.sampled_from(["in", "not_in"]), "value": st.lists(value, min_size=1, max_size=4)})


THERE = _fields({"op": st.sampled_from(["missing", "present"])})
AGED = _fields({"op": st.sampled_from(["older_than", "newer_than"]), "value": DURATIONS})
VALUE = st.one_of(
    _compared(NUMBERS),
    _compared(TEXTS),
    _fields({"op": st.sampled_from(["=", "!=", "contains"]), "value": SCALARS}),
    _listed(SCALARS),
    _fields({"op": st.just("starts"), "value": st.just("北")}),
    _fields({"op": st.just("matches"), "value": st.sampled_from(["^北", r"\d{3}$", "(?i)a|b"])}),
    THERE,
    AGED,
)
AT = st.one_of(_compared(MOMENTS), THERE, AGED)


def _merged(*parts: Drawn) -> Drawn:
    return st.tuples(*parts).map(lambda drawn: {name: value for part in drawn for name, value in part.items()})


def _named(field: str, name: str) -> Drawn:
    test = AT if name in ("$first_seen", "created_at") else THERE if name.startswith("contact.") else VALUE
    if not name.startswith("contact."):
        test |= _fields({"op": st.sampled_from(_ORDER), "ref": st.sampled_from(["id"])})
    return test.map(lambda drawn: {field: name, **drawn})


def _nested(leaves: Drawn, most: int) -> Drawn:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            _fields({"all": st.lists(inner, max_size=3)}),
            _fields({"any": st.lists(inner, min_size=1, max_size=3)}),
            _fields({"not": inner}),
        ),
        max_leaves=most,
    )


FILTERS = _nested(PROPERTIES.flatmap(lambda name: _named("prop", name)), 3)
LEAD_FILTERS = _nested(LEAD_ATTRIBUTES.flatmap(lambda name: _named("prop", name)), 3)
SOME_NAMES = NAMES | st.lists(NAMES, min_size=1, max_size=3) | st.just("*")
EVENT = _fields({"did": SOME_NAMES}, {"where": FILTERS})
STEP = _fields({"did": SOME_NAMES}, {"where": FILTERS, "gap": DURATIONS, "without": st.lists(NAMES, min_size=1)})
SAME = st.lists(PROPERTIES, max_size=2)


def _windows(attributes: Drawn) -> Drawn:
    matched = _merged(EVENT, _fields({}, {"which": st.sampled_from(["first", "last"])}))
    return st.one_of(
        _fields({"last": DURATIONS}),
        _fields({"last": st.just("P40D")}, {"until": DURATIONS}),
        _fields({"calendar": st.sampled_from(["day", "week", "month", "quarter", "year"])}),
        _fields(_just(calendar="month", back=3) | {"count": st.integers(1, 4)}),
        _fields({"from": MOMENTS}, {"to": st.just("2026-05-01")}),
        _fields({"since": _fields({"attr": attributes}) | matched, "for": DURATIONS}),
    )


def _agg(fn: str, **fields: Drawn) -> Drawn:
    return _fields({"agg": _fields({"fn": st.just(fn), **fields})})


AMOUNTS = st.one_of(
    st.just({}),
    _compared(COUNTS) | _listed(COUNTS),
    _merged(_agg("distinct", of=PROPERTIES), _compared(COUNTS)),
    _merged(_agg("distinct_periods", period=st.sampled_from(["hour", "day", "week", "month"])), _compared(COUNTS)),
    _merged(_agg("sum", of=PROPERTIES), _compared(NUMBERS) | _listed(NUMBERS)),
    *(_merged(_agg(fn, of=PROPERTIES), _compared(NUMBERS) | THERE) for fn in ("avg", "min", "max")),
    *(_merged(_agg(fn, of=PROPERTIES), VALUE) for fn in ("first", "last")),
    *(_merged(_agg(fn), AT) for fn in ("first", "last")),
    _merged(_agg("nth", of=PROPERTIES, n=st.integers(1, 3)), VALUE),
    *(_merged(_agg(fn), AGED | THERE) for fn in ("since_first", "since_last")),
)
REL_AMOUNTS = st.one_of(
    st.just({}),
    _agg("any") | _agg("none"),
    _compared(COUNTS),
    _merged(_agg("max", of=st.just("campaign.x")), _compared(NUMBERS)),
)


def _leaves(entity: str) -> Drawn:
    attributes = ATTRIBUTES if entity == "person" else LEAD_ATTRIBUTES
    windows = _windows(ATTRIBUTES if entity == "person" else LEAD_MOMENTS)
    leaves = [
        attributes.flatmap(lambda name: _named("attr", name)),
        _merged(EVENT, _fields({}, {"window": windows}), AMOUNTS),
        _fields(
            {"seq": st.tuples(EVENT, STEP, STEP).map(list)},
            {"within": DURATIONS, "same": SAME, "window": windows},
        ),
        _fields({"absent": EVENT, "after": EVENT, "for": DURATIONS}, {"until": st.just("P60D"), "same": SAME}),
        _fields({"in": st.just("others")}) | _fields({"in": st.just("others"), "for": DURATIONS}),
        _fields({"in": st.just("others"), "as_of": MOMENTS}),
        st.just({"sample": {"salt": "s", "from": 0.25, "to": 1}}),
    ]
    if entity == "person":
        leaves.append(_merged(_fields({"rel": st.just("lead")}, {"where": LEAD_FILTERS}), REL_AMOUNTS))
    return st.one_of(leaves)


def _definitions(entity: str) -> Drawn:
    conditions = _nested(_leaves(entity), 5)
    required = {**_just(v=1, entity=entity), "where": conditions}
    return _fields(required, {"tz": st.sampled_from(["Asia/Shanghai", "America/New_York"]), "universe": conditions})


CONDITIONS = {entity: _nested(_leaves(entity), 5) for entity in ("person", "lead")}
DEFINITIONS = _definitions("person") | _definitions("lead")

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For tests that draw definitions, which takes its time on a busy machine."""
