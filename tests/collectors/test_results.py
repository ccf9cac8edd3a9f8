"""What our own clients are told of each record: at intake, without a word about its properties."""

from __future__ import annotations

import json
from typing import Any

from cdp.model import Dropped
from collectors.dialect import MAX_EVENT_BYTES
from collectors.registry import DIALECTS
from tests.collectors.hits import SOURCES, make_request, outcomes_of, read

SEGMENT = DIALECTS["segment"]
GOOD = {"type": "track", "event": "test_drive_requested", "anonymousId": "a1"}


def results_of(*records: Any, key: str = "site-key", target: str = "/v1/batch?results=1") -> dict[str, Any]:
    request = make_request(target, {"writeKey": key, "batch": list(records)})
    envelope = read(request, SEGMENT)
    assert envelope.results is not None
    envelope.results.check_keys(SOURCES.get)
    told = json.loads(SEGMENT.accepted(request, envelope).body)
    assert told["success"] is True
    results: dict[str, Any] = told["results"]
    return results


def test_one_bad_record_does_not_fail_the_batch_and_is_named() -> None:
    results = results_of(
        {**GOOD, "messageId": "m1"},
        {"type": "track", "messageId": "m2"},
        {**GOOD, "messageId": "m3", "properties": {"text": "x" * MAX_EVENT_BYTES}},
        {**GOOD, "messageId": "m4", "writeKey": "nobodys"},
        {**GOOD, "messageId": "m5", "writeKey": "other-key"},
        "no object",
        {**GOOD},
    )
    assert {key: (result["result"], result.get("reason")) for key, result in results.items()} == {
        "m1": ("ok", None),
        "m2": ("drop", "MALFORMED_EVENT"),
        "m3": ("drop", "EVENT_TOO_LARGE"),
        "m4": ("drop", "UNKNOWN_KEY"),
        "m5": ("ok", None),
        "#5": ("drop", "MALFORMED_EVENT"),
        "#6": ("ok", None),
    }
    assert "`event`" in results["m2"]["detail"]


def test_what_is_dropped_at_intake_is_what_translation_drops() -> None:
    records = [GOOD, {"type": "track"}, {"event": ["odd"]}, 7, None, [], {**GOOD, "writeKey": "nobodys"}, {"type": 5}]
    results = results_of(*records)
    request = make_request("/v1/batch?results=1", {"writeKey": "site-key", "batch": records})
    reasons = [outcome.reason if isinstance(outcome, Dropped) else None for outcome in outcomes_of(request, SEGMENT)]
    assert [result.get("reason") for result in results.values()] == reasons


def test_of_two_records_with_one_id_the_one_that_is_kept_counts() -> None:
    assert results_of({"type": "track", "messageId": "m"}, {**GOOD, "messageId": "m"}) == {"m": {"result": "ok"}}


def test_who_does_not_ask_gets_segments_answer() -> None:
    request = make_request("/v1/batch?results=10", {"writeKey": "site-key", "batch": [GOOD]})
    assert SEGMENT.accepted(request, read(request, SEGMENT)).body == b'{"success":true}'
