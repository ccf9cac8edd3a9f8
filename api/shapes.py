"""The answers as they go out: what each call promises, for the code, the OpenAPI document and the tests.

Times are RFC 3339 in UTC with milliseconds. Events and leads are made by the stores as dicts of just these shapes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cdp.erasure_jobs import Receipt


class Wrong(msgspec.Struct, frozen=True):
    """One field that is wrong: what was expected, what came, and what to do."""

    path: str = ""
    expected: str = ""
    got: str = ""
    help: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457; `detail` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Wrong] = []


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A registered sender; `id` is its name, `key` the newest of `keys`. `rate_limit` is hits a second, `client_limit`
    form submissions a minute of one address; 0 for none."""

    id: str
    name: str
    kind: str
    keys: list[str]
    key: str
    trust: str
    origins: list[str]
    enabled: bool
    rate_limit: int
    client_limit: int
    appid: str


class MadeSource(Source, frozen=True, kw_only=True):
    """`secret` signs `context.proof`; it is shown here only."""

    secret: str


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    sources: list[Source]
    next: str | None


class Key(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    role: str
    created_at: str
    revoked_at: str | None


class MadeKey(Key, frozen=True, kw_only=True):
    """`key` is the secret; it is shown here only."""

    key: str


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[Key]
    next: str | None


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """accepted = processed + pending."""

    partition: int
    accepted: int
    processed: int
    pending: int


class HitCounts(msgspec.Struct, frozen=True, kw_only=True):
    translated: int
    unreadable: int


class EventCounts(msgspec.Struct, frozen=True, kw_only=True):
    """found = stored + duplicate + quarantined + the sum of dropped."""

    found: int
    stored: int
    duplicate: int
    quarantined: int
    dropped: dict[str, int]


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    hour: str
    hits: HitCounts
    events: EventCounts


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`spooled`, where the log is on brokers: hits that were answered and wait on collectors for them to be back."""

    partitions: list[Partition]
    rows: list[AccountRow]
    balanced: bool
    spooled: int | None = None


class Identifier(msgspec.Struct, frozen=True, kw_only=True):
    """A value is masked unless the key may see it."""

    kind: str
    value: str


class App(msgspec.Struct, frozen=True, kw_only=True):
    id: str | None
    name: str | None
    version: str | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    url: str | None
    path: str | None
    title: str | None
    referrer: str | None


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    source: str | None
    medium: str | None
    name: str | None
    term: str | None
    content: str | None
    click_ids: dict[str, str]


class Device(msgspec.Struct, frozen=True, kw_only=True):
    kind: str | None
    os: str | None
    os_version: str | None
    browser: str | None
    model: str | None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened; `occurred_at` is theirs, `received_at` ours. `subject` is the strongest identifier."""

    id: str
    client_id: str
    type: str
    name: str
    original_name: str
    occurred_at: str
    received_at: str
    source: str
    dialect: str
    platform: str | None
    app: App
    session: str | None
    subject: Identifier | None
    identifiers: list[Identifier]
    page: Page
    campaign: Campaign
    device: Device
    locale: str | None
    ip_city: str | None
    properties: dict[str, Any]
    hit: str


class FoundEvent(Event, frozen=True, kw_only=True):
    """An event with what became of it: its person now, and how often it came again."""

    outcome: str
    person: str | None
    again: int


class RefusedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was not kept, and why."""

    id: str
    source: str
    received_at: str
    hit: str
    outcome: str
    reason: str
    detail: str
    person: str | None
    again: int


class Events(msgspec.Struct, frozen=True, kw_only=True):
    events: list[Event]
    next: str | None


class HitEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What one record of a hit became: stored, duplicate (`first_hit` has the first of it), dropped or pending.

    `id`, `type` and `name` are null where the record is no event.
    """

    index: int
    id: str | None
    type: str | None
    name: str | None
    outcome: str
    reason: str | None
    detail: str | None
    first_hit: str | None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it came. `body` is text, or base64 as `encoding` says.

    Without the permission to see clear values the query is left out and the body shown only where it is JSON, with
    personal values masked; else `body` is null and `withheld` says why.
    """

    id: str
    received_at: str
    source: str
    dialect: str
    method: str
    target: str
    headers: dict[str, str]
    client_ip: str
    body: str | None
    encoding: str
    withheld: str | None
    state: str
    problem: str | None
    events: list[HitEvent]


class PersonIdentifier(Identifier, frozen=True, kw_only=True):
    first_seen: str | None
    last_seen: str | None


class Trait(msgspec.Struct, frozen=True, kw_only=True):
    """A value, and the source and time of the event that it was last changed by."""

    value: Any
    source: str
    at: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Identifiers are sorted by kind, first_seen and value."""

    id: str
    identifiers: list[PersonIdentifier]
    traits: dict[str, Trait]
    first_seen: str | None
    last_seen: str | None
    events: int
    segments: list[str]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Who decided something, when and why; `by` is '' and `at` null where an erasure did."""

    reason: str
    by: str
    at: str | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An observation: identifiers that came together. `strength` is 9 for a steward's word, which has a `note`, and 5
    (proved) to 1 (seen together) else; `at` is the event's own time, or the beginning of its day. `retracted` is there
    once it was taken back."""

    id: str
    source: str
    strength: int
    at: str
    note: Note | msgspec.UnsetType = msgspec.UNSET
    retracted: Note | msgspec.UnsetType = msgspec.UNSET


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A merge, split or move: `others` became this person, left it, or took identifiers from it. `cause` names the
    observation that brought it about, which `evidence` tells; both are null where evidence was taken away. `version`
    is the graph's since."""

    kind: str
    person: str
    others: list[str]
    cause: str | None
    evidence: Evidence | None
    version: int
    at: str


class History(msgspec.Struct, frozen=True, kw_only=True):
    history: list[Change]
    next: str | None


class BilingualText(msgspec.Struct, frozen=True, kw_only=True):
    zh: str
    en: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """`changed` counts the records that came out otherwise than before."""

    id: str
    hits: int
    total: int
    changed: int
    done: bool


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """`state` is waiting, running or done; `step` names what is being done, of `steps` of which some are done.
    `receipt` is null until the end."""

    id: str
    person: str
    reason: str
    by: str
    requested_at: str
    state: str
    step: str | None
    steps_done: int
    steps: int
    hits_looked_at: int
    receipt: Receipt | None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of evidence: identifiers that came together, or with `different` two that are not one person's."""

    id: str
    source: str
    strength: int
    at: str
    different: bool
    identifiers: list[Identifier]


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a person; `person` is a Person, `leads` are whole. Oldest first."""

    person: msgspec.Raw
    events: list[dict[str, Any]]
    leads: list[dict[str, Any]]
    history: list[Change]
    observations: list[Said]


class StoreState(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool
    ms: int


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    stores: dict[str, StoreState]
