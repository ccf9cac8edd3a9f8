"""Turn one request into one answer and, where it is a hit, into one durable record of the log.

Nothing here knows sockets, and nothing here understands an event: the dialect finds the key and proves the body
readable, the source says who sends, and what came is kept as it came. 200 is said after the log has synced.
"""

from __future__ import annotations

import asyncio
import re
import time
from asyncio import Future
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Protocol
from zlib import crc32

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cdp.errors import Rejected, Retryable, TooManyRequests, UnknownSource
from cdp.log import LogWriter
from cdp.model import Hit, Millis, Position, Source, Trust
from cdp.vault import Cipher
from collectors.cors import check_origin, cors_lines, preflight
from collectors.counts import Counts
from collectors.dialect import Answer, Checking, Dialect, Envelope, Page, Registry, Request, Unreadable, taker
from collectors.http_answer import Reply, failure, problem
from collectors.limits import RateLimits
from collectors.proxies import Proxies, network_of

KEPT_HEADERS = frozenset(
    {
        "compress",
        "content-encoding",
        "content-type",
        "dry-run",
        "posthog-request-timestamp",
        "posthog-sdk-info",
        "referer",
        "sentat",
        "sp-anonymous",
        "user-agent",
        "x-compress-codec",
        "x-crypt-codec",
    }
)
"""What a translation may need. Never one that carries a key."""

STRANGERS = ""
"""What stands for the source in a hit whose key is of none, where its dialect keeps such hits."""
HIT_BYTES = 600
"""About what a hit takes in the log besides target and body."""
STRANGERS_BYTES_PER_S = 64 * 1024
"""Of such hits together; more are answered and counted, but not kept: strangers must not fill the disk."""

REMEMBERED_ROUTES = 256
MINUTE_S = 60.0
_METHODS = ("GET", "POST")

_encode = msgspec.msgpack.Encoder().encode


class Sources(Protocol):
    def by_key(self, key: str) -> Source | None:
        """The enabled source with this live key."""


