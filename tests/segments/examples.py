"""The examples of the reference, as they stand there, and what is said of definitions that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from segments.faults import Fault, MalformedSegment
from segments.language import parse

TZ = "Asia/Shanghai"

REMARKETING: dict[str, Any] = {
    "v": 1,
    "entity": "person",
    "tz": "Asia/Shanghai",
    "where": {
        "all": [
            {
                "absent": {"did": "lead_submitted"},
                "after": {
                    "did": "model_page_viewed",
                    "where": {"prop": "stay_seconds", "op": ">=", "value": 10},
                },
                "for": "PT2H",
                "until": "P14D",
                "same": ["model_id"],
            },
            {
                "did": "model_page_viewed",
                "window": {"last": "P7D"},
                "agg": {"fn": "distinct_periods", "period": "day"},
                "op": ">=",
                "value": 2,
            },
            {"not": {"in": "owners_all"}},
            {"attr": "city", "op": "in", "value": ["成都", "重庆"]},
        ]
    },
}
SLEEPING: dict[str, Any] = {
    "v": 1,
    "entity": "lead",
    "where": {
        "all": [
            {"attr": "status", "op": "in", "value": ["战败", "长期未转化"]},
            {
                "did": ["sales_call", "wecom_message_in", "page_viewed"],
                "agg": {"fn": "since_last"},
                "op": "older_than",
                "value": "P180D",
            },
            {"did": "lead_created", "agg": {"fn": "first", "of": "channel"}, "op": "=", "value": "懂车帝"},
        ]
    },
}
ZERO_COUNTS: dict[str, Any] = {
    "v": 1,
    "entity": "person",
    "where": {"did": "login", "window": {"last": "P30D"}, "op": "<=", "value": 2},
}
SEQUENCE: dict[str, Any] = {
    "v": 1,
    "entity": "person",
    "where": {
        "seq": [
            {"did": "config_page_viewed"},
            {"did": "finance_calc_used", "gap": "PT1H"},
            {"did": "test_drive_form_opened", "without": ["test_drive_requested"]},
        ],
        "within": "P1D",
        "same": ["model_id"],
        "window": {"last": "P7D"},
    },
}
NOT_BEIJING: dict[str, Any] = {
    "v": 1,
    "entity": "person",
    "where": {"not": {"attr": "city", "op": "=", "value": "北京"}},
}
FIRST_SERVICE: dict[str, Any] = {
    "v": 1,
    "entity": "person",
    "where": {
        "all": [
            {
                "rel": "owned_vehicle",
                "where": {
                    "all": [
                        {"prop": "delivered_at", "op": "older_than", "value": "P150D"},
                        {"prop": "model", "op": "=", "value": "蒙迪欧"},
                    ]
                },
                "agg": {"fn": "count"},
                "op": ">=",
                "value": 1,
            },
            {"did": "first_service_done", "op": "=", "value": 0},
        ]
    },
}
TEST_DRIVE: dict[str, Any] = {
    "v": 1,
    "entity": "lead",
    "where": {
        "did": "test_drive_done",
        "window": {"since": {"attr": "created_at"}, "for": "P1D"},
        "op": ">=",
        "value": 1,
    },
}
TAKEN = {
    "A": REMARKETING,
    "B": SLEEPING,
    "C": ZERO_COUNTS,
    "D": SEQUENCE,
    "E": NOT_BEIJING,
    "G": TEST_DRIVE,
}
"""Example F waits until vehicles exist."""


def person(where: Any, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "entity": "person", "where": where, **fields}


def refusals(document: Any) -> list[Fault]:
    """What is wrong with a document that must be refused."""
    with pytest.raises(MalformedSegment) as refused:
        parse(document, tz=TZ)
    return list(refused.value.faults)


def refusal(where: Any) -> tuple[str, str]:
    """The path of the only thing wrong with a condition, and the whole of it as text."""
    [only] = refusals(person(where))
    return only.path, f"{only.expected}; {only.got}; {only.help}"
