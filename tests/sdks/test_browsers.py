"""Unmodified browser SDKs tell a visitor's story from pages in a real Chromium to a running product."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.real.product import Product
from tests.sdks.browsing import COLLECTOR, SHOP, Browsing
from tests.sdks.story import ADVERTISEMENT, Known, Story

PAGE, SEAT, DRIVE, CLICK = "page_viewed", "seat_viewed", "test_drive_booked", "element_clicked"
JITSU_KEY = "shop:secret"
"""Jitsu's SDK takes an id and a secret, and nothing else."""
OUTAGE_S = 2.0
AUTOMATIC = {PAGE: 1, "profile_updated": 1, SEAT: 1, CLICK: 1, "identified": 1, DRIVE: 1}
"""What Sensors' SDK sends, in whichever way it is told to."""

STORIES = (
    Story("segment.js", {PAGE: 1, SEAT: 1, "identified": 1, DRIVE: 1}),
    Story("rudder.js", {PAGE: 1, SEAT: 1, "identified": 1, DRIVE: 1}),
    Story("segment.js", {PAGE: 1, SEAT: 1, "identified": 1, DRIVE: 1}, arguments=("batching",), retries=False),
    Story("rudder.js", {PAGE: 1, SEAT: 1, "identified": 1, DRIVE: 1}, arguments=("beacon",), retries=False),
    Story("posthog.js", {PAGE: 1, SEAT: 1, CLICK: 1, "identified": 1, DRIVE: 1}),
    Story("snowplow.js", {PAGE: 1, SEAT: 1, "logged_in": 1, DRIVE: 1}),
    Story("jitsu.js", {PAGE: 1, SEAT: 1, "identified": 1, DRIVE: 1}, retries=False),
    Story("sensors.js", AUTOMATIC, arguments=("batch",)),
    *(Story("sensors.js", AUTOMATIC, arguments=(way,), retries=False) for way in ("image", "beacon", "ajax")),
)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as running:
        yield running


@contextmanager
def browsing(
    product: Product, stories: Sequence[Story], suffix: str = ""
) -> Iterator[tuple[Browsing, dict[str, Known]]]:
    """Visitors who have looked around and logged in, each with an SDK and a source of its own."""
    known = {story.id: Known(product, story.id + suffix) for story in stories}
    visits = []
    for story in stories:
        own = {"key": JITSU_KEY + suffix} if story.program == "jitsu.js" else {}
        key = product.create_source(known[story.id].source, **own)
        member = known[story.id].member
        told = {"key": key, "member": member, "arguments": story.arguments}
        visits.append({"name": story.id, "entry": f"pages/{story.program}", **told})
    with Browsing(product, visits) as visitors:
        visitors.until_half()
        yield visitors, known


@pytest.fixture(scope="module")
def known(product: Product) -> dict[str, Known]:
    """What is known of each story, once told to the end; `asked` has the hosts and errors of each page."""
    with browsing(product, STORIES) as (visitors, known):
        visitors.go_on()
        until_all_stored(known)
        asked.update(visitors.leave())
    product.settled()
    return known


def until_all_stored(known: Mapping[str, Known]) -> None:
    for story in STORIES:
        if story.id in known:
            known[story.id].until_stored(sum(story.names.values()))


asked: dict[str, dict[str, Any]] = {}
each_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.id)


@each_story
def test_each_event_is_stored_once_under_our_name(known: dict[str, Known], story: Story) -> None:
    assert known[story.id].names() == Counter(story.names)


@each_story
def test_the_member_has_the_visitors_trail(known: dict[str, Known], story: Story) -> None:
    assert known[story.id].trail() == story.of_the_member


@each_story
def test_the_advertisement_that_led_to_the_visit_is_known(known: dict[str, Known], story: Story) -> None:
    campaigns = known[story.id].campaigns()
    assert campaigns[story.campaign] == ADVERTISEMENT
    assert set(campaigns.values()) == {ADVERTISEMENT}


@each_story
def test_the_page_asks_nobody_but_the_collector(known: dict[str, Known], story: Story) -> None:
    assert known
    assert asked[story.id] == {"hosts": [COLLECTOR, SHOP], "faults": []}


def test_a_collector_that_was_away_loses_nothing_and_counts_nothing_twice(product: Product) -> None:
    stories = [story for story in STORIES if story.retries]
    with browsing(product, stories, "-outage") as (visitors, known):
        product.stop()
        visitors.go_on()
        time.sleep(OUTAGE_S)
        product.start()
        until_all_stored(known)
        visitors.leave()
    product.settled()
    assert {story.id: known[story.id].names() for story in stories} == {story.id: story.names for story in stories}


def test_the_books_balance(product: Product) -> None:
    assert product.settled()["balanced"]
