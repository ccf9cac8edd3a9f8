"""What a person cares about, computed from the trail when it is read, with the events behind each interest.

The score of a topic is the sum of weight × 0.5^(age ÷ half-life) over the events that meet it: four views last week
outweigh six of last spring.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdp.errors import ConfigurationError
from cdp.model import DAY_MS, Millis

REASONS = 5
"""Events named in `because`, the newest ones."""

BUILT_IN = Path(__file__).parent / "topics.toml"

Interest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Topic:
    """Met by `words` in an event's text, or by `keys` of its properties, whose values become topics of their own."""

    name: str
    label: dict[str, str]
    weight: float
    half_life_ms: float
    words: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    telling: bool = False


class Topics:
    """The configured topics, ready to match. Immutable; safe to share between threads."""

    def __init__(self, topics: Iterable[Topic]) -> None:
        self.all = tuple(topics)
        self._keyed = tuple(topic for topic in self.all if topic.keys)
        self._patterns = tuple((topic, _pattern(topic.words)) for topic in self.all if topic.words)

    def of(self, event: dict[str, Any]) -> list[tuple[str, Topic]]:
        """The topics that an event meets, each once, as (name, topic) or (name:value, topic)."""
        properties = event["properties"]
        met = [
            (f"{topic.name}:{value}", topic)
            for topic in self._keyed
            if (value := next((v for k in topic.keys if _names(v := properties.get(k))), None)) is not None
        ]
        text = _text(event)
        return met + [(topic.name, topic) for topic, pattern in self._patterns if pattern.search(text)]


def load_topics(path: Path | None = None) -> Topics:
    """The topics of a TOML file like the built-in `topics.toml`. Raises ConfigurationError where it is none."""
    try:
        table = tomllib.loads((path or BUILT_IN).read_text(encoding="utf-8"))
        half_life = float(table.get("half_life_days", 14))
        return Topics(_topic(name, entry, half_life) for name, entry in table["topics"].items())
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            "XUNJI_TOPICS",
            came=f"{path} ({type(error).__name__}: {error})",
            allowed="a TOML file with a table [topics.NAME] for each topic, holding label, weight, and words or keys",
        ) from error


def _topic(name: str, entry: dict[str, Any], half_life_days: float) -> Topic:
    half_life_ms = float(entry.get("half_life_days", half_life_days)) * DAY_MS
    if half_life_ms <= 0:
        raise ValueError(f"half_life_days of {name} is not above 0")
    return Topic(
        name=name,
        label={"zh": str(entry["label"]["zh"]), "en": str(entry["label"]["en"])},
        weight=float(entry["weight"]),
        half_life_ms=half_life_ms,
        words=tuple(str(word).lower() for word in entry.get("words", ())),
        keys=tuple(entry.get("keys", ())),
        telling=bool(entry.get("telling", False)),
    )


def interests(events: Iterable[dict[str, Any]], topics: Topics, at: Millis) -> list[Interest]:
    """Interests at a moment, strongest first, ties by name; events after it do not count.

    Each is `{topic, label, score, events, last_at, because}`; `because` names the newest events behind it.
    """
    behind: dict[str, tuple[Topic, list[dict[str, Any]]]] = {}
    for event in events:
        if event["occurred_at"] <= at:
            for name, topic in topics.of(event):
                behind.setdefault(name, (topic, []))[1].append(event)
    found = [_interest(name, topic, of_it, at) for name, (topic, of_it) in behind.items()]
    return sorted(found, key=lambda one: (-one["score"], one["topic"]))


def _interest(name: str, topic: Topic, events: list[dict[str, Any]], at: Millis) -> Interest:
    newest = sorted(events, key=lambda e: (e["occurred_at"], e["id"]), reverse=True)
    score = sum(topic.weight * 0.5 ** ((at - e["occurred_at"]) / topic.half_life_ms) for e in newest)
    value = name.partition(":")[2]
    return {
        "topic": name,
        "label": {language: f"{label} {value}".strip() for language, label in topic.label.items()},
        "score": round(score, 3),
        "events": len(newest),
        "last_at": newest[0]["occurred_at"],
        "because": [
            {"event": e["id"], "name": e["name"], "title": title(e), "at": e["occurred_at"]} for e in newest[:REASONS]
        ],
    }


