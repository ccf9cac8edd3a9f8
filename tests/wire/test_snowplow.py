"""The captures of Snowplow's trackers, read a second time, plainly: ids, times, names and data are the tracker's."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from cdp.model import Event
from tests.wire.replay import FOLDERS, Capture, hits_of, translated

OURS = [folder for folder in FOLDERS if folder.startswith("snowplow/")]
NAMES = {"pv": "page_view", "pp": "page_ping"}


@pytest.mark.parametrize("folder", OURS)
def test_each_event_says_what_its_record_says(folder: str) -> None:
    for capture in hits_of(folder):
        for record, event in zip(plainly_read(capture), translated(capture), strict=True):
            assert isinstance(event, Event)
            name, data = told(record)
            assert (event.client_id, event.occurred_at) == (record["eid"], int(record["dtm"]))
            assert event.original_name == name
            properties = json.loads(event.properties)
            assert {field: properties[field] for field in data} == data
            assert properties.get("$entities", []) == entities(record)
            people = {(identifier.kind, identifier.value) for identifier in event.identifiers}
            assert people == {
                (kind, record[field])
                for field, kind in (("uid", "member_id"), ("duid", "anonymous_id"), ("tnuid", "anonymous_id"))
                if field in record
            }


def plainly_read(capture: Capture) -> list[dict[str, str]]:
    if capture.method == "GET":
        return [{name: values[0] for name, values in parse_qs(capture.target.partition("?")[2]).items()}]
    records = json.loads(capture.body)["data"]
    assert all(isinstance(value, str) for record in records for value in record.values())
    return list(records)


def told(record: dict[str, str]) -> tuple[str, Any]:
    if record["e"] == "ue":
        inner = nested(record, "ue_pr", "ue_px")
        return inner["schema"].split("/")[1], inner["data"]
    if record["e"] == "se":
        return record["se_ac"], {"category": record["se_ca"], "value": int(record["se_va"])}
    return NAMES[record["e"]], {}


def entities(record: dict[str, str]) -> Any:
    return nested(record, "co", "cx") if {"co", "cx"} & set(record) else []


def nested(record: dict[str, str], plain: str, packed: str) -> Any:
    text = record[plain] if plain in record else base64.b64decode(record[packed] + "==", b"-_").decode()
    return json.loads(text)["data"]
