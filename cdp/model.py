"""The nouns that every package shares: hits, events, identifiers, sources and the outcome of an event.

Everything here is immutable by convention and made of msgspec structs, because each event passes through these
types and a dataclass costs five times as much to build. None can be part of a cycle, so those that come with every
event are hidden from the garbage collector. Times are integers: milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, NewType

import msgspec

Millis = int
"""Milliseconds since 1970-01-01T00:00Z."""
DAY_MS: Millis = 86_400_000

EventId = NewType("EventId", str)
PersonId = NewType("PersonId", str)
SetId = NewType("SetId", int)
"""Names a set of identifiers; 63 bits of a hash of its members, so that every process gives the same."""

Window = tuple[Millis | None, Millis | None]
"""A stretch of event time, the end excluded; None where it is open."""
ALWAYS: Window = (None, None)

Windows = Mapping[SetId, Sequence[Window]]
"""When the events of a set are meant, in order and without overlap; a set that is not named is meant at all times."""
NO_WINDOWS: Windows = {}


class Position(NamedTuple):
    """Where a hit lies in the log. Offsets of one partition are dense and begin at 0."""

    partition: int
    offset: int

    @property
    def hit_id(self) -> str:
        return f"{self.partition}-{self.offset}"

    @classmethod
    def of_hit(cls, hit_id: str) -> Position:
        """Raises ValueError where `hit_id` was not made by `hit_id`."""
        partition, _, offset = hit_id.partition("-")
        if partition.isdecimal() and offset.isdecimal():
            position = cls(int(partition), int(offset))
            if position.hit_id == hit_id:
                return position
        raise ValueError(f"a hit id looks like 0-123, {hit_id!r} does not")


class SourceKind(StrEnum):
    SITE = "site"
    MINI_PROGRAM = "mini_program"
    APP = "app"
    SERVER = "server"
    FORM = "form"
    FILE = "file"
    ADS = "ads"


class Trust(StrEnum):
    """PUBLIC: the key can be read by everybody (site, mini-program, app), so what it claims proves little."""

    PUBLIC = "public"
    SERVER = "server"


CLIENT_LIMIT = 60
"""Form submissions a minute of one address, unless a source says otherwise: at a motor show hundreds of visitors share
one, and a stand takes some ten leads a minute; a robot sends as many in a second."""

PUBLIC_KINDS = frozenset({SourceKind.SITE, SourceKind.MINI_PROGRAM, SourceKind.APP, SourceKind.FORM})


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A registered sender. `id` is its unique name; `keys` are one or two live write keys, newest first.

    `origins` empty means any origin; `rate_limit` is hits a second and key in each collector process, 0 for none;
    `client_limit` is form submissions a minute of one client address, 0 for none; `secret` signs `context.proof` and
    what an ad platform pushes; `appid` completes an openid that comes without one.
    """

    id: str
    kind: SourceKind
    keys: tuple[str, ...] = ()
    trust: Trust = Trust.PUBLIC
    origins: tuple[str, ...] = ()
    rate_limit: int = 0
    client_limit: int = CLIENT_LIMIT
    enabled: bool = True
    secret: str = ""
    appid: str = ""

    def __repr__(self) -> str:
        return f"Source(id={self.id!r}, kind={self.kind.value!r})"


