"""The captures of GrowingIO's SDKs, read a second time, plainly."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from lzstring import LZString

from cdp.model import Event
from tests.wire.replay import FOLDERS, Capture, events_of, hits_of, translated

OURS = [folder for folder in FOLDERS if folder.startswith("growingio/")]
NAMES = {
    "VISIT": "session_started",
    "PAGE": "page_viewed",
    "VIEW_CLICK": "element_clicked",
    "LOGIN_USER_ATTRIBUTES": "profile_updated",
    "APP_CLOSED": "app_closed",
}


@pytest.mark.parametrize("folder", [folder for folder in OURS if not folder.endswith("-protobuf")])
def test_names_times_and_ids_are_those_that_the_sdk_gave(folder: str) -> None:
    for capture in hits_of(folder):
        for record, event in zip(plainly_read(capture), translated(capture), strict=True):
            assert isinstance(event, Event)
            if "eventType" not in record:
                assert (event.name, event.occurred_at) == ("item_updated", capture.received_at)
                continue
            assert event.occurred_at == record["timestamp"]
            assert event.session == record.get("sessionId", "")
            assert event.name == record.get("eventName") or NAMES.get(record["eventType"], record["eventType"])
            given = [("member_id", record.get("userId")), ("device_id", record["deviceId"])]
            assert [(each.kind, each.value) for each in event.identifiers] == [pair for pair in given if pair[1]]


def test_protobuf_tells_what_json_tells() -> None:
    """Both captures are of one script."""
    json_told, protobuf_told = (
        events_of(f"growingio/growingio-tracker-python-{codec}") for codec in ("json", "protobuf")
    )
    assert [known(event) for event in json_told] == [known(event) for event in protobuf_told]


def known(event: Event) -> tuple[Any, ...]:
    return event.name, event.identifiers, event.traits, event.fact, event.platform, json.loads(event.properties)


def plainly_read(capture: Capture) -> list[dict[str, Any]]:
    if capture.method == "GET":
        return list(json.loads(unquote(capture.target.split("&data=", 1)[1])))
    if not capture.target.endswith("compress=1"):
        return list(json.loads(capture.body))
    pairs = zip(capture.body[::2], capture.body[1::2], strict=True)
    return list(json.loads(LZString().decompress("".join(chr(high << 8 | low) for high, low in pairs))))