class Accept:
    """Answers all requests of one collector process; call it with a request and a way to reply, in the event loop.

    `ready` says whether the process has all that it needs besides its log; `clock` gives the time of receipt.
    """

    def __init__(
        self,
        *,
        dialects: Registry,
        sources: Sources,
        log: LogWriter,
        cipher: Cipher,
        proxies: Proxies | None = None,
        limits: RateLimits | None = None,
        ready: Callable[[], bool] = lambda: True,
        clock: Callable[[], Millis] = lambda: time.time_ns() // 1_000_000,
        pages: Sequence[Page] = (),
    ) -> None:
        self._pages = pages
        self._dialects = tuple(dialects.values())
        self._checks = {each.name: each.checked for each in dialects.values() if isinstance(each, Checking)}
        self._route = lru_cache(REMEMBERED_ROUTES)(partial(taker, self._dialects))
        self._sources = sources
        self._log = log
        self._seal = cipher.seal
        self._proxies = proxies or Proxies()
        self._limits = limits or RateLimits()
        self._ready = ready
        self._clock = clock
        self.counts = Counts(log.name, log.spooled)
        self._metrics = CollectorRegistry()
        self._metrics.register(self.counts)
        ProcessCollector(registry=self._metrics)

    def __call__(self, request: Request, reply: Reply) -> None:
        # Who looks with HEAD whether something is there, such as a link checker, is no visitor.
        looks = request.method == "HEAD"
        if looks:
            request.method = "GET"
        dialect = self._route(request.method, request.path)
        if dialect is not None and not looks:
            self._take(dialect, request, reply)
        else:
            reply(self._answer_other(request), cors_lines(request.headers.get("origin")))

    # Hits.

    def _take(self, dialect: Dialect, request: Request, reply: Reply) -> None:
        lines = cors_lines(request.headers.get("origin"))
        try:
            envelope, complaint = _read(dialect, request)
            received_at = self._clock()
            request.client_ip = self._proxies.client(request.client_ip, request.headers.get("x-forwarded-for"))
            sender = self._admit(dialect, envelope, request, complaint)
            if sender is not None and complaint is None and dialect.name in self._checks:
                envelope = self._checked(dialect, request, envelope, sender, received_at)
            source = STRANGERS if sender is None else sender.id
            if complaint is not None and complaint.instead is not None:
                request.body = complaint.instead
            sealed = self._seal(_encode(_hit(request, envelope, source, dialect, received_at)))
            kept = asyncio.ensure_future(self._log.append(sealed, received_at, key=_visitor(request, sender)))
        except Exception as error:
            # Also to a page of a wrong origin: one that may not read 403 takes it for a broken network, and sends
            # the same again for ever.
            reply(self._refuse(dialect, request, error), lines)
        else:
            # A callback, not a task that awaits: a task per hit costs as much as parsing the request.
            kept.add_done_callback(partial(self._kept, dialect, request, source, envelope, complaint, lines, reply))

    def _admit(
        self, dialect: Dialect, envelope: Envelope, request: Request, complaint: Unreadable | None
    ) -> Source | None:
        """The source for which the hit is kept; None where it is a stranger's."""
        key, other = envelope.key, envelope.other_key
        source = self._sources.by_key(key) if key else None
        if source is None and other:
            # One bucket for the source's key, whatever is put behind it.
            key, source = other, self._sources.by_key(other)
        if source is None:
            if dialect.keeps_unknown_keys and complaint is None and self._has_room(request):
                return None
            raise UnknownSource
        if source.origins:
            check_origin(request.headers.get("origin"), source.origins)
        if source.rate_limit:
            wait_s = self._limits.wait_s(key, source.rate_limit)
            if wait_s:
                raise TooManyRequests(wait_s)
        if envelope.results is not None:
            envelope.results.check_keys(self._sources.by_key)
        return source

    def _checked(self, dialect: Dialect, request: Request, envelope: Envelope, source: Source, now: Millis) -> Envelope:
        """What few dialects ask for: a limit for each client address, and a look of their own."""
        # Everybody who sends with a server's key has the server's address.
        if envelope.per_client and source.client_limit and source.trust is Trust.PUBLIC:
            client = f"{source.id}\0{network_of(request.client_ip)}"
            wait_s = self._limits.wait_s(client, source.client_limit / MINUTE_S, burst_s=MINUTE_S)
            if wait_s:
                raise TooManyRequests(wait_s)
        return self._checks[dialect.name](request, envelope, source, now)

    def _has_room(self, request: Request) -> bool:
        """Whether one more hit of a stranger may be kept now."""
        size = HIT_BYTES + len(request.target) + len(request.body)
        return not self._limits.wait_s(STRANGERS, STRANGERS_BYTES_PER_S, take=size)

    def _kept(
        self,
        dialect: Dialect,
        request: Request,
        source: str,
        envelope: Envelope,
        complaint: Unreadable | None,
        lines: bytes,
        reply: Reply,
        kept: Future[Position | None],
    ) -> None:
        """The log has synced, or could not: the moment at which the sender may be told. A hit that waits in a spool has
        no name yet."""
        try:
            position = kept.result()
            if position is not None:
                lines = b"X-Xunji-Hit: %b\r\n%b" % (position.hit_id.encode(), lines)
            if complaint is None:
                self.counts.kept[source, dialect.name, "readable"] += 1
                answer = dialect.accepted(request, envelope)
            else:
                self.counts.kept[source, dialect.name, "unreadable"] += 1
                answer = dialect.refused(request, complaint) or _problem_of(complaint)
        except (Exception, asyncio.CancelledError) as error:
            answer = self._refuse(dialect, request, error)
        reply(answer, lines)

    def _refuse(self, dialect: Dialect, request: Request, error: BaseException) -> Answer:
        """The answer to a hit that is not kept."""
        self.counts.refused[dialect.name, _code(type(error).__name__)] += 1
        if not isinstance(error, Rejected):
            return _problem_of(error)
        try:
            return dialect.refused(request, error) or _problem_of(error)
        except Exception as fault:
            return failure(fault)

    # Everything else.

    def _answer_other(self, request: Request) -> Answer:
        if request.method == "OPTIONS":
            return preflight(request)
        page = _PAGES.get(request.path)
        try:
            if page is not None:
                return page(self) if request.method == "GET" else _wrong_method("GET")
            answer = self._config(request) if request.method in _METHODS else None
            return answer or self._nothing_here(request)
        except Exception as error:
            return failure(error)

    def _config(self, request: Request) -> Answer | None:
        asked = (*(dialect.config for dialect in self._dialects), *self._pages)
        return next((answer for each in asked if (answer := each(request)) is not None), None)

    def _nothing_here(self, request: Request) -> Answer:
        allowed = [method for method in _METHODS if self._takes(method, request)]
        if allowed:
            return _wrong_method(", ".join(allowed))
        return problem(404, "not_found", "Not found", "No SDK sends to this path. Compare the SDK's server address.")

    def _takes(self, method: str, request: Request) -> bool:
        asked = msgspec.structs.replace(request, method=method)
        return self._route(method, request.path) is not None or self._config(asked) is not None

    def _health(self) -> Answer:
        return _state(self._log.healthy())

    def _readiness(self) -> Answer:
        return _state(self._log.healthy() and self._ready())

    def _counted(self) -> Answer:
        return Answer(200, generate_latest(self._metrics), CONTENT_TYPE_LATEST)


