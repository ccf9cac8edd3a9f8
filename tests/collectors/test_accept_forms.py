"""What intake does with forms besides their dialect: who may send how many, and what is kept of a refusal."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from cdp.model import Source, SourceKind, Trust
from collectors import limits
from collectors.dialect import Answer, Request
from collectors.limits import RateLimits
from collectors.proxies import network_of
from tests.collectors.test_accept import SOURCES, Desk, body_of


@pytest.fixture(autouse=True)
def forms(monkeypatch: pytest.MonkeyPatch) -> None:
    show = Source(id="show", kind=SourceKind.FORM, keys=("form-key",), client_limit=3)
    crm = Source(id="crm", kind=SourceKind.SERVER, keys=("crm-key",), client_limit=3, trust=Trust.SERVER)
    for source in (show, crm):
        monkeypatch.setitem(SOURCES, source.keys[0], source)


def post(desk: Desk, *, key: str = "form-key", ip: str = "198.51.100.4", **fields: Any) -> Answer:
    body = urlencode({"phone": "13812345678", **fields}).encode()
    return desk.ask(Request("POST", f"/f/{key}", f"/f/{key}", "", {}, body, ip))[0]


def test_one_address_sends_so_many_forms_a_minute_and_the_next_one_too() -> None:
    desk = Desk()
    assert [post(desk, city=city).status for city in "abcd"] == [200, 200, 200, 429]
    assert post(desk, ip="198.51.100.5").status == 200
    desk.now += 20
    assert [post(desk, city=city).status for city in "ef"] == [200, 429]
    assert len(desk.log.hits) == 5


def test_a_server_sends_for_everybody_and_is_not_held_to_one_persons_rate() -> None:
    desk = Desk()
    assert {post(desk, key="crm-key", city=str(n)).status for n in range(9)} == {200}


def test_the_key_is_asked_for_before_what_was_typed_and_a_refusal_keeps_nothing() -> None:
    desk = Desk()
    assert body_of(post(desk, key="nobodys-key", phone="138"))["code"] == "unknown_source"
    assert body_of(post(desk, phone="138"))["errors"][0]["path"] == "contact.phone"
    assert desk.log.hits == []


def test_the_networks_of_a_limit_are_those_that_one_client_is_given() -> None:
    assert network_of("2001:db8:1:2::7") == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::7")
    assert network_of("::ffff:198.51.100.4") == "::ffff:198.51.100.4"
    assert network_of("198.51.100.4") == "198.51.100.4"
    assert network_of("") == ""


def test_strangers_cannot_fill_the_memory_of_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BUCKETS", 10)
    found = RateLimits(lambda: 0.0)
    for _ in range(3):
        found.wait_s("greedy", 1, burst_s=3)
    for address in range(100):
        found.wait_s(str(address), 1, burst_s=3)
    assert len(found._full_at) <= 10
    # The one who used most is not among the forgotten.
    assert found.wait_s("greedy", 1, burst_s=3) > 0
