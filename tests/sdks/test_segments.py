"""A segment is watched live while an unmodified SDK tells a story: one event brings its visitor in, another out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.real.product import Product, until
from tests.sdks.story import Story, Telling

URL = "/api/v1/segments"
LOOKED = {"all": [{"did": "seat_viewed"}, {"not": {"did": "test_drive_booked"}}]}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as running:
        yield running


def told(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """What the live feed tells of segments."""
    kind = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data" and kind == "segment":
            yield json.loads(value)
        elif not line:
            kind = ""


@pytest.mark.timeout(120)
def test_a_segment_is_followed_live_while_an_sdk_sends(product: Product) -> None:
    definition = {"v": 1, "entity": "person", "where": LOOKED}
    made = product.api.post(URL, json={"name": "looked", "definition": definition})
    assert made.status_code == 201, made.text
    segment = made.json()["id"]
    with (
        product.api.stream("GET", "/api/v1/events/live", timeout=60) as live,
        Telling(Story("with_segment.py", {}), product, "followed") as telling,
    ):
        changes = told(live)
        telling.until_half()
        entered = next(changes)
        telling.finish()
        exited = next(changes)
    assert [(each["segment"], each["change"]) for each in (entered, exited)] == [
        (segment, "entered"),
        (segment, "exited"),
    ]
    assert entered["person"] == exited["person"]
    assert [each["reason"] for each in (entered, exited)] == ["event", "event"]

    kept = product.api.get(f"{URL}/{segment}/changes").json()["changes"]
    assert [(each["change"], each["at"]) for each in kept] == [
        (each["change"], each["at"]) for each in (exited, entered)
    ]
    until(lambda: product.api.get(f"{URL}/{segment}").json()["lag"] is not None, 10)
    lag = product.api.get(f"{URL}/{segment}").json()["lag"]
    assert lag["p50_ms"] <= lag["p95_ms"]
