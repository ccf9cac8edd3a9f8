"""Serve our own web tracker to the pages that use it; what it sends comes in through the Segment dialect.

`/xunji.js` is the present version and is asked for again after minutes; `/sdk/1.0.0/xunji.js` never changes, so
browsers keep it for a year. A version that is no longer here leads to the present one, for a page that was pinned to
it must not lose its tracker when the collector is upgraded.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from cdp.errors import Rejected
from cdp.model import Dropped, Event, Hit
from collectors.dialect import Answer, Envelope, Request, SourceOfKey

PRESENT = "/xunji.js"
PRESENT_AGE_S = 600
"""For how long a browser may run the version before, after an upgrade."""
FIXED_AGE_S = 365 * 24 * 3600

_FIXED = re.compile(r"/sdk/(\d+\.\d+\.\d+)/xunji\.js")
_BANNER = re.compile(rb"/\*! xunji-web (\S+) \*/")
_SCRIPT = "text/javascript; charset=utf-8"
_ALWAYS = {"Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff"}


class TrackerFile:
    """One built bundle, `collectors/static/xunji-web.js`; its first line tells its version."""

    name = "tracker_file"
    keeps_unknown_keys = False

    def __init__(self, bundle: bytes | None = None) -> None:
        self._plain = bundle or (Path(__file__).parent / "static" / "xunji-web.js").read_bytes()
        self._packed = gzip.compress(self._plain, 9, mtime=0)
        self._tag = hashlib.sha256(self._plain).hexdigest()[:16]
        banner = _BANNER.match(self._plain)
        if banner is None:
            raise ValueError("The web tracker's bundle has to begin with its version: build it with `npm run build`.")
        self.version = banner[1].decode()

    def handles(self, method: str, path: str) -> bool:
        return False

    def config(self, request: Request) -> Answer | None:
        if request.method != "GET":
            return None
        if request.path == PRESENT:
            return self._file(request, f"public, max-age={PRESENT_AGE_S}")
        fixed = _FIXED.fullmatch(request.path)
        if fixed is None:
            return None
        if fixed[1] == self.version:
            return self._file(request, f"public, max-age={FIXED_AGE_S}, immutable")
        caching = f"public, max-age={PRESENT_AGE_S}"
        return Answer(302, headers=_ALWAYS | {"Location": PRESENT, "Cache-Control": caching}, content_type="")

    def _file(self, request: Request, caching: str) -> Answer:
        packed = "gzip" in request.headers.get("accept-encoding", "")
        tag = f'"{self._tag}{"-gz" if packed else ""}"'
        headers = _ALWAYS | {"ETag": tag, "Cache-Control": caching, "Vary": "Accept-Encoding"}
        if tag in request.headers.get("if-none-match", ""):
            return Answer(304, headers=headers)
        if packed:
            return Answer(200, self._packed, _SCRIPT, headers | {"Content-Encoding": "gzip"})
        return Answer(200, self._plain, _SCRIPT, headers)

    # No hit is ever routed here.

    def read(self, request: Request) -> Envelope:
        raise _no_hits()

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        raise _no_hits()

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        return None

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        raise _no_hits()


def _no_hits() -> AssertionError:
    return AssertionError("the tracker's file takes no hits")
