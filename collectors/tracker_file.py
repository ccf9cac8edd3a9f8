"""Serve our own trackers' files; what they send comes in through the Segment dialect.

`/xunji.js` is the web tracker's present version and is asked for again after minutes; `/sdk/1.0.0/xunji.js` never
changes, so browsers keep it for a year. A version that is no longer here leads to the present one, for a page that was
pinned to it must not lose its tracker when the collector is upgraded. `/xunji-mini.js` is the mini-programs', which
teams download into their project; it is served alike.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from collectors.dialect import Answer, Request

PRESENT_AGE_S = 600
"""For how long a browser may run the version before, after an upgrade."""
FIXED_AGE_S = 365 * 24 * 3600

_STATIC = Path(__file__).parent / "static"
_BUNDLES = {"xunji.js": "xunji-web", "xunji-mini.js": "xunji-mini"}
"""What is served under which name, beside how we call it."""
_PATH = re.compile(r"/(?:sdk/(?P<version>\d+\.\d+\.\d+)/)?(?P<file>[\w-]+\.js)")
_SCRIPT = "text/javascript; charset=utf-8"
_ALWAYS = {"Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """One built tracker; its first line tells its name and version."""

    version: str
    plain: bytes
    packed: bytes
    tag: str

    @classmethod
    def of(cls, name: str, built: bytes) -> Bundle:
        banner = re.match(rb"/\*! %b (\S+) \*/" % name.encode(), built)
        if banner is None:
            raise ValueError(f"The bundle of {name} has to begin with its version: build it with `npm run build`.")
        packed = gzip.compress(built, 9, mtime=0)
        return cls(banner[1].decode(), built, packed, hashlib.sha256(built).hexdigest()[:16])


class TrackerFile:
    """The built bundles in `collectors/static/`."""

    def __init__(self) -> None:
        self.bundles = {file: Bundle.of(name, (_STATIC / f"{name}.js").read_bytes()) for file, name in _BUNDLES.items()}

    def page(self, request: Request) -> Answer | None:
        asked = _PATH.fullmatch(request.path) if request.method == "GET" else None
        bundle = self.bundles.get(asked["file"]) if asked else None
        if asked is None or bundle is None:
            return None
        present = f"public, max-age={PRESENT_AGE_S}"
        if asked["version"] is None:
            return _served(bundle, request, present)
        if asked["version"] == bundle.version:
            return _served(bundle, request, f"public, max-age={FIXED_AGE_S}, immutable")
        return Answer(
            302, headers=_ALWAYS | {"Location": f"/{asked['file']}", "Cache-Control": present}, content_type=""
        )


def _served(bundle: Bundle, request: Request, caching: str) -> Answer:
    packed = "gzip" in request.headers.get("accept-encoding", "")
    tag = f'"{bundle.tag}{"-gz" if packed else ""}"'
    headers = _ALWAYS | {"ETag": tag, "Cache-Control": caching, "Vary": "Accept-Encoding"}
    if tag in request.headers.get("if-none-match", ""):
        return Answer(304, headers=headers)
    if packed:
        return Answer(200, bundle.packed, _SCRIPT, headers | {"Content-Encoding": "gzip"})
    return Answer(200, bundle.plain, _SCRIPT, headers)
