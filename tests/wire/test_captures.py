"""Every captured request of a real SDK, read and translated; golden events lie in `golden/`.

XUNJI_UPDATE_GOLDEN=1 writes the golden files anew; look at the difference before it is kept.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from cdp.model import Event
from collectors.registry import DIALECTS, route
from tests.wire.replay import EVENTS, FOLDERS, Capture, captures_of, events_of, hits_of, translated

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("XUNJI_UPDATE_GOLDEN") == "1"

RETRIES = {
    "rudderstack/analytics-js-v3-retry-503-429": 1,
    "rudderstack/rudder-sdk-python-retry-202": 1,
    "rudderstack/rudder-sdk-python-retry-400-nocode": 1,
    "rudderstack/rudder-sdk-python-retry-503-429-200": 1,
    "segment/analytics-next-retry-503-429": 1,
    "segment/analytics-node-retry-429ra-503-200": 1,
    "segment/segment-analytics-python-retry-202": 1,
    "segment/segment-analytics-python-retry-202-text": 1,
    "segment/segment-analytics-python-retry-400-nocode": 1,
    "segment/segment-analytics-python-retry-503-429-200": 1,
    "sensors/sa-sdk-javascript-1.26.17-batch-retry": 1,
}
"""How many events each file with repeats really tells of."""


def test_all_captures_of_the_three_families_are_here() -> None:
    assert len(FOLDERS) == len(EVENTS) == 38
    assert sum(len(captures_of(folder)) for folder in FOLDERS) == 202


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_capture_yields_the_events_that_its_sdk_sent(folder: str) -> None:
    assert [event.original_name for event in events_of(folder)] == EVENTS[folder]


@pytest.mark.parametrize("folder", FOLDERS)
def test_ids_and_times_are_those_that_the_sdk_gave(folder: str) -> None:
    for capture in hits_of(folder):
        records = plainly_read(capture)
        for record, event in zip(records, translated(capture), strict=True):
            assert isinstance(event, Event)
            assert event.occurred_at == told_time(record)
            if "messageId" in record:
                assert event.client_id == record["messageId"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_golden_events(folder: str) -> None:
    events = [json.loads(json_of(event)) for event in events_of(folder)]
    golden = GOLDEN / f"{folder}.json"
    if UPDATE:
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(json.dumps(events, ensure_ascii=False, indent=1) + "\n")
    assert events == json.loads(golden.read_text())


@pytest.mark.parametrize("folder", sorted(RETRIES))
def test_a_retry_brings_the_same_ids_and_times(folder: str) -> None:
    events = events_of(folder)
    assert len(events) > RETRIES[folder]
    assert len({(event.id, event.occurred_at) for event in events}) == RETRIES[folder]


def test_ids_do_not_repeat_where_nothing_was_sent_again() -> None:
    for folder in set(FOLDERS) - set(RETRIES):
        events = events_of(folder)
        assert len({event.id for event in events}) == len(events), folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_hit_is_answered_200_in_the_form_its_sdk_expects(folder: str) -> None:
    for capture in hits_of(folder):
        request = capture.request()
        dialect = route(request.method, request.path)
        assert dialect is not None
        answer = dialect.accepted(request, dialect.read(request))
        assert answer.status == 200
        if dialect.name == "segment":
            assert json.loads(answer.body) == {"success": True}
        elif request.method == "GET" and request.path.endswith(".gif"):
            assert (answer.content_type, answer.body[:6]) == ("image/gif", b"GIF89a")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_request_that_is_no_hit_is_a_preflight_or_is_answered_by_a_dialect(folder: str) -> None:
    for capture in captures_of(folder):
        if capture.is_hit or capture.method == "OPTIONS":
            continue
        request = capture.request()
        answers = [answer for dialect in DIALECTS.values() if (answer := dialect.config(request))]
        assert [answer.status for answer in answers] == [200], capture.target


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_capture_on_the_wire_is_one_whole_http_request(folder: str) -> None:
    for capture in captures_of(folder):
        head, _, body = capture.wire().partition(b"\r\n\r\n")
        assert body == capture.body
        assert head.count(b"Content-Length:") == (1 if capture.method == "POST" else 0)


# An independent, slow reading of the same bytes.


def plainly_read(capture: Capture) -> list[dict[str, Any]]:
    body = gzip.decompress(capture.body) if capture.body[:2] == b"\x1f\x8b" else capture.body
    if body[:1] != b"{":
        form = parse_qs(body.decode() if body else capture.target.partition("?")[2])
        body = base64.b64decode((form.get("data") or form["data_list"])[0])
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    whole = json.loads(body)
    records = whole if isinstance(whole, list) else whole.get("batch", [whole])
    assert all(isinstance(record, dict) for record in records)
    return list(records)


def told_time(record: dict[str, Any]) -> int:
    if "time" in record:
        return int(record["time"])
    said = record.get("timestamp") or record["originalTimestamp"]
    return round(datetime.fromisoformat(said).timestamp() * 1000)


def json_of(event: Event) -> bytes:
    """The event with its properties readable."""
    fields = msgspec.structs.asdict(event)
    return msgspec.json.encode({**fields, "properties": msgspec.Raw(event.properties)})
