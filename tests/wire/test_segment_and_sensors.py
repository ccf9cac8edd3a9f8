"""The captures of Segment, RudderStack and Sensors, read a second time, plainly: ids and times are the SDK's own."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from cdp.model import Event
from tests.wire.replay import FOLDERS, Capture, hits_of, translated

OURS = [folder for folder in FOLDERS if folder.split("/")[0] in ("rudderstack", "segment", "sensors")]


@pytest.mark.parametrize("folder", OURS)
def test_ids_and_times_are_those_that_the_sdk_gave(folder: str) -> None:
    for capture in hits_of(folder):
        records = plainly_read(capture)
        for record, event in zip(records, translated(capture), strict=True):
            assert isinstance(event, Event)
            assert event.occurred_at == told_time(record)
            if "messageId" in record:
                assert event.client_id == record["messageId"]


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
