"""Whose clock is believed, and what ids are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.clock import EARLIEST, THRESHOLD_MS, occurred_at, parse_time
from collectors.ids import content_id, event_id

NOW = 1_795_320_000_000
DAY = 86_400_000


def test_a_clock_that_is_a_year_ahead_is_corrected_by_its_own_send_time() -> None:
    year = 365 * DAY
    assert occurred_at(NOW, said=NOW + year - 5_000, sent=NOW + year) == NOW - 5_000


def test_a_phone_without_battery_is_corrected_too() -> None:
    assert occurred_at(NOW, said=1_000, sent=6_000) == NOW - 5_000


def test_up_to_a_minute_of_difference_is_the_network_and_stays() -> None:
    assert occurred_at(NOW, said=NOW - 61_000, sent=NOW - THRESHOLD_MS) == NOW - 61_000
    assert occurred_at(NOW, said=NOW - 61_001, sent=NOW - THRESHOLD_MS - 1) == NOW - 1_000


def test_an_old_event_of_a_right_clock_keeps_its_time() -> None:
    assert occurred_at(NOW, said=NOW - 30 * DAY, sent=NOW - 200) == NOW - 30 * DAY


def test_without_a_send_time_nothing_is_corrected() -> None:
    assert occurred_at(NOW, said=NOW - DAY) == NOW - DAY


def test_nothing_happens_after_we_hear_of_it() -> None:
    assert occurred_at(NOW, said=NOW + DAY) == NOW
    assert occurred_at(NOW, said=NOW + 1_000) == NOW + 1_000


def test_a_missing_or_impossible_time_is_that_of_receipt() -> None:
    assert occurred_at(NOW, said=None) == NOW
    assert occurred_at(NOW, said=parse_time("0001-01-01T00:00:00Z")) == NOW


@given(st.integers(), st.one_of(st.none(), st.integers()))
def test_the_result_is_always_a_possible_time(said: int, sent: int | None) -> None:
    assert EARLIEST <= occurred_at(NOW, said=said, sent=sent) <= NOW + THRESHOLD_MS


@pytest.mark.parametrize(
    ("told", "millis"),
    [
        ("2026-11-22T03:16:14.450Z", 1795317374450),
        ("2026-11-22T11:16:14.450+08:00", 1795317374450),
        ("2026-11-22T03:16:14.450123456Z", 1795317374450),
        ("2026-11-22 03:16:14", 1795317374000),
        ("1795317374450", 1795317374450),
        ("1795121512000", 1795121512000),
        (1795317374450, 1795317374450),
        (1795317374, 1795317374000),
        (1795317374.45, 1795317374450),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
        ("9" * 40, None),
    ],
)
def test_times_are_read_in_the_forms_that_senders_use(told: object, millis: int | None) -> None:
    assert parse_time(told) == millis


def test_an_event_id_is_of_its_source() -> None:
    assert event_id("site", "m-1") == event_id("site", "m-1")
    assert event_id("site", "m-1") != event_id("app", "m-1")
    assert len(event_id("site", "m-1")) == 32


def test_a_stand_in_id_is_blind_to_order_and_to_what_a_retry_changes() -> None:
    first = content_id(b'{"a":1,"b":[2],"sentAt":"x"}', without={"sentAt"})
    assert first == content_id(b'{"b": [2], "sentAt": "y", "a": 1}', without={"sentAt"})
    assert first != content_id(b'{"a":1,"b":[3]}', without={"sentAt"})
