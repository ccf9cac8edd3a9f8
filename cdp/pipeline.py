"""The path of an event, as a list of steps that can be read aloud.

A micro-batch of hits is translated into events; each step takes the events that are still on their way and returns
those that go on, and gives every other one its outcome. `skip_duplicate` notes the batch and claims its ids before
anything is stored; `commit` writes outcomes, leads and positions and takes the note away, in one transaction, last. So
after a crash the same batch is done again, and doing it again changes nothing.
"""

from __future__ import annotations

import hmac
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog
from sqlalchemy import Engine

from cdp.accounting import forget_refusals, note_refusals
from cdp.batch import Batch, Item
from cdp.begun import Notes
from cdp.errors import ConfigurationError, MalformedHit, Retryable, Superseded
from cdp.live import LiveFeed
from cdp.model import DAY_MS, Dropped, DropReason, Event, Fact, Hit, Position, Source, Trust
from cdp.outbox import Outbox
from cdp.personal import Personal
from cdp.records import writing
from cdp.redactions import LATE, REDACTED, Redactions
from cdp.scrub import scrub_text
from cdp.seen import Place, SeenIds
from cdp.segment_work import SegmentWork
from cdp.tombstones import Tombstones, covered
from cdp.vault import Vault
from collectors.dialect import Translator
from collectors.sources import LiveSources
from identity.gate import Gate
from identity.kinds import Policy
from identity.observation import Observation, assertion, observation_id, row_observation_id, strength_of
from identity.verbs import Identity
from leads.capture import LeadDesk
from profiles.profile import ProfileReader
from profiles.store import EventStore, StoredEvent

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps work with; made once in `cdp.wiring`. A batch is in `gate` together with others who take evidence
    in; an erasure is there alone."""

    dialects: Mapping[str, Translator]
    sources: LiveSources
    seen: SeenIds
    policy: Policy
    personal: Personal
    vault: Vault
    identity: Identity
    events: EventStore
    profiles: ProfileReader
    leads: LeadDesk
    live: LiveFeed
    outbox: Outbox
    records: Engine
    tombstones: Tombstones
    redactions: Redactions
    segment_work: SegmentWork
    gate: Gate = field(default_factory=Gate)
    notes: Notes = field(default_factory=Notes)


Step = Callable[[Tools, Batch, list[Item]], list[Item]]


def process(tools: Tools, batch: Batch) -> None:
    """Take a batch of hits all the way. Raises Retryable where a store is away: then call it again with the same
    hits; Overtaken where another worker does it now. An event on which a step fails ends alone as Dropped(INTERNAL)."""
    translate(tools, batch)
    for step in STEPS:
        batch.items = survivors(step, tools, batch, batch.items)
    commit(tools, batch)
    publish(tools, batch)


def translate(tools: Tools, batch: Batch) -> None:
    """Hits to events, by the dialect that each was sent in."""
    for position, hit in batch.hits:
        if hit is None:
            batch.unreadable(position, source="", received_at=batch.now, detail="The log's record cannot be opened.")
            continue
        if hit.dialect == REDACTED:
            # Whatever was in it has its outcome, unless the redaction came before the hit was processed.
            if not batch.replay:
                batch.translated(position, source=hit.source, received_at=hit.received_at)
            continue
        try:
            found = tools.dialects[hit.dialect].translate(hit, position.hit_id, tools.sources.by_key)
        except Exception as error:
            detail = error.detail if isinstance(error, MalformedHit) else _trace(tools)
            batch.unreadable(position, source=hit.source, received_at=hit.received_at, detail=detail)
            continue
        batch.translated(position, source=hit.source, received_at=hit.received_at)
        for index, record in enumerate(found):
            _admit(batch, hit, position, index, record)


def _admit(batch: Batch, hit: Hit, position: Position, index: int, record: Event | Dropped) -> None:
    place = Place(position.partition, position.offset, index)
    if isinstance(record, Dropped):
        record.received_at = hit.received_at
        batch.drop(record, place)
    elif record.source:
        # Its own key's, also where the hit came with a key of nobody.
        batch.add(record, place)
    else:
        detail = "The hit carries a key of no source."
        unknown = Dropped(source="", reason=DropReason.UNKNOWN_KEY, detail=detail, received_at=hit.received_at)
        batch.drop(unknown, place)


def drop_erased(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
    """What happened before a person was erased does not come back, and the hit that brings it is redacted."""
    if not tools.tombstones:
        return items
    kept = []
    for item in items:
        if tools.personal.erased(item.event):
            batch.erase(item)
        else:
            kept.append(item)
    return kept


def skip_duplicate(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
    """An id counts once per source, at its first place, whatever else comes with it later."""
    places = {item.key: item.place for item in reversed(items)}
    with writing(tools.records, together=True) as connection:
        first, claimed = tools.seen.claim(connection, places)
        noted = claimed if batch.replay else ()
        batch.claimed |= tools.notes.begin(
            connection, batch.ranges, replay=batch.replay, graph_version=batch.graph_version, claimed=noted
        )
    fresh = []
    for item in items:
        if item.key not in batch.claimed and batch.counted_before(item.place):
            continue
        batch.found(item.place, source=item.event.source, received_at=item.event.received_at)
        if first[item.key] == item.place:
            fresh.append(item)
            continue
        batch.repeat(item)
        if tools.tombstones and _first_was_erased(tools, item.event, first[item.key]):
            batch.erased[Position(item.place.partition, item.place.offset)] = False
    return fresh


def _first_was_erased(tools: Tools, event: Event, first: Place) -> bool:
    """Whether an event that came again went with a person: a copy without a time of its own looks like a new one."""
    stones = tools.personal.stones(event)
    if not stones:
        return False
    at = tools.redactions.received_at(first)
    return at is None or covered(stones, occurred_at=at, received_at=at)


def tokenise(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
    """Personal values become tokens; from here on no step meets a clear one but on its way to the vault."""
    for item in items:
        item.proven = bool(item.event.proof) and _proven(item.event, tools.sources.by_id(item.event.source))
        tools.personal.tokenise(item)
    return items


def resolve_identity(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
    """Identifiers that came together become evidence of who is who; the graph is durable when this returns."""
    sets = {item.set: item.event.identifiers for item in items if item.set}
    evidence = []
    for item in items:
        day = item.event.occurred_at // DAY_MS
        for index, (fact, identifiers) in enumerate(item.evidence):
            if len(identifiers) < 2:
                continue
            strength = _strength(tools, item, fact)
            observation = assertion(tools.policy, item.event.source, identifiers, strength, day)
            if observation is not None:
                evidence.append(_named(observation, item, index))
    blocked = {each: reason for item in items for each, reason in item.blocked.items()}
    changes = tools.identity.absorb(sets, evidence, blocked=blocked)
    batch.changed_sets.update(changes.sets)
    return items


def _named(said: Observation, item: Item, index: int) -> Observation:
    """What an event says under the name by which it is taken back: mostly that of the day's assertion."""
    if item.event.origin:
        # Each row of a file for itself, so that an import which is undone takes nothing with it that others said.
        return msgspec.structs.replace(said, id=row_observation_id(item.event.origin, item.event.id, index))
    if item.reborn:
        # On the day of an erasure the same is said before and after it, and only the first is taken back.
        return msgspec.structs.replace(said, id=observation_id(f"{said.id}\0{item.reborn}"))
    return said


