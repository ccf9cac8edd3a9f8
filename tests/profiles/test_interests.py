"""Topics met by events, their scores in time, and the paragraph for the adviser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cdp.errors import ConfigurationError
from cdp.model import DAY_MS
from profiles.interests import interests, load_topics, summary

NOW = 1_760_000_000_000
TOPICS = load_topics()


def make_event(number: int = 1, *, days_ago: float = 0, name: str = "page_viewed", **fields: Any) -> dict[str, Any]:
    page = {"url": None, "path": fields.get("path"), "title": fields.get("title"), "referrer": None}
    return {
        "id": f"e{number}",
        "name": name,
        "occurred_at": NOW - int(days_ago * DAY_MS),
        "page": page,
        "properties": fields.get("properties", {}),
    }


def topics_of(**fields: Any) -> set[str]:
    return {one["topic"] for one in interests([make_event(**fields)], TOPICS, NOW)}


@pytest.mark.parametrize(
    ("fields", "topic"),
    [
        ({"title": "X9 后排空间体验"}, "space"),
        ({"path": "/cars/x9/rear-seat"}, "space"),
        ({"name": "test_drive_requested"}, "test_drive"),
        ({"properties": {"video": {"tags": ["Rear Seat tour"]}}}, "space"),
        ({"path": "/x9/performance"}, "performance"),
        ({"properties": {"article": "家充桩怎么装"}}, "charging"),
    ],
)
def test_a_topic_is_met_in_name_page_or_property_values(fields: dict[str, Any], topic: str) -> None:
    assert topic in topics_of(**fields)


@pytest.mark.parametrize(
    "fields",
    [{"path": "/workspaces"}, {"properties": {"price": 3, "space": 4}}, {"title": "orange"}, {"name": "priceless"}],
)
def test_a_latin_word_inside_another_and_a_property_key_meet_nothing(fields: dict[str, Any]) -> None:
    assert topics_of(**fields) == set()


def test_a_series_in_the_properties_is_a_topic_with_its_value() -> None:
    [found] = interests([make_event(properties={"series": "X9"})], TOPICS, NOW)
    assert found["topic"] == "series:X9"
    assert found["label"] == {"zh": "车系 X9", "en": "Series X9"}


def test_a_score_halves_with_every_half_life_and_sums_over_events() -> None:
    seen = [
        make_event(1, title="空间"),
        make_event(2, title="空间", days_ago=14),
        make_event(3, title="空间", days_ago=28),
    ]
    [found] = interests(seen, TOPICS, NOW)
    assert found["score"] == 1.75
    assert found["events"] == 3
    assert found["last_at"] == NOW


def test_recent_interest_outranks_older_and_more_frequent_interest() -> None:
    old = [make_event(n, title="性能", days_ago=60) for n in range(6)]
    new = [make_event(n + 10, title="空间") for n in range(2)]
    assert [one["topic"] for one in interests(old + new, TOPICS, NOW)] == ["space", "performance"]


def test_what_happens_after_the_moment_does_not_count() -> None:
    assert interests([make_event(title="空间", days_ago=-1)], TOPICS, NOW) == []


def test_because_names_the_newest_events_behind_an_interest() -> None:
    seen = [make_event(n, title=f"空间 {n}", days_ago=n) for n in range(8)]
    [found] = interests(seen, TOPICS, NOW)
    assert [reason["event"] for reason in found["because"]] == ["e0", "e1", "e2", "e3", "e4"]
    assert found["because"][1] == {"event": "e1", "name": "page_viewed", "title": "空间 1", "at": NOW - DAY_MS}


def test_the_order_of_the_trail_changes_nothing() -> None:
    seen = [make_event(n, title=("空间", "性能", "价格")[n % 3], days_ago=n) for n in range(9)]
    assert interests(seen, TOPICS, NOW) == interests(seen[::-1], TOPICS, NOW)


def test_the_summary_says_what_she_cares_about_watched_again_and_never_opened() -> None:
    seen = [make_event(n, name="video_played", title="后排空间视频", days_ago=2) for n in range(4)]
    found = interests(seen, TOPICS, NOW)
    assert summary(seen, found, TOPICS, NOW) == {
        "zh": "最关注内部空间（4 次）；“后排空间视频”看了 4 次；从未看过性能、价格；共 4 条行为，最近一次在 2 天前。",
        "en": "Cares most about interior space (four times); viewed “后排空间视频” four times; "
        "never looked at performance or price; 4 events, the last 2 days ago.",
    }


def test_the_summary_does_not_call_a_topic_never_seen_that_was() -> None:
    seen = [make_event(1, title="空间"), make_event(2, title="性能"), make_event(3, title="价格")]
    told = summary(seen, interests(seen, TOPICS, NOW), TOPICS, NOW)
    assert "从未" not in told["zh"]
    assert "never" not in told["en"]


def test_a_person_without_events_has_a_summary_that_says_so() -> None:
    assert summary([], [], TOPICS, NOW) == {"zh": "还没有行为记录。", "en": "No behaviour recorded yet."}


def test_topics_of_ones_own_replace_the_built_in_ones(tmp_path: Path) -> None:
    file = tmp_path / "topics.toml"
    file.write_text(
        '[topics.boat]\nlabel = {zh = "船", en = "boats"}\nweight = 2\nhalf_life_days = 1\nwords = ["Boat"]\n'
    )
    own = load_topics(file)
    [found] = interests([make_event(title="a BOAT trip", days_ago=1)], own, NOW)
    assert (found["topic"], found["score"]) == ("boat", 1.0)
    assert interests([make_event(title="空间")], own, NOW) == []


@pytest.mark.parametrize(
    "text",
    [
        "topics",
        "a = 1",
        "[topics.x]\nweight = 1",
        '[topics.x]\nlabel = {zh = "a", en = "b"}\nweight = "heavy"',
        '[topics.x]\nlabel = {zh = "a", en = "b"}\nweight = 1\nhalf_life_days = 0',
    ],
)
def test_a_wrong_topics_file_stops_the_start_with_the_name_of_the_setting(tmp_path: Path, text: str) -> None:
    file = tmp_path / "topics.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="XUNJI_TOPICS"):
        load_topics(file)
