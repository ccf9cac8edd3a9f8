"""Gather requests out of the bytes of one connection.

llhttp (through httptools) finds where a message begins and ends, and is strict about all that a proxy could see
otherwise (two lengths, odd line ends, folded headers). Added here: limits on size, and the few rules of RFC 9112
that llhttp leaves to its user. A head that came before, byte for byte, is not parsed again: see `KnownHeads`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

import httptools
import msgspec

from collectors.cors import ANY
from collectors.dialect import Answer, Request
from collectors.http_answer import problem
from collectors.http_limits import Limits

HEADER_OVERHEAD_BYTES = 32
"""Counted for each header besides its text (as HTTP/2 does), so that many empty ones reach the limit too."""

HEAD_END = b"\r\n\r\n"
KNOWN_HEADS = 2_048
KNOWN_HEAD_BYTES = 2_048
"""A longer head is not remembered; with the one before, a limit on memory."""

IDLE, HEAD, BODY = range(3)
"""What the next byte belongs to: a new request, one's request line and headers, or its body."""

Deliver = Callable[[Request, bool, bool], None]
"""Takes a whole request; whether it is the last of its connection; whether it came as HTTP/1.0."""


class Refusal(Exception):
    """What came cannot be taken, nor anything after it. `answer` tells the sender why."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


_SPECIAL = frozenset({"expect", "transfer-encoding"})


class _Head(msgspec.Struct, frozen=True):
    """What a head says, and how long the body is that follows it."""

    method: str
    target: str
    path: str
    query: str
    headers: Mapping[str, str]
    body_bytes: int


class KnownHeads:
    """Heads of whole requests that were taken lately, by their bytes, for all connections with the same limits.

    SDKs and proxies that keep their connection repeat themselves; parsing the same bytes again would take a third of
    a hit's time. What llhttp made of them once, at the start of a request, it would make of them again. Only heads are
    remembered that end in a body of announced length, or in none, and leave the connection open.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, _Head] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, chunk: bytes) -> _Head | None:
        """The head, where the chunk is one whole request with a known head and nothing besides."""
        end = chunk.find(HEAD_END, 0, KNOWN_HEAD_BYTES) + len(HEAD_END)
        head = self._heads.get(chunk[:end])
        return head if head is not None and len(chunk) == end + head.body_bytes else None

    def remember(self, chunk: bytes, request: Request) -> None:
        """Called with each request that lets the connection go on, and the chunk that it came in or that it ended."""
        end = chunk.find(HEAD_END, 0, KNOWN_HEAD_BYTES) + len(HEAD_END)
        body_bytes = len(request.body)
        if len(chunk) != end + body_bytes or not _SPECIAL.isdisjoint(request.headers):
            return
        if len(self._heads) >= KNOWN_HEADS:
            self._heads.clear()
        self._heads[chunk[:end]] = _Head(
            request.method, request.target, request.path, request.query, request.headers, body_bytes
        )


