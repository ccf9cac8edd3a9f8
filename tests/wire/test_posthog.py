"""The captures of PostHog's SDKs, read a second time, plainly."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from cdp.model import Event
from collectors.registry import route
from tests.wire.replay import FOLDERS, Capture, hits_of, translated

POSTHOG = [folder for folder in FOLDERS if folder.startswith("posthog/")]
NAMES = {
    "$pageview": "page_viewed",
    "$pageleave": "page_left",
    "$identify": "identified",
    "$create_alias": "aliased",
    "$groupidentify": "grouped",
    "$set": "profile_updated",
    "$set_once": "profile_updated",
}


def plainly_read(capture: Capture) -> list[dict[str, Any]]:
    body = gzip.decompress(capture.body) if capture.body[:2] == b"\x1f\x8b" else capture.body
    if body[:1] != b"{":
        body = base64.b64decode(parse_qs(body.decode())["data"][0])
    batch = json.loads(body)["batch"]
    assert all(isinstance(record, dict) for record in batch)
    return list(batch)


@pytest.mark.parametrize("folder", POSTHOG)
def test_ids_times_names_and_ids_of_people_are_those_that_the_sdk_gave(folder: str) -> None:
    for capture in hits_of(folder):
        for record, event in zip(plainly_read(capture), translated(capture), strict=True):
            said = record["properties"]
            assert isinstance(event, Event)
            assert (event.source, event.client_id) == ("src-phc_KEY1", record["uuid"])
            assert event.occurred_at == round(datetime.fromisoformat(record["timestamp"]).timestamp() * 1000)
            assert event.name == NAMES.get(record["event"], record["event"])
            assert event.page.url == said.get("$current_url", "")
            assert event.session == said.get("$session_id", record.get("session_id", ""))
            found = {identifier.value: identifier.kind for identifier in event.identifiers}
            told = record.get("distinct_id") or said["distinct_id"]
            if said.get("$group_type") is None or "$is_identified" in said:
                member = said.get("$is_identified", said.get("$process_person_profile", True) and told != "anon1")
                assert found[told] == ("member_id" if member else "anonymous_id")
            assert found.get(said.get("$device_id"), "anonymous_id") == "anonymous_id"
            assert sum(kind == "member_id" for kind in found.values()) <= 1


@pytest.mark.parametrize("folder", POSTHOG)
def test_no_key_is_kept_with_an_event(folder: str) -> None:
    for capture in hits_of(folder):
        for event in translated(capture):
            assert isinstance(event, Event)
            assert "token" not in json.loads(event.properties)


@pytest.mark.parametrize("folder", POSTHOG)
def test_answers_are_those_that_keep_the_sdk_from_sending_again(folder: str) -> None:
    for capture in hits_of(folder):
        request = capture.request()
        dialect = route(request.method, request.path)
        assert dialect is not None
        told = json.loads(dialect.accepted(request, dialect.read(request)).body)
        if request.path == "/i/v1/analytics/events":
            assert told == {"results": {record["uuid"]: {"result": "ok"} for record in plainly_read(capture)}}
        else:
            assert told == {"status": 1}
