"""Replay captured requests of real SDKs: through a dialect in this process, or byte by byte over a socket."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cdp.errors import MalformedHit, TooLarge
from cdp.model import Dropped, Event, Hit, Source, SourceKind
from collectors.accept import KEPT_HEADERS
from collectors.dialect import Request, Unreadable
from collectors.registry import route

CAPTURES = Path(__file__).parent / "captures"
FAMILIES = ("ga4", "growingio", "jitsu", "posthog", "rudderstack", "segment", "sensors", "snowplow", "thinkingdata")
FOLDERS = sorted(
    str(path.relative_to(CAPTURES).with_suffix(""))
    for family in FAMILIES
    for path in (CAPTURES / family).glob("*.jsonl")
)
EVENTS: dict[str, list[str]] = {
    folder: names
    for family in FAMILIES
    for folder, names in json.loads((CAPTURES / family / "events.json").read_text()).items()
}
"""Names of the events in each file as their SDK calls them, repeats included."""

KEYS = (
    "WRITEKEY1", "WK", "RWK", "default", "production", "key1", "key1:secret1", "phc_KEY1", "projABC", "shop-web",
    "APPID1", "G-TEST123", "a",
)  # fmt: skip
"""All keys that the captures carry."""

ANSWER_TIMEOUT_S = 10.0
_SET_BY_US = frozenset({"host", "content-length", "connection"})


class Capture(NamedTuple):
    """One request as it was on the wire."""

    folder: str
    number: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    received_at: int

    @property
    def is_hit(self) -> bool:
        path, _, _ = self.target.partition("?")
        return route(self.method, path) is not None

    def request(self) -> Request:
        path, _, query = self.target.partition("?")
        headers = {name.lower(): value for name, value in self.headers}
        return Request(self.method, self.target, path, query, headers, self.body, "203.0.113.7")

    def hit(self, source: str, dialect: str) -> Hit:
        request = self.request()
        kept = {name: value for name, value in request.headers.items() if name in KEPT_HEADERS}
        return Hit(
            received_at=self.received_at,
            source=source,
            dialect=dialect,
            method=self.method,
            target=self.target,
            headers=kept,
            client_ip=request.client_ip,
            body=self.body,
        )

    def wire(self, host: str = "127.0.0.1") -> bytes:
        """The bytes of an HTTP/1.1 request, headers in their order and case, on a connection of its own."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers if name.lower() not in _SET_BY_US]
        if self.body or self.method == "POST":
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + self.body


EXPECTED_STATUS = {"growingio": 204, "ga4": 204}
"""Of an accepted hit, where it is not 200."""


def expected_status(capture: Capture) -> int:
    """What our collector answers; a preflight has no body."""
    dialect = route(capture.method, capture.target.partition("?")[0])
    return 204 if capture.method == "OPTIONS" else EXPECTED_STATUS.get(dialect.name, 200) if dialect else 200


def captures_of(folder: str) -> list[Capture]:
    lines = (CAPTURES / f"{folder}.jsonl").read_text().splitlines()
    return [_capture(folder, number, json.loads(line)) for number, line in enumerate(lines)]


def _capture(folder: str, number: int, row: dict[str, Any]) -> Capture:
    body = base64.b64decode(row["body_base64"]) if "body_base64" in row else row.get("body_text", "").encode()
    headers = [(name, value) for name, value in row["headers"]]
    return Capture(folder, number, row["method"], row["url"], headers, body, row.get("received_at", 0))


def hits_of(folder: str) -> list[Capture]:
    return [capture for capture in captures_of(folder) if capture.is_hit]


def source_of_key(key: str) -> Source | None:
    """Each key that the captures carry is of a source of its own."""
    return Source(id=f"src-{key}", kind=SourceKind.SITE, keys=(key,)) if key in KEYS else None


def translated(capture: Capture) -> list[Event | Dropped]:
    """What comes out of a captured hit after `read` and `translate`, as the collector and the worker do it."""
    request = capture.request()
    dialect = route(request.method, request.path)
    assert dialect is not None
    envelope = dialect.read(request)
    source = source_of_key(envelope.key)
    assert source is not None
    found = dialect.translate(capture.hit(source.id, dialect.name), f"0-{capture.number}", source_of_key)
    assert len(found) == envelope.events
    return list(found)


def events_of(folder: str) -> list[Event]:
    events = [outcome for capture in hits_of(folder) for outcome in translated(capture)]
    assert all(isinstance(event, Event) for event in events), events
    return [event for event in events if isinstance(event, Event)]


_ANYBODY = Source(id="anybody", kind=SourceKind.SITE, keys=("any",))


def taken(request: Request) -> int:
    """How many records came out of a request; 0 where it was refused. Raises what no collector may raise."""
    dialect = route(request.method, request.path)
    if dialect is None:
        return 0
    try:
        envelope = dialect.read(request)
    except (Unreadable, MalformedHit, TooLarge):
        return 0
    dialect.accepted(request, envelope)
    hit = Hit(
        received_at=1_795_320_000_000,
        source=_ANYBODY.id,
        dialect=dialect.name,
        method=request.method,
        target=request.target,
        headers={name: value for name, value in request.headers.items() if name in KEPT_HEADERS},
        client_ip=request.client_ip,
        body=request.body,
    )
    try:
        found = dialect.translate(hit, "0-7", lambda _key: _ANYBODY)
    except MalformedHit:
        return 0
    assert all(isinstance(each, Event | Dropped) for each in found)
    return len(found)


class Reply(NamedTuple):
    """What a server answered; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def post(host: str, port: int, capture: Capture, *, piece: int = 0) -> Reply:
    """Send a capture over a socket, in pieces of `piece` bytes (all at once for 0), and read the answer to its end."""
    wire = capture.wire(f"{host}:{port}")
    with socket.create_connection((host, port), timeout=ANSWER_TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in _pieces(wire, piece):
            connection.sendall(part)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Reply(int(status.split()[1]), headers, body)


def _pieces(wire: bytes, size: int) -> Iterator[bytes]:
    size = size or len(wire)
    return (wire[start : start + size] for start in range(0, len(wire), size))
