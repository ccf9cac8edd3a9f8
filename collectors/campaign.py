"""What the address of a page tells about the advertisement that led to it."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

import msgspec

from cdp.model import Campaign

CLICK_IDS = (
    "gclid", "gbraid", "wbraid", "dclid", "msclkid", "fbclid", "ttclid", "gdt_vid", "qz_gdt", "bd_vid", "clickid"
)  # fmt: skip
"""Query parameters by which an ad platform knows one click: Google, Microsoft, Meta, TikTok, Tencent, Baidu."""

_UTM = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
}
_PARAMETER = re.compile(rf"[?&]({'|'.join((*_UTM, *CLICK_IDS))})=([^&#]+)")


def campaign_of(told: Campaign, url: str) -> Campaign:
    """What the SDK told, with what it left out read from the page's address."""
    if "?" not in url:
        return told
    said: dict[str, str] = {}
    clicks: dict[str, str] = {}
    for name, escaped in _PARAMETER.findall(url):
        value = unquote_plus(escaped) if "%" in escaped or "+" in escaped else escaped
        field = _UTM.get(name)
        if field is None:
            clicks[name] = value
        elif not getattr(told, field):
            said[field] = value
    if not said and not clicks:
        return told
    return msgspec.structs.replace(told, click_ids={**clicks, **told.click_ids}, **said)
