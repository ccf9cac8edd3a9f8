"""The captures of Jitsu's browser SDK, read a second time, plainly."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from cdp.model import Event
from tests.wire.replay import FOLDERS, hits_of, translated


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder.startswith("jitsu/")])
def test_ids_times_and_visitors_are_those_that_the_sdk_gave(folder: str) -> None:
    for capture in hits_of(folder):
        (event,) = translated(capture)
        told = json.loads(capture.body)
        assert isinstance(event, Event)
        assert event.source == "src-key1:secret1"
        assert event.client_id == told["messageId"]
        assert event.occurred_at == round(datetime.fromisoformat(told["timestamp"]).timestamp() * 1000)
        assert (event.platform, event.page.path) == ("web", "/__www/t.html")
        values = {identifier.value for identifier in event.identifiers}
        assert {told["anonymousId"]} | ({told["userId"]} if told.get("userId") else set()) <= values
