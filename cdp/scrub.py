"""Find personal values in free text and put markers with their tokens in the place.

Phones, e-mail addresses, Chinese ID numbers and VINs turn up in titles, URLs, user ids and properties, whatever a
tracking plan says. A marker is ⟦kind:token⟧: the same value always gives the same marker, and whoever may see the
clear value can have it filled in again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

MAX_DEPTH = 64

Tokenise = Callable[[str, str], str | None]
"""(kind, value as found) to a token, None where the value is not of that kind after all."""

_SIGNS = re.compile(rb"@|%40|\\u(?:00|[fF][fF])|\xef[\xbc\xbd]")
"""An at sign, also percent-encoded; escapes that can hide one or a digit; full-width forms."""
_DIGITS = re.compile(
    # All that we look for ends in four digits, or in three and an X: looked for from the end, a search passes
    # over text without digits at a third of the cost. It may find too much, never too little.
    rb"\d{3}(?:\d(?!\d)(?:(?<=1[3-9]\d{9})|(?<=1[3-9]\d[ \-]\d{4}[ \-]\d{4})|(?<=1[3-9]\d[ \-]\d{8})"
    rb"|(?<=1[3-9]\d{5}[ \-]\d{4})|(?<=[A-HJ-NPR-Za-hj-npr-z\d]{17}))|(?<=\d{17})[Xx])"
)

_EMAIL = re.compile(r"[\w.+\-]{1,64}(?:@|%40)[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,4}")
_NUMBERS = re.compile(
    r"(?P<id_card>(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx](?![\dA-Za-z]))"
    r"|(?P<vin>(?<![A-Za-z0-9])(?=\d*[A-Za-z])[A-HJ-NPR-Za-hj-npr-z\d]{13}\d{4}(?![A-Za-z0-9]))"
    r"|(?P<phone>(?<!\d)(?:(?:\+|%2B|00)?86[ \-]?)?1[3-9]\d[ \-]?\d{4}[ \-]?\d{4}(?!\d))"
)

_MARKER = re.compile(r"⟦(\w+):([\w\-=]+)⟧")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_PHONE_NUMBERS = range(13_000_000_000, 20_000_000_000)


def marker(kind: str, token: str) -> str:
    return f"⟦{kind}:{token}⟧"


def markers_in(text: str) -> list[tuple[str, str]]:
    """The (kind, token) pairs of a text's markers, in order."""
    return _MARKER.findall(text)


def fill_markers(text: str, show: Callable[[str, str], str]) -> str:
    """Put `show(kind, token)` in the place of each marker."""
    return _MARKER.sub(lambda found: show(found[1], found[2]), text)


def scrub_text(text: str, tokenise: Tokenise) -> str:
    """The text with each personal value replaced by its marker."""
    plain = text if text.isascii() else text.translate(_FULL_WIDTH)
    scrubbed = plain
    if "@" in plain or "%40" in plain:
        scrubbed = _EMAIL.sub(lambda found: _marked("email", found[0].replace("%40", "@"), found[0], tokenise), plain)
    if _DIGITS.search(scrubbed.encode(errors="surrogatepass")):
        scrubbed = _NUMBERS.sub(
            lambda found: _marked(found.lastgroup or "", _bare(found[0]), found[0], tokenise), scrubbed
        )
    # Chinese punctuation is full-width too: the text stays as it was unless its plain form shows something.
    return text if scrubbed == plain else scrubbed


_ALONE = re.compile(r"(?<![0-9A-Za-z])(?:(?:86)?1[3-9]\d{9}|\d{17}[\dXx])(?![0-9A-Za-z])")


def scrub_id(text: str, tokenise: Tokenise) -> str:
    """As `scrub_text`, for an id that a program made. Eleven digits in the middle of a UUID are no phone number: one in
    thirty thousand has them. Only what stands between signs counts, as in 13812345678-1."""
    return scrub_text(text, tokenise) if "@" in text or _ALONE.search(text) else text


def _marked(kind: str, value: str, as_found: str, tokenise: Tokenise) -> str:
    token = tokenise(kind, value)
    return as_found if token is None else marker(kind, token)


def _bare(number: str) -> str:
    return number.replace("%2B", "+")


def looks_personal(text: bytes) -> bool:
    """Whether a closer look is needed; most events pass. May say yes to anything, says no only where nothing is."""
    return bool(_SIGNS.search(text) or _DIGITS.search(text))


def scrub_json(document: bytes, tokenise: Tokenise) -> bytes:
    """A JSON document with markers in the place of personal values, in keys and numbers too.

    The very same bytes come back where nothing looks personal. Raises msgspec.DecodeError where it is no JSON.
    """
    if not looks_personal(document):
        return document
    return msgspec.json.encode(_scrub_value(msgspec.json.decode(document), tokenise, 0))


def _scrub_value(value: Any, tokenise: Tokenise, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, str):
        return scrub_text(value, tokenise)
    if isinstance(value, dict):
        return {scrub_text(key, tokenise): _scrub_value(item, tokenise, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrub_value(item, tokenise, depth + 1) for item in value]
    if isinstance(value, int | float) and int(value) in _PHONE_NUMBERS and int(value) == value:
        return scrub_text(str(int(value)), tokenise)
    return value
