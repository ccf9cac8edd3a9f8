"""Forms and pushed leads, damaged: each is read, refused in words or dropped; nothing else may happen."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import msgspec
import pytest

from cdp.errors import MalformedHit, Refused, TooLarge
from cdp.model import Dropped, Event, Hit
from collectors.dialect import Dialect, Request, Unreadable
from collectors.form import Form
from collectors.ocean_engine import OceanEngine
from collectors.tencent_ads import TencentAds
from leads.contact import consent_of, contact_of
from tests.collectors.test_ads import CLUE, LEADS
from tests.collectors.test_form import NOW, PAGE, SOURCE, TYPED, multipart
from tests.wire.mutants import Mutants

EACH = 500
TOLD = {
    "messageId": "m1", "anonymousId": "v-1", "identifiers": [{"kind": "device_id", "value": "d1"}], "userId": "u1",
    "contact": {"phone": "13812345678"}, "interest": {"series": "X9"},
    "consent": {"purposes": ["a"], "at": "", "text_version": ""},
    "campaign": {"source": "show", "click_ids": {"gclid": "g1"}}, "properties": {"budget": 1}, "timestamp": NOW - 9_000,
    "context": {"page": {"url": PAGE}, "app": {"id": "a"}, "sessionId": 1}, "sentAt": NOW, "shownAt": NOW - 60_000,
    "xunji_redirect": "/thanks",
}  # fmt: skip
BODIES: dict[str, tuple[Dialect, bytes]] = {
    "json": (Form(), json.dumps(TOLD).encode()),
    "url": (Form(), urlencode({**TYPED, "xunji_at": NOW - 60_000, "xunji_campaign": '{"source":"a"}'}).encode()),
    "multipart": (Form(), multipart(TYPED)),
    "ocean-engine": (OceanEngine(), json.dumps([CLUE, CLUE]).encode()),
    "tencent": (TencentAds(), json.dumps({"data": [LEADS]}).encode()),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_damaged_enquiry_is_read_refused_or_dropped(kind: str) -> None:
    dialect, body = BODIES[kind]
    mutants = Mutants(7, ())
    path = "/f/form-key" if isinstance(dialect, Form) else f"/ads/{kind}/ads-key"
    headers = {"referer": PAGE, "accept": "text/html", "signature": "s", "timestamp": str(NOW // 1000)}
    read = 0
    for number in range(EACH):
        damaged = mutants.changed_json(body) if number % 2 else mutants.changed_bytes(body)
        request = Request("POST", path, path, "", headers, damaged, "203.0.113.7")
        try:
            envelope = dialect.read(request)
            if isinstance(dialect, Form):
                envelope = dialect.checked(request, envelope, SOURCE, NOW)
            elif isinstance(dialect, OceanEngine):
                dialect.proven(request, envelope.rows, "secret-of-8", NOW)  # type: ignore[attr-defined]
            dialect.accepted(request, envelope)
        except (Unreadable, MalformedHit, TooLarge, Refused):
            continue
        read += _translated(dialect, request)
    assert read > EACH * 0.05


def _translated(dialect: Dialect, request: Request) -> int:
    hit = Hit(
        received_at=NOW, source=SOURCE.id, dialect=dialect.name, method="POST", target=request.target,
        headers=dict(request.headers), client_ip="203.0.113.7", body=request.body,
    )  # fmt: skip
    try:
        found = dialect.translate(hit, "0-7", lambda _key: SOURCE)
    except MalformedHit:
        return 0
    for each in found:
        assert isinstance(each, Event | Dropped)
        if isinstance(each, Event):
            properties = msgspec.json.decode(each.properties)
            contact_of(properties)
            consent_of(properties)
            assert msgspec.json.decode(msgspec.json.encode(each), type=Event) == each
    return 1
