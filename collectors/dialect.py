"""What a dialect is: the seam between the intake server, which knows sockets and no SDK, and the dialects.

A dialect is used at two moments. In the collector, `read` finds the key and proves that the body can be read, in
microseconds, building no objects out of properties. In the worker, `translate` makes events of the kept hit. A
dialect that was wrong can so be mended and its hits translated again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import msgspec

from cdp.errors import Rejected
from cdp.model import Dropped, Event, Hit, Millis, Source
from collectors.results import Results

MAX_BODY_BYTES = 20 * 1024 * 1024
"""Of one request, after decompression; a larger one is answered 413."""
MAX_EVENT_BYTES = 1024 * 1024
"""Of one event; a larger one ends as Dropped(EVENT_TOO_LARGE), the others of its hit go on."""
MAX_EVENTS = 5_000
"""In one request; more is answered 413."""


class Request(msgspec.Struct):
    """One parsed HTTP request. Header names are lower case; of repeated headers the last counts.

    `target` is the request line's, unchanged; `path` is what stands before '?', percent-decoded; `query` is the
    raw text after it. `client_ip` is the peer, or the client that a trusted proxy names.
    """

    method: str
    target: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client_ip: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: the intake server adds Content-Length, Date, CORS and X-Xunji-Hit."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Envelope(msgspec.Struct, frozen=True):
    """What `read` learnt of a request: the key that decides (header or query, else the first in the body), and
    how many events it carries. `key` is '' where the request names none; `other_key` is another spelling of it, tried
    where that is of no source. `results` are those of the records, where the sender asked for them. `per_client` holds
    each client address to the source's `client_limit`; `target` is kept in place of one that carries a secret."""

    key: str
    events: int
    other_key: str = ""
    results: Results | None = None
    per_client: bool = False
    target: str = ""


class Unreadable(Rejected):
    """Raised by `read` when the key is known but the body is not readable; the hit is kept and counted.

    `key` and `other_key` are as in Envelope; `instead` is kept in place of a body that is too large to keep.
    """

    title = "Unreadable hit"

    def __init__(self, key: str, detail: str, *, other_key: str = "", instead: bytes | None = None) -> None:
        self.key = key
        self.other_key = other_key
        self.instead = instead
        super().__init__(detail)


class SourceOfKey(Protocol):
    def __call__(self, key: str) -> Source | None:
        """The enabled source with this live key."""


class Translator(Protocol):
    """What the worker needs of a dialect. Stateless: one instance serves all hits."""

    name: str

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        """All records of a hit, in their order, each once.

        Pure but for `source_of_key`: the same hit gives the same events and ids. A record that is no event
        becomes Dropped with its index. Raises MalformedHit where the hit as a whole cannot be read.
        """


class Dialect(Translator, Protocol):
    """One SDK family, in the collector and in the worker."""

    keeps_unknown_keys: bool
    """Whether a readable hit with a key of no source is answered and kept, within a limit on bytes, so that its
    events are in the accounting as Dropped(UNKNOWN_KEY). Else it is refused, and only counted in a metric."""

    def handles(self, method: str, path: str) -> bool:
        """Whether a request with this method (GET, POST) and path carries a hit of ours."""

    def config(self, request: Request) -> Answer | None:
        """The answer to a request that is no hit, such as an SDK asking for its settings; None where it is none."""

    def read(self, request: Request) -> Envelope:
        """Find the key and prove the body readable.

        Raises Unreadable where it is not, TooLarge over the limits above. Never looks a key up.
        """

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        """The answer to a hit that is now durable."""

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        """The dialect's own answer to a refusal (Sensors answers 200 to everything), None for problem+json."""


@runtime_checkable
class Checking(Protocol):
    """A dialect that takes a hit only after a look for which it needs the source, such as at a signature."""

    def checked(self, request: Request, envelope: Envelope, source: Source, now: Millis) -> Envelope:
        """The envelope that `accepted` gets. Asked of a readable hit, after its key, origin and rate; `now` is its
        time of receipt. Raises Rejected, and then nothing is kept."""


Registry = Mapping[str, Dialect]
"""Dialects by name, in the order in which they are asked whether a request is theirs."""


Page = Callable[[Request], Answer | None]
"""Answers a GET for something that is served beside the dialects; None where it is not asked for."""


def taker(dialects: Iterable[Dialect], method: str, path: str) -> Dialect | None:
    """The first that takes hits at this path, None where there is none."""
    return next((dialect for dialect in dialects if dialect.handles(method, path)), None)