class RequestReader:
    """Hands each request to `deliver` as soon as it is whole. Methods named `on_…` are httptools' callbacks."""

    def __init__(self, limits: Limits, known: KnownHeads, peer: str, deliver: Deliver) -> None:
        self._limits = limits
        self._known = known
        self._peer = peer
        self._deliver = deliver
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: Refusal | None = None
        self._last = False
        self._chunk = b""
        """What is being read, where it began with a request; its end may lie further on."""
        self._fed = 0
        self.phase = IDLE
        self.number = 0
        """Counts the requests that were begun."""
        self.expects_continue = False
        """Whether the sender waits for 100 Continue before it sends the body."""
        self._headers: dict[str, str] = {}

    @property
    def origin(self) -> str | None:
        """The page that sends what is unfinished, which may read why it is refused; any, where its head is not read."""
        if self.phase == IDLE:
            return None
        return self._headers.get("origin") if self._headers else ANY

    def feed(self, data: bytes) -> None:
        """Raises Refusal, after what came whole before it was delivered; the reader is of no use from then on."""
        number = self.number
        self._chunk = data if self.phase == IDLE and not self._last else b""
        if (head := self._known.find(self._chunk)) is not None:
            self.number += 1
            body = data[-head.body_bytes :] if head.body_bytes else b""
            request = Request(head.method, head.target, head.path, head.query, head.headers, body, self._peer)
            self._deliver(request, False, False)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request itself was delivered, as the last one. What follows is in another protocol.
            return
        except httptools.HttpParserError as error:
            # After a request that said it is the last, whatever comes is an error to llhttp and nothing to us.
            if not self._last or self.phase != IDLE:
                raise self._refusal or Refusal(malformed(str(error))) from None
        if self.phase != IDLE:
            self._count_unfinished(len(data), same=number == self.number)

    def _count_unfinished(self, more: int, *, same: bool) -> None:
        """Limit what llhttp gathers itself, such as one header, chunk extension or trailer without end.

        The chunk in which a request begins may hold much else and is not counted.
        """
        self._fed = self._fed + more if same else 0
        limits = self._limits
        head_bytes = limits.request_line_bytes + limits.header_bytes
        if self.phase == HEAD and self._fed > head_bytes:
            raise Refusal(_HEADERS_TOO_LARGE)
        if self.phase == BODY and self._fed > head_bytes + limits.body_bytes:
            raise Refusal(_too_large(limits.body_bytes))

    def on_message_begin(self) -> None:
        self.phase = HEAD
        self.number += 1
        self._target = b""
        self._headers = {}
        self._raw: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._fed = 0

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > self._limits.request_line_bytes:
            self._stop(_TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        self.phase = BODY
        self._headers = headers = self._decoded(self._raw)
        keep_alive = self._parser.should_keep_alive()
        # What stays open without asking for it is HTTP/1.1; the version itself is a string that costs to build.
        self._old = (not keep_alive or "connection" in headers) and self._check_old(headers)
        if "host" not in headers and not self._old:
            self._stop(malformed("there is no Host header"))
        if "expect" in headers and not self._old:
            self.expects_continue = headers["expect"].lower() == "100-continue"
        if int(headers.get("content-length", 0)) > self._limits.body_bytes:
            self._stop(_too_large(self._limits.body_bytes))
        if "," in headers.get("transfer-encoding", ""):
            self._stop(_OTHER_ENCODING)  # llhttp lets gzip, chunked through and leaves the gzip to us.
        self._last = not keep_alive or self._parser.should_upgrade()

    def _decoded(self, raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
        headers = {}
        size = len(raw) * HEADER_OVERHEAD_BYTES
        for name, value in raw:
            size += len(name) + len(value)
            headers[name.lower().decode("ascii")] = value.strip().decode("latin-1")
        if size > self._limits.header_bytes:
            self._stop(_HEADERS_TOO_LARGE)
        if len(headers) != len(raw) and sum(name.lower() == b"host" for name, _ in raw) > 1:
            self._stop(malformed("there are two Host headers"))
        return headers

    def _check_old(self, headers: dict[str, str]) -> bool:
        """Whether it is HTTP/1.0; only that and 1.1 are taken."""
        version = self._parser.get_http_version()
        if version == "1.1":
            return False
        if version != "1.0":
            self._stop(_OTHER_VERSION)
        # An old proxy on the way would not see the same end of such a body: a second request could hide in it.
        if "transfer-encoding" in headers:
            self._stop(malformed("HTTP/1.0 has no Transfer-Encoding"))
        return True

    def on_body(self, part: bytes) -> None:
        self._body.append(part)
        self._body_bytes += len(part)
        if self._body_bytes > self._limits.body_bytes:
            self._stop(_too_large(self._limits.body_bytes))
        self.expects_continue = False

    def on_message_complete(self) -> None:
        self.phase = IDLE
        self.expects_continue = False
        path, query, target = _split(self._target)
        method = self._parser.get_method().decode("ascii")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(method, target, path, query, self._headers, body, self._peer)
        if not (self._last or self._old):
            self._known.remember(self._chunk, request)
        self._deliver(request, self._last, self._old)

    def _stop(self, answer: Answer) -> None:
        # httptools does not let an exception of a callback through, only the news that there was one.
        self._refusal = Refusal(answer)
        raise self._refusal


def _split(raw: bytes) -> tuple[str, str, str]:
    """Path, query and both together; the host of an absolute target (`GET http://host/path`) is left out."""
    target = raw.decode("ascii")
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    return unquote(path) if "%" in path else path, query, target


def malformed(what: str) -> Answer:
    return problem(400, "malformed_request", "Malformed request", f"This is no HTTP/1.1 request: {what}.")


def _too_large(limit: int) -> Answer:
    return problem(413, "too_large", "Too large", f"The body is over {limit:,} bytes. Send less in one request.")


_TARGET_TOO_LONG = problem(414, "uri_too_long", "Too large", "The request line is too long. Send by POST.")
_HEADERS_TOO_LARGE = problem(431, "headers_too_large", "Too large", "The headers are too long. Send fewer cookies.")
_OTHER_ENCODING = problem(501, "transfer_encoding", "Not implemented", "The only transfer encoding here is chunked.")
_OTHER_VERSION = problem(505, "http_version", "Not supported", "This port speaks HTTP/1.1 and HTTP/1.0.")