def store_events(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
    """Events and their traits, durable when this returns; the same batch written again changes nothing."""
    if not items:
        return items
    for name, block in batch.blocks(items):
        rows = [StoredEvent(item.event, item.set) for item in block]
        tools.events.write(rows, token=name, again=batch.again)
    batch.store(items)
    return items


def capture_lead(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
    """A form in a tracked event captures a lead with its trail; events that came late join recent leads."""
    rows = [StoredEvent(item.event, item.set) for item in items]
    # Late events first: what a trail that is frozen now holds need not be added to it.
    late = tools.leads.additions_for(rows, batch.changed_sets, at=batch.now)
    drafts = [tools.leads.from_event(item.event, item.contact, item.set) for item in items if item.contact]
    leads = tools.leads.freeze(drafts, at=batch.now)
    batch.leads.append((leads, late))
    return items


def _proven(event: Event, source: Source | None) -> bool:
    """Whether the identify carries the signature of the team's server for the user id that it claims."""
    if source is None or not source.secret:
        return False
    claimed = next((each.value for each in event.identifiers if each.kind == "member_id"), "")
    expected = hmac.new(source.secret.encode(), claimed.encode(), "sha256").hexdigest()
    return hmac.compare_digest(expected.encode(), event.proof.lower().encode())


def _strength(tools: Tools, item: Item, fact: Fact) -> int:
    source = tools.sources.by_id(item.event.source)
    return strength_of(fact, source.trust if source else Trust.PUBLIC, item.proven)


STEPS: tuple[Step, ...] = (drop_erased, skip_duplicate, tokenise, resolve_identity, store_events, capture_lead)


def survivors(step: Step, tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
    """Run a step; where it raises, halve until the event it fails on stands alone, and end that one."""
    try:
        return step(tools, batch, items)
    except (Retryable, Superseded, ConfigurationError):
        raise
    except Exception:
        if not items:
            raise
        if len(items) == 1:
            trace = _trace(tools)
            log.error("event_failed", step=step.__name__, event_id=items[0].event.id, trace=trace)
            batch.fail(items[0], trace)
            return []
    # Outside, or the trace of the last would tell those of all halves before it.
    middle = len(items) // 2
    return survivors(step, tools, batch, items[:middle]) + survivors(step, tools, batch, items[middle:])


def commit(tools: Tools, batch: Batch) -> None:
    """Everything that must become true together, in one transaction."""
    clear = {token: value for item in batch.stored for token, value in item.clear.items()}
    tools.gate.check()
    with writing(tools.records, together=True) as connection:
        tools.notes.finish(connection, batch.ranges, replay=batch.replay)
        tools.vault.remember(connection, clear, at=batch.now)
        tools.seen.count_again(connection, [item.key for item in batch.repeats])
        tools.seen.forget(connection, batch.unclaimed)
        forget_refusals(connection, batch.overruled)
        note_refusals(connection, batch.refusals)
        tools.redactions.note(connection, LATE, batch.erased)
        for leads, late in batch.leads:
            tools.leads.write(connection, leads, late)
        stored = ((item.set, item.event) for item in batch.stored)
        tools.segment_work.stored(connection, stored, at=batch.now)
        # Last: of all workers' rows these are the same, and are locked from here to the end.
        batch.tally.write(connection)
    tools.vault.committed(clear)
    for leads, late in batch.leads:
        tools.leads.written(leads, late)


def publish(tools: Tools, batch: Batch) -> None:
    """Tell whoever listens what became of each event, and of persons."""
    tools.profiles.touch({item.set for item in batch.stored} | batch.changed_sets)
    tools.live.publish(batch)
    tools.outbox.tell()
    tools.segment_work.due.set()
    if batch.erased:
        tools.redactions.due.set()


def _trace(tools: Tools) -> str:
    """The present exception's trace, without clear values."""
    return scrub_text(traceback.format_exc(limit=-8), tools.vault.token)