_PAGES: dict[str, Callable[[Accept], Answer]] = {
    "/healthz": Accept._health,
    "/readyz": Accept._readiness,
    "/metrics": Accept._counted,
}


def _read(dialect: Dialect, request: Request) -> tuple[Envelope, Unreadable | None]:
    try:
        return dialect.read(request), None
    except Unreadable as complaint:
        return Envelope(complaint.key, 0, complaint.other_key), complaint


def _hit(request: Request, envelope: Envelope, source: str, dialect: Dialect, received_at: Millis) -> Hit:
    headers = request.headers
    return Hit(
        received_at=received_at,
        source=source,
        dialect=dialect.name,
        method=request.method,
        target=envelope.target or request.target,
        headers={name: headers[name] for name in headers if name in KEPT_HEADERS},
        client_ip=request.client_ip,
        body=request.body,
    )


def _visitor(request: Request, source: Source | None) -> bytes:
    """Hits of one visitor's device have the same, so that they keep their order in the log.

    It lies unsealed there: enough to share visitors out by, and too little to know one again. What a server sends is of
    everybody, and would all be one's.
    """
    if source is not None and source.trust is Trust.SERVER:
        return b""
    device = f"{request.client_ip} {request.headers.get('user-agent', '')}".encode()
    return (crc32(device) & 0xFFFF).to_bytes(2, "big")


def _state(good: bool) -> Answer:
    if good:
        return Answer(200, b'{"status":"ok"}')
    return problem(503, "unavailable", "Unavailable", "The log takes no writes. See `cdp doctor`.", retry_after_s=5)


def _wrong_method(allowed: str) -> Answer:
    answer = problem(405, "wrong_method", "Wrong method", f"This path takes {allowed}.")
    return Answer(answer.status, answer.body, answer.content_type, {"Allow": allowed})


def _problem_of(error: BaseException) -> Answer:
    """Errors of the tree in `cdp.errors` in their own words; anything else is a fault of ours."""
    if isinstance(error, Rejected):
        wait_s = error.retry_after_s if isinstance(error, TooManyRequests) else 0
        code = _code(type(error).__name__)
        return problem(error.status, code, error.title, error.detail, errors=error.errors, retry_after_s=wait_s)
    if isinstance(error, Retryable):
        return problem(503, "unavailable", "Unavailable", str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, asyncio.CancelledError):
        return problem(503, "unavailable", "Unavailable", "The collector is stopping. Send again.", retry_after_s=1)
    return failure(error)


@lru_cache(maxsize=64)
def _code(error: str) -> str:
    """UnknownSource is unknown_source."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", error).lower()
