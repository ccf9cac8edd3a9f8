"""The captures of ThinkingData's SDK for servers, read a second time, plainly."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from cdp.model import Event
from tests.wire.replay import FOLDERS, hits_of, translated


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder.startswith("thinkingdata/")])
def test_ids_times_and_people_are_those_that_the_sdk_gave(folder: str) -> None:
    for capture in hits_of(folder):
        records = json.loads(gzip.decompress(capture.body))
        events = translated(capture)
        for record, event in zip(records, events, strict=True):
            assert isinstance(event, Event)
            # The header names the app; the machine that ran the SDK kept UTC and said so nowhere.
            said = datetime.fromisoformat(record["#time"]).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
            assert (event.source, event.occurred_at) == ("src-APPID1", round(said.timestamp() * 1000))
            assert event.client_id == record["#uuid"]
            told = {record.get("#account_id"), record.get("#distinct_id")} - {None}
            assert {identifier.value for identifier in event.identifiers} == told
