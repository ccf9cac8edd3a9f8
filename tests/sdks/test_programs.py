"""Unmodified SDK packages for servers, and for mini-programs, tell a visitor's story to a running product."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.real.product import Product
from tests.sdks.story import ADVERTISEMENT, Story, Telling

AT_ONCE = 2
PAGE, SEAT, DRIVE = "page_viewed", "seat_viewed", "test_drive_booked"

STORIES = (
    Story("with_segment.py", {PAGE: 1, SEAT: 1, "identified": 1, DRIVE: 1, "grouped": 1, "aliased": 1}),
    Story("with_rudder.py", {PAGE: 2, SEAT: 1, "identified": 1, DRIVE: 1}),
    Story(
        "with_sensors.py",
        {SEAT: 1, "identified": 1, "profile_updated": 2, DRIVE: 1, "item_updated": 1},
        campaign=SEAT,
        nobodys=("item_updated",),
        retries=False,
    ),
    Story("with-segment.mjs", {PAGE: 1, SEAT: 1, "identified": 1, DRIVE: 1, "grouped": 1}),
    Story("with-rudder.mjs", {PAGE: 1, SEAT: 1, "identified": 1, DRIVE: 1, "aliased": 1}),
    Story("with-sensors.mjs", {SEAT: 1, "identified": 1, "profile_updated": 1, DRIVE: 1}, campaign=SEAT, retries=False),
    Story(
        "with_posthog.py",
        {PAGE: 1, SEAT: 1, "aliased": 1, "profile_updated": 1, DRIVE: 1, "grouped": 1},
        nobodys=("grouped",),
    ),
    Story(
        "with-posthog.mjs",
        {PAGE: 1, SEAT: 1, "aliased": 1, "identified": 1, DRIVE: 1, "grouped": 1},
        nobodys=("grouped",),
    ),
    Story("with_snowplow.py", {PAGE: 1, SEAT: 1, DRIVE: 1}),
    Story("with-snowplow.mjs", {PAGE: 1, SEAT: 1, DRIVE: 1}),
    Story(
        "with-sensors-mini.mjs",
        {
            "app_opened": 1,
            "session_started": 1,
            "profile_updated": 2,
            PAGE: 1,
            "element_clicked": 1,
            SEAT: 1,
            "identified": 1,
            DRIVE: 1,
            "page_left": 1,
            "app_closed": 1,
        },
        kind="mini_program",
        campaign="app_opened",
    ),
    *(
        Story(
            "with_growingio.py",
            {SEAT: 1, "profile_updated": 1, DRIVE: 1, "item_updated": 1},
            campaign="",
            nobodys=("item_updated",),
            retries=False,
            arguments=(wire,),
        )
        for wire in ("json", "protobuf", "snappy")
    ),
    Story(
        "with-thinkingdata.mjs",
        {SEAT: 1, "logged_in": 1, "profile_updated": 2, DRIVE: 1},
        campaign="",
        retries=False,
    ),
)
OUTAGE_S = 2.0


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as running:
        yield running


@pytest.fixture(scope="module")
def told(product: Product) -> dict[str, Future[Telling]]:
    """Every story by its id, told to the end, a few at a time."""

    def tell(story: Story) -> Telling:
        with Telling(story, product, story.id) as telling:
            telling.until_half()
            telling.finish()
        telling.until_stored(sum(story.names.values()))
        return telling

    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {story.id: pool.submit(tell, story) for story in STORIES}
    product.settled()
    return futures


def each_story(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.timeout(300)(pytest.mark.parametrize("story", STORIES, ids=lambda story: story.id)(test))


@each_story
def test_each_event_is_stored_once_under_our_name(told: dict[str, Future[Telling]], story: Story) -> None:
    assert told[story.id].result().names() == Counter(story.names)


@each_story
def test_the_member_has_the_visitors_trail(told: dict[str, Future[Telling]], story: Story) -> None:
    assert told[story.id].result().trail() == story.of_the_member


@each_story
def test_the_advertisement_that_led_to_the_visit_is_known(told: dict[str, Future[Telling]], story: Story) -> None:
    campaigns = told[story.id].result().campaigns()
    assert set(campaigns.values()) == ({ADVERTISEMENT} if story.campaign else set())
    assert not story.campaign or story.campaign in campaigns


@pytest.mark.timeout(300)
def test_a_collector_that_was_away_loses_nothing_and_counts_nothing_twice(product: Product) -> None:
    with ExitStack() as stack:
        stories = [story for story in STORIES if story.retries]
        tellings = [stack.enter_context(Telling(story, product, f"{story.id}-outage")) for story in stories]
        for telling in tellings:
            telling.until_half()
        product.stop()
        with ThreadPoolExecutor(len(tellings)) as pool:
            ends = [pool.submit(telling.finish) for telling in tellings]
            time.sleep(OUTAGE_S)
            product.start()
        for telling, end in zip(tellings, ends, strict=True):
            end.result()
            telling.until_stored(sum(telling.story.names.values()))
    product.settled()
    assert {each.source: each.names() for each in tellings} == {each.source: each.story.names for each in tellings}


def test_the_books_balance(product: Product) -> None:
    assert product.settled()["balanced"]
