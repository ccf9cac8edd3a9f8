"""Makers of requests and hits for the tests of dialects."""

from __future__ import annotations

import base64
import json
from typing import Any

from cdp.model import Dropped, Event, Hit, Source, SourceKind
from collectors.dialect import Dialect, Envelope, Request

RECEIVED_AT = 1_795_320_000_000
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"

SOURCES = {
    "site-key": Source(id="site", kind=SourceKind.SITE, keys=("site-key",)),
    "other-key": Source(id="other", kind=SourceKind.SITE, keys=("other-key",)),
    "mini-key": Source(id="mini", kind=SourceKind.MINI_PROGRAM, keys=("mini-key",), appid="wxa1b2"),
}


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def make_request(
    target: str, body: Any = b"", *, method: str = "POST", headers: dict[str, str] | None = None
) -> Request:
    path, _, query = target.partition("?")
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method, target, path, query, headers or {}, raw, "203.0.113.7")


def hit_of(request: Request, dialect: Dialect, *, source: str = "site", received_at: int = RECEIVED_AT) -> Hit:
    """As the collector keeps it: without the headers that carry a key."""
    return Hit(
        received_at=received_at,
        source=source,
        dialect=dialect.name,
        method=request.method,
        target=request.target,
        headers={name: value for name, value in request.headers.items() if name != "authorization"},
        client_ip=request.client_ip,
        body=request.body,
    )


def outcomes_of(
    request: Request, dialect: Dialect, *, source: str = "site", received_at: int = RECEIVED_AT, hit_id: str = "0-7"
) -> list[Event | Dropped]:
    hit = hit_of(request, dialect, source=source, received_at=received_at)
    return list(dialect.translate(hit, hit_id, SOURCES.get))


def read(request: Request, dialect: Dialect) -> Envelope:
    assert dialect.handles(request.method, request.path), request.path
    return dialect.read(request)


def ids_of(event: Event) -> list[str]:
    return [f"{identifier.kind}:{identifier.value}" for identifier in event.identifiers]
