"""Unmodified SDK packages deliver into a running product, and their events are in one person's trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sensorsanalytics
from segment.analytics.client import Client

from tests.real.product import Product

PHONE = "+8613651234567"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as running:
        yield running


def trail_of(product: Product, kind: str, value: str) -> list[dict[str, Any]]:
    product.settled()
    person = product.api.post("/api/v1/persons/lookup", json={"kind": kind, "value": value})
    assert person.status_code == 200, person.text
    trail = product.api.get(f"/api/v1/persons/{person.json()['id']}/trail")
    assert trail.status_code == 200, trail.text
    events: list[dict[str, Any]] = trail.json()["events"]
    return events


@pytest.mark.timeout(180)
def test_a_segment_python_client_delivers_a_trail(product: Product) -> None:
    key = product.create_source("shop-server", "server")
    failures: list[object] = []
    client = Client(
        key,
        host=f"http://127.0.0.1:{product.collector_port}",
        on_error=lambda error, _: failures.append(error),
        gzip=True,
    )
    client.identify("member-1", {"phone": PHONE, "city": "上海"})
    client.track("member-1", "order_paid", {"series": "X9", "price": 299_800})
    client.page("member-1", "车型", "后排空间", {"url": "https://www.example.com/x9/space"})
    client.alias("visitor-1", "member-1")
    client.flush()
    client.join()
    assert not failures
    assert sorted(event["name"] for event in trail_of(product, "phone", PHONE)) == [
        "aliased",
        "identified",
        "order_paid",
        "page_viewed",
    ]


@pytest.mark.timeout(180)
def test_a_sensors_python_client_delivers_a_trail(product: Product) -> None:
    product.create_source("sensors-server", "server", key="sensors-project")
    url = f"http://127.0.0.1:{product.collector_port}/sa?project=sensors-project"
    client = sensorsanalytics.SensorsAnalytics(sensorsanalytics.BatchConsumer(url, max_size=10))
    client.track("visitor-2", "SeatViewed", {"series": "X9"})
    client.track_signup("member-2", "visitor-2")
    client.profile_set("member-2", {"city": "杭州"}, is_login_id=True)
    client.track("member-2", "TestDrive", {"series": "X9"}, is_login_id=True)
    client.flush()
    client.close()
    names = [event["original_name"] for event in trail_of(product, "member_id", "member-2")]
    assert {"SeatViewed", "TestDrive", "$SignUp"} <= set(names)
    assert len(names) == 4


def test_the_books_balance_after_both(product: Product) -> None:
    account = product.settled()
    assert account["balanced"]
