"""Let browsers send from any page, and read what they need of our answers.

Origin and wanted headers are mirrored: Snowplow sends with credentials, for which `*` is not allowed, and the SDKs
add headers of their own. Which pages may use a key is decided when the hit is there, not at the preflight, which
names no key.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cdp.errors import Rejected
from collectors.dialect import Answer, Request

METHODS = "GET, POST, OPTIONS"
MAX_AGE_S = 86_400
"""Browsers cut it to what they allow: 2 hours in Chromium, 24 in Firefox."""

MAX_ORIGIN_CHARACTERS = 300
"""A host name has 253 at most. What is longer is no page, and would only fill the memory of lines."""


ANY = "*"
"""Stands for an origin that is not known, of whose request not even the head could be read."""
_ANY_LINES = b"Access-Control-Allow-Origin: *\r\n"


class OriginRefused(Rejected):
    status = 403
    title = "Origin not allowed"

    def __init__(self) -> None:
        super().__init__("This source takes no hits from this page. Add the page's origin to the source.")


def check_origin(origin: str | None, allowed: Sequence[str]) -> None:
    """Raises OriginRefused. A sender that names no origin is no page, and no browser would keep a page from it."""
    if allowed and origin is not None and origin.lower() not in allowed:
        raise OriginRefused


def cors_lines(origin: str | None) -> bytes:
    """The header lines of every answer to a page of this origin; empty where the sender is no page."""
    if origin == ANY:
        return _ANY_LINES
    if origin is None or len(origin) > MAX_ORIGIN_CHARACTERS:
        return b""
    return _lines(origin)


@lru_cache(maxsize=1024)
def _lines(origin: str) -> bytes:
    return (
        f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n"
        "Access-Control-Expose-Headers: Retry-After, X-Xunji-Hit\r\nVary: Origin\r\n"
    ).encode("latin-1")


def preflight(request: Request) -> Answer:
    """The answer to OPTIONS; the lines of `cors_lines` go with it."""
    headers = {"Allow": METHODS}
    if "origin" in request.headers:
        headers |= {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": str(MAX_AGE_S)}
        wanted = request.headers.get("access-control-request-headers")
        if wanted:
            headers["Access-Control-Allow-Headers"] = wanted
    return Answer(204, headers=headers)
