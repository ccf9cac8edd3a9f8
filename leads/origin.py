"""Since when a person has come and from which ends: the last sentence of a lead's summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cdp.model import DAY_MS, Millis

_ENDS = {
    "web": ("网站", "the site"),
    "mini_program": ("小程序", "the mini-program"),
    "ios": ("iOS App", "the iOS app"),
    "android": ("安卓 App", "the Android app"),
    "harmony": ("鸿蒙 App", "the HarmonyOS app"),
    "server": ("服务器", "a server"),
}


def with_origin(
    told: Mapping[str, str], events: Sequence[Mapping[str, Any]], *, first_seen: Millis, at: Millis
) -> dict[str, str]:
    """The summary in both languages with this sentence at its end; as it is where there are no events."""
    if not events:
        return dict(told)
    ends = [end for end, _ in Counter(_end_of(event) for event in events).most_common()]
    days = max(at - first_seen, 0) // DAY_MS
    zh = ("今天第一次来" if days == 0 else f"{days} 天前第一次来") + "，来自" + "、".join(zh for zh, _ in ends) + "。"
    since = {0: "within a day", 1: "a day ago"}.get(days, f"{days} days ago")
    en = f"First seen {since}, on {_listed([en for _, en in ends])}."
    return {"zh": f"{told['zh']}{zh}", "en": f"{told['en']} {en}"}


def _end_of(event: Mapping[str, Any]) -> tuple[str, str]:
    name = str(event["platform"] or event["source"])
    return _ENDS.get(name.lower(), (name, name))


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
