"""What the address of a page tells about the advertisement that led to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from cdp.model import NO_CAMPAIGN, Campaign

CLICK_IDS = (
    "gclid", "gbraid", "wbraid", "dclid", "msclkid", "fbclid", "ttclid", "gdt_vid", "qz_gdt", "bd_vid", "qhclickid",
    "clickid", "click_id", "li_fat_id", "twclid", "epik", "rdt_cid", "qclid", "sccid", "irclid", "yclid",
)  # fmt: skip
"""Query parameters by which an ad platform knows one click: Google, Microsoft, Meta, TikTok, Tencent, Baidu, 360,
Ocean Engine, Xiaohongshu, LinkedIn, X, Pinterest, Reddit, Quora, Snap, Impact, Yandex."""

CACHED = 4096
LONGEST_CACHED = 2048
"""Characters; a longer address, of up to a megabyte, is read anew each time."""

_UTM = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
}
_CLICK_MARKS = (b"clid", b"clkid", b"braid", b"_vid", b"gdt", b"click", b"li_fat", b"epik", b"rdt_cid", b"sccid")
"""At least one is in each of CLICK_IDS."""
_PARAMETER = re.compile(rf"[?&]({'|'.join((*_UTM, *CLICK_IDS))})=([^&#]+)")


def may_hold_click_ids(properties: bytes) -> bool:
    """Whether it is worth looking for click ids in this JSON text; quick, and never false where there are any."""
    return any(mark in properties for mark in _CLICK_MARKS)


def campaign_in(fields: Mapping[str, Any], prefix: str = "") -> Campaign:
    """What a mapping tells under `utm_source`, `gclid` and so on, each name after `prefix`; texts only."""
    said = {field: value for name, field in _UTM.items() if (value := _text(fields.get(prefix + name)))}
    clicks = {name: value for name in CLICK_IDS if (value := _text(fields.get(prefix + name)))}
    return Campaign(**said, click_ids=clicks) if said or clicks else NO_CAMPAIGN


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def campaign_of(told: Campaign, url: str) -> Campaign:
    """What the SDK told, with what it left out read from the page's address."""
    if "?" not in url:
        return told
    found = _found_in(url) if len(url) <= LONGEST_CACHED else _found_in.__wrapped__(url)
    if found is NO_CAMPAIGN:
        return told
    if told is NO_CAMPAIGN:
        return found
    return Campaign(
        told.source or found.source,
        told.medium or found.medium,
        told.name or found.name,
        told.term or found.term,
        told.content or found.content,
        {**found.click_ids, **told.click_ids} if told.click_ids else found.click_ids,
    )


@lru_cache(maxsize=CACHED)
def _found_in(url: str) -> Campaign:
    """Many events come from one page, so the answer is kept for the next; nobody changes it."""
    said: dict[str, str] = {}
    clicks: dict[str, str] = {}
    for name, escaped in _PARAMETER.findall(url):
        field = _UTM.get(name)
        (clicks if field is None else said).setdefault(field or name, unquote_plus(escaped))
    return Campaign(**said, click_ids=clicks) if said or clicks else NO_CAMPAIGN
