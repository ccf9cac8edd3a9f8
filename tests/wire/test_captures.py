"""Every captured request of a real SDK, read and translated; golden events lie in `golden/`.

XUNJI_UPDATE_GOLDEN=1 writes the golden files anew; look at the difference before it is kept.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from cdp.model import Event
from collectors.registry import DIALECTS, route
from tests.wire.replay import EVENTS, FOLDERS, captures_of, events_of, expected_status, hits_of

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("XUNJI_UPDATE_GOLDEN") == "1"

RETRIES = {
    "growingio/web-4.3.1-xhr-503": 5,
    "growingio/wechat-mp-4.6.0-503": 6,
    "posthog/posthog-js-retry-503-429": 1,
    "posthog/posthog-node-retry": 1,
    "posthog/posthog-python-capture-v1": 3,
    "posthog/posthog-python-retry": 1,
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
    "snowplow/snowplow-tracker-python-retry": 2,
}
"""How many events each file with repeats really tells of."""


def test_all_captures_are_here_with_the_names_of_their_events() -> None:
    assert sorted(EVENTS) == FOLDERS
    assert all(EVENTS.values())


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_capture_yields_the_events_that_its_sdk_sent(folder: str) -> None:
    assert [event.original_name for event in events_of(folder)] == EVENTS[folder]


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
def test_every_hit_is_answered_in_the_form_its_sdk_expects(folder: str) -> None:
    for capture in hits_of(folder):
        request = capture.request()
        dialect = route(request.method, request.path)
        assert dialect is not None
        answer = dialect.accepted(request, dialect.read(request))
        assert answer.status == expected_status(capture)
        if dialect.name == "segment":
            assert json.loads(answer.body) in ({"success": True}, {"ok": True})
        elif request.method == "GET" and request.path in ("/sa.gif", "/i"):
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


def json_of(event: Event) -> bytes:
    """The event with its properties readable."""
    fields = msgspec.structs.asdict(event)
    return msgspec.json.encode({**fields, "properties": msgspec.Raw(event.properties)})