def summary(
    events: Sequence[dict[str, Any]], found: Sequence[Interest], topics: Topics, at: Millis, *, total: int = 0
) -> dict[str, str]:
    """A paragraph for the adviser who is about to call, in Chinese and English: what the person cares about, what was
    looked at again and again, and which telling topic was never touched. `total` counts the events behind `events`,
    where these are only the newest."""
    events = [event for event in events if event["occurred_at"] <= at]
    if not events:
        return {"zh": "还没有行为记录。", "en": "No behaviour recorded yet."}
    zh, en = [], []
    if found:
        zh.append("最关注" + "、".join(_counted(one, "zh") for one in found[:3]))
        en.append("Cares most about " + ", ".join(_counted(one, "en") for one in found[:3]))
    if repeated := _most_repeated(events):
        what, times = repeated
        zh.append(f"“{what}”看了 {times} 次")
        en.append(f"viewed “{what}” {_times(times)}")
    if found and (never := _never(found, topics)):
        zh.append("从未看过" + "、".join(topic.label["zh"] for topic in never))
        en.append("never looked at " + " or ".join(topic.label["en"] for topic in never))
    days = (at - max(event["occurred_at"] for event in events)) // DAY_MS
    total = max(total, len(events))
    zh.append(f"共 {total} 条行为，最近一次在" + ("今天" if days == 0 else f" {days} 天前"))
    en.append(f"{_some(total, 'event')}, the last " + ("within a day" if days == 0 else f"{_some(days, 'day')} ago"))
    return {"zh": "；".join(zh) + "。", "en": _sentence("; ".join(en))}


def title(event: dict[str, Any]) -> str:
    """What an event was about, as a person would name it: a title, else the path, else the event's name."""
    properties, page = event["properties"], event["page"]
    named = (properties.get(key) for key in ("title", "video", "video_title", "video_name", "content_title"))
    return next((v for v in (*named, page["title"], page["path"]) if isinstance(v, str) and v), event["name"])


def _counted(one: Interest, language: str) -> str:
    times = one["events"]
    return (
        f"{one['label'][language]}（{times} 次）" if language == "zh" else f"{one['label'][language]} ({_times(times)})"
    )


def _some(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _times(n: int) -> str:
    return {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times"}.get(n, f"{n} times")


def _most_repeated(events: Sequence[dict[str, Any]]) -> tuple[str, int] | None:
    seen = Counter(title(event) for event in events if title(event) != event["name"])
    ranked = sorted(seen.items(), key=lambda pair: (-pair[1], pair[0]))
    return ranked[0] if ranked and ranked[0][1] > 1 else None


def _never(found: Sequence[Interest], topics: Topics) -> list[Topic]:
    met = {one["topic"].partition(":")[0] for one in found}
    return [topic for topic in topics.all if topic.telling and topic.name not in met]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _names(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _text(event: dict[str, Any]) -> str:
    """All that is matched, lower case, with a break between the parts. Property keys are left out: a form that always
    sends `price` says nothing about who filled it in."""
    page = event["page"]
    parts = [event["name"], page["url"], page["path"], page["title"], *_strings(event["properties"])]
    return "\n".join(part for part in parts if part).lower()


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Latin words stand alone, with _, - or a blank as their joint; `space` must not be found in `workspace`."""
    latin = [re.sub(r"(?:\\ |\\-|_)", "[ _-]", re.escape(word)) for word in words if word.isascii()]
    other = [re.escape(word) for word in words if not word.isascii()]
    whole = [rf"(?<![a-z0-9])(?:{'|'.join(latin)})(?![a-z0-9])"] if latin else []
    return re.compile("|".join(whole + other))
