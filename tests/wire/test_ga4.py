"""The captures of a Google Analytics 4 client, read a second time, plainly: names, people and parameters are its."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from cdp.model import Event
from tests.wire.replay import FOLDERS, hits_of, translated

OURS = [folder for folder in FOLDERS if folder.startswith("ga4/")]


@pytest.mark.parametrize("folder", OURS)
def test_each_event_says_what_its_query_says(folder: str) -> None:
    for capture in hits_of(folder):
        assert capture.body == b""
        fields = {name: values[0] for name, values in parse_qs(capture.target.partition("?")[2]).items()}
        (event,) = translated(capture)
        assert isinstance(event, Event)
        assert (event.original_name, event.session, event.occurred_at) == (
            fields["en"], fields["sid"], capture.received_at
        )  # fmt: skip
        assert [(each.kind, each.value) for each in event.identifiers] == [("anonymous_id", fields["cid"])]
        assert (event.page.url, event.page.title, event.page.referrer) == (fields["dl"], fields["dt"], fields["dr"])
        parameters = {name.removeprefix("ep."): value for name, value in fields.items() if name.startswith("ep.")}
        properties = json.loads(event.properties)
        assert {name: properties[name] for name in parameters} == parameters
        assert properties.get("engagement_time_msec", 0) == int(fields.get("_et", 0))