class Hit(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """One HTTP request of an SDK as it came, less what nobody reads; lies encrypted in the log.

    `source` is the id of the source whose key the request carries; `headers` holds the few that translation needs,
    with lower-case names; `target` is path and query as on the request line; `body` is as on the wire.
    """

    received_at: Millis
    source: str
    dialect: str
    method: str
    target: str
    headers: dict[str, str]
    client_ip: str
    body: bytes

    def __repr__(self) -> str:
        return f"Hit(source={self.source!r}, dialect={self.dialect!r}, {len(self.body)} bytes)"


class Identifier(msgspec.Struct, frozen=True, order=True, gc=False):
    """A (kind, value) pair, normalised; `value` is a token for the kinds in `PERSONAL_KINDS` once tokenised."""

    kind: str
    value: str

    def __repr__(self) -> str:
        return f"{self.kind}:{mask(self.value)}"


PERSONAL_KINDS = frozenset({"phone", "email", "id_card", "vin", "plate"})
"""Kinds whose values become keyed-hash tokens before anything but the vault stores them."""


def mask(value: str) -> str:
    """Enough to recognise a value by, too little to use it: +86138****8000, l****@example.com, 110****31X."""
    if "@" in value:
        name, _, host = value.partition("@")
        return f"{name[:1] if len(name) > 1 else ''}****@{host}"
    if value.lstrip("+").isdecimal() and 11 <= len(value) <= 14:
        return f"{value[:-8]}****{value[-4:]}"
    if len(value) >= 12:
        return f"{value[:3]}****{value[-3:]}"
    return f"{value[:2]}****" if len(value) >= 6 else f"{value[:1]}****"


class EventType(StrEnum):
    TRACK = "track"
    PAGE = "page"
    CLICK = "click"
    IDENTIFY = "identify"
    ALIAS = "alias"
    GROUP = "group"
    PROFILE = "profile"
    ITEM = "item"


class Operation(StrEnum):
    """What a trait row does when the rows of a person are folded in the order of `occurred_at`."""

    SET = "set"
    SET_ONCE = "set_once"
    INCREMENT = "increment"
    APPEND = "append"
    UNSET = "unset"
    DELETE = "delete"


class TraitChange(msgspec.Struct, frozen=True, gc=False):
    """One change of one trait; `value` is JSON text. DELETE clears all traits, and its name is ''."""

    operation: Operation
    name: str
    value: str = "null"


class Fact(StrEnum):
    """What an event says of the identifiers that came with it; with the source's trust it gives the strength."""

    LOGIN = "login"
    FORM = "form"
    CO_OCCURRENCE = "co_occurrence"


class App(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    id: str = ""
    name: str = ""
    version: str = ""


class Page(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    url: str = ""
    path: str = ""
    title: str = ""
    referrer: str = ""


class Campaign(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    source: str = ""
    medium: str = ""
    name: str = ""
    term: str = ""
    content: str = ""
    click_ids: dict[str, str] = {}


class Device(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`kind` is one of desktop, mobile, tablet, tv, car, bot, '' (not known)."""

    kind: str = ""
    os: str = ""
    os_version: str = ""
    browser: str = ""
    model: str = ""


NO_APP, NO_PAGE, NO_CAMPAIGN, NO_DEVICE = App(), Page(), Campaign(), Device()


class Event(msgspec.Struct, kw_only=True, gc=False):
    """One thing that happened. `id` is made of source and `client_id`; `properties` is the JSON text of an object.

    `occurred_at` is the sender's time, corrected for a wrong clock; `received_at` is ours. `identifiers` are
    normalised, strongest first, without repeats. `proof` is the signature that came with an identify, or ''; `origin`
    the import that a row of a file came with, or ''.
    """

    id: EventId
    client_id: str
    type: EventType
    name: str
    original_name: str
    occurred_at: Millis
    received_at: Millis
    source: str
    dialect: str
    hit: str
    platform: str = ""
    app: App = NO_APP
    session: str = ""
    identifiers: tuple[Identifier, ...] = ()
    page: Page = NO_PAGE
    campaign: Campaign = NO_CAMPAIGN
    device: Device = NO_DEVICE
    locale: str = ""
    ip: str = ""
    ip_city: str = ""
    properties: bytes = b"{}"
    traits: tuple[TraitChange, ...] = ()
    fact: Fact = Fact.CO_OCCURRENCE
    proof: str = ""
    origin: str = ""

    def __repr__(self) -> str:
        return f"Event({self.id}, {self.name!r}, source={self.source!r})"


class DropReason(StrEnum):
    """Why an event was not kept. `sentence` says who meets it and what they can do."""

    MALFORMED_EVENT = "MALFORMED_EVENT"
    EVENT_TOO_LARGE = "EVENT_TOO_LARGE"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    BOT = "BOT"
    ERASED = "ERASED"
    INTERNAL = "INTERNAL"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    DropReason.MALFORMED_EVENT: "The record is no event of its dialect; its detail names the field.",
    DropReason.EVENT_TOO_LARGE: "The event has more than 1 MB; the front-end team sends less in its properties.",
    DropReason.UNKNOWN_KEY: "The event's key is of no enabled source; create or enable one, or mend the SDK's key.",
    DropReason.BOT: "A robot sent the form, as its trap, haste or name tells; a page that people fail at is mended.",
    DropReason.ERASED: "Its person was erased after it happened; nobody need do anything, and its hit is redacted.",
    DropReason.INTERNAL: "A step of ours failed on this event; the trace is kept with it, and we mend it.",
}


class Dropped(msgspec.Struct, kw_only=True, gc=False):
    """An event that ends here: what was found in a hit, at which `index`, and why it is not kept.

    `source` is '' where the key is of no source. `detail` never holds a value of the event. `received_at` is the
    hit's, and the pipeline writes it in.
    """

    source: str
    reason: DropReason
    detail: str
    index: int = 0
    hit: str = ""
    received_at: Millis = 0


def as_json(value: Any) -> str:
    """Compact JSON text, keys in their order, Chinese as it is."""
    return msgspec.json.encode(value).decode()
