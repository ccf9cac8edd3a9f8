"""The desk where leads are captured and kept up to date for a day.

A lead comes by a call or in a tracked event. Either way what it says of identifiers becomes evidence first, then
the trail of the person is frozen, then the lead is written; a repeat of it finds the lead that is there. An event
of a batch is frozen and written with its batch, so doing the batch again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from sqlalchemy import Connection, Engine

from cdp.model import NO_WINDOWS, Event, Fact, Identifier, Millis, PersonId, SetId, Trust, Windows
from cdp.moments import now_ms
from cdp.records import reading, writing
from cdp.segment_work import Captured, SegmentWork
from cdp.vault import Vault
from identity.gate import REQUEST_S, Gate
from identity.observation import Observation, observation_id, set_id, strength_of, strongest
from identity.person import Person
from identity.verbs import Identity
from leads import open_leads, store
from leads.clear import ClearValues
from leads.contact import check_contact, consent_of, fields_of
from leads.freeze import freeze
from leads.late import Found
from leads.lead import ADDITIONS_MS, INTEREST_FIELDS, Draft, Enquiry, Lead, LeadId, Waited, lead_id_of, lead_of_event
from leads.read import LeadReader
from leads.request import LeadRequest, enquiry_of
from leads.similar import SimilarLeads
from leads.together import ReadTogether, Trails
from leads.watching import Watching, open_trails
from profiles.interests import Topics
from profiles.store import EventStore, StoredEvent
from profiles.whose import Whose

log = structlog.get_logger()

SegmentsOf = Callable[[PersonId], Sequence[dict[str, str]]]
"""The segments that a person is in now, by id and name."""

NO_SET = SetId(0)
AT_ONCE = Waited(complete=True)


class Watched(NamedTuple):
    """A lead that is watched, and what its trail is read from."""

    draft: Draft
    version: int
    person: PersonId | None
    sets: tuple[SetId, ...]
    windows: Windows
    devices: frozenset[Identifier]
    linked: bool


class LeadDesk(LeadReader):
    """Captures leads, and reads them as `LeadReader` does. Thread-safe.

    Knows the leads of the last 24 hours from its start on, so that every event can be looked at for them; those of
    other processes as `watching` says.
    """

    def __init__(
        self,
        records: Engine,
        identity: Identity,
        events: EventStore,
        vault: Vault,
        topics: Topics,
        *,
        region: str = "CN",
        clock: Callable[[], Millis] = now_ms,
        gate: Gate | None = None,
        watching: Watching = Watching.ALONE,
        segment_work: SegmentWork | None = None,
        segments_of: SegmentsOf = lambda _: (),
    ) -> None:
        super().__init__(records, identity, vault, Whose(identity, events), region=region, clock=clock)
        # Captures are in it together; whoever erases a person is in it alone.
        self._gate = gate or Gate()
        self._events = events
        self._topics = topics
        self._open = open_trails(watching, records, identity, events, self._whose)
        self._segment_work = segment_work or SegmentWork()
        self._segments_of = segments_of
        self._followers: list[SimilarLeads] = []
        with reading(records) as connection:
            self._open.begin(connection, clock() - ADDITIONS_MS)

    def follow(self, follower: SimilarLeads) -> None:
        """Tell `follower` of every lead that is durable, and of those that were erased."""
        self._followers.append(follower)

    def capture(self, request: LeadRequest, *, waited: Waited, actor: str) -> tuple[dict[str, Any], bool]:
        """Capture a lead that somebody sends; the lead, masked, and whether it is new.

        Durable on return. The same (source, external_id) again, also at the same moment, gives the lead that was
        first. `waited` tells how the caller's wait for earlier events ended. Raises Refused, see `request`, and
        GateClosed.
        """
        enquiry = enquiry_of(request, region=self._region, policy=self._identity.policy)
        with self._gate.together(within_s=REQUEST_S):
            return self._capture(enquiry, waited, actor)

    def _capture(self, enquiry: Enquiry, waited: Waited, actor: str) -> tuple[dict[str, Any], bool]:
        if there := self.existing(enquiry.source, enquiry.external_id):
            return there, False
        draft, unusable = self._draft(enquiry)
        at = self._clock()
        changed = self._absorb(draft, unusable, at)
        [watched] = self._watched([draft], at)
        lead = self._frozen(watched, waited, at, self._events)
        found = self._open.find([], changed, at=at)
        self._gate.check()
        with writing(self._records) as connection:
            created = self.write(connection, [lead], found) == [draft.id]
        self.written([lead], found)
        if not created:
            self._watch_again(draft.id)
        log.info("lead_captured", lead=draft.id, source=draft.source, new=created, actor=actor)
        return self.lead(draft.id), created

    def from_event(self, event: Event, contact: Mapping[str, Any], subject: SetId) -> Draft:
        """The lead in a tracked event whose personal values are tokens already.

        `contact` is what `contact_of` found, still clear; `subject` is the set of the event's identifiers, which
        include those of the contact. What is typed wrong is kept and marked, for there is nobody to ask again.
        """
        checked = check_contact(contact, region=self._region)
        properties = msgspec.json.decode(event.properties)
        fields = fields_of(properties)
        safe = ClearValues(self._vault, region=self._region)
        external_id = lead_of_event(event.id)
        return Draft(
            # Of the source as it is called, not as it is kept: a collector, which makes no tokens, tells it to a form.
            id=lead_id_of(event.source, external_id),
            source=safe.text(event.source),
            external_id=external_id,
            subject=subject,
            own=tuple(strongest(event.identifiers, self._identity.policy)),
            contact={kind: safe.token(kind, value) for kind, value in checked.values.items()},
            doubtful=checked.doubtful,
            channel=fields.get("channel") or event.campaign.medium or None,
            campaign=safe.document(msgspec.to_builtins(event.campaign)),
            interest={name: fields[name] for name in INTEREST_FIELDS if name in fields},
            consent=consent_of(properties),
            clear=safe.clear,
        )

    def freeze(self, drafts: Sequence[Draft], *, at: Millis, waited: Waited = AT_ONCE) -> list[Lead]:
        """Freeze the trails of a batch's leads after its events and evidence are stored; known leads are left out."""
        if not drafts:
            return []
        with reading(self._records) as connection:
            present = store.present(connection, [draft.id for draft in drafts])
        watched = self._watched([draft for draft in drafts if draft.id not in present], at)
        events: Trails = self._events
        if len(watched) > 1:
            events = ReadTogether(self._events, {each for one in watched for each in one.sets})
        return [self._frozen(each, waited, at, events) for each in watched]

    def additions_for(self, stored: Sequence[StoredEvent], changed: Collection[SetId], *, at: Millis) -> Found:
        """What newly stored events, and sets that are now another person's, add to the leads of the last 24 hours.

        Asked before the leads of the same batch are frozen, whose trails have its events already.
        """
        return self._open.find(stored, changed, at=at)

    def write(self, connection: Connection, leads: Iterable[Lead], found: Found) -> list[LeadId]:
        """Write leads and additions in the caller's transaction; which of the leads were new."""
        new, now = [], self._clock()
        for lead in leads:
            self._vault.remember(connection, lead.draft.clear, at=lead.trail.frozen_at)
            if store.insert(connection, lead):
                new.append(lead.draft.id)
                self._segment_work.note(connection, Captured([(lead.draft.id, lead.draft.subject)]), at=now)
        store.add(connection, self._open.allowed(connection, found.additions))
        return new

    def written(self, leads: Collection[Lead], found: Found) -> None:
        """Say that the transaction of `write` is durable."""
        for lead in leads:
            self._vault.committed(lead.draft.clear)
        self._open.settle(found)
        for follower in self._followers:
            follower.captured(lead.draft.id for lead in leads)
        self._segment_work.due.set()

    def catch_up(self, changed: Collection[SetId] = ()) -> None:
        """Add to the leads of the last 24 hours what nobody brings: where these sets are now another person's, and
        what other processes and a restart left to be looked at. Raises Retryable."""
        found = self.additions_for([], changed, at=self._clock())
        if found.additions:
            self._gate.check()
            with writing(self._records) as connection:
                self.write(connection, [], found)
        self.written([], found)

    def tidy_up(self) -> None:
        """Forget what other processes were told of captures, after two days."""
        with writing(self._records) as connection:
            open_leads.trim(connection, self._clock() - 2 * ADDITIONS_MS)

    def forget(self, leads: Iterable[str]) -> None:
        """Say that of these leads only shells are left."""
        gone = [LeadId(each) for each in leads]
        self._open.forget(gone)
        for follower in self._followers:
            follower.forget(gone)

    def _draft(self, enquiry: Enquiry) -> tuple[Draft, dict[Identifier, str]]:
        """What is kept of an enquiry, and which of its identifiers must never link, with the reason."""
        safe = ClearValues(self._vault, region=self._region)
        source = safe.text(enquiry.source)
        external_id = safe.text(enquiry.external_id) if enquiry.external_id else None
        lead_id = lead_id_of(source, external_id)
        # Without any identifier the lead itself is all that is known of the person.
        given = enquiry.identifiers or (Identifier("lead_id", lead_id),)
        policy = self._identity.policy
        stored = {safe.identifier(each): policy.blocked(each.kind, each.value) for each in given}
        own = tuple(strongest(stored, policy))
        draft = Draft(
            id=lead_id,
            source=source,
            external_id=external_id,
            subject=set_id(own),
            own=own,
            contact={kind: safe.token(kind, value) for kind, value in enquiry.contact.items()},
            doubtful=enquiry.doubtful,
            channel=safe.text(enquiry.channel) if enquiry.channel else None,
            campaign=safe.document(enquiry.campaign),
            interest=safe.document(enquiry.interest),
            consent=safe.document(enquiry.consent) if enquiry.consent else None,
            clear=safe.clear,
        )
        return draft, {each: reason for each, reason in stored.items() if reason}

    def _absorb(self, draft: Draft, unusable: Mapping[Identifier, str], at: Millis) -> frozenset[SetId]:
        """Make the form evidence; returns the sets that are now another person's."""
        met = tuple(sorted(each for each in draft.own if each not in unusable))
        form = strength_of(Fact.FORM, Trust.PUBLIC)
        said = [Observation(observation_id(f"lead\0{draft.id}"), met, form, at, draft.source)] if len(met) > 1 else []
        return self._identity.absorb({draft.subject: draft.own}, said, blocked=unusable).sets

    def _watched(self, drafts: Sequence[Draft], at: Millis) -> list[Watched]:
        """Begin to watch leads whose trails are read next, and what each is read from."""
        # Watched first and read then, so that nothing that comes in between is missed (`OpenTrails`).
        self._open.announce([store.OpenLead(draft.id, draft.subject, at, ()) for draft in drafts])
        return [self._read_from(draft, at) for draft in drafts]

    def _read_from(self, draft: Draft, at: Millis) -> Watched:
        version = self._identity.version
        person = self._whose.person_at(draft.subject, at) if draft.subject else None
        who = self._whose.person(person) if person else None
        self._open.watch(store.OpenLead(draft.id, draft.subject, at, *_sets_of(draft.subject, who)))
        who = self._whose.person(person) if person else None
        self._open.know(draft.id, who)
        devices = self._whose.devices(who) if who else frozenset()
        linked = who is not None and len(who.values) > 1
        return Watched(draft, version, person, *_sets_of(draft.subject, who), devices, linked)

    def _frozen(self, watched: Watched, waited: Waited, at: Millis, events: Trails) -> Lead:
        trail = freeze(
            self._identity,
            events,
            self._topics,
            person=watched.person,
            own=watched.draft.own,
            sets=watched.sets,
            waited=waited,
            at=at,
            version=watched.version,
            windows=watched.windows,
            devices=watched.devices,
            linked=watched.linked,
            segments=self._segments_of(watched.person) if watched.person else (),
        )
        return Lead(watched.draft, trail)

    def _watch_again(self, lead_id: LeadId) -> None:
        """Watch a lead as another call stored it first."""
        with reading(self._records) as connection:
            found = store.open_lead(connection, lead_id)
        if found is not None:
            self._open.watch(found, settled=False)


def _sets_of(subject: SetId, who: Person | None) -> tuple[tuple[SetId, ...], Windows]:
    """What a trail is read from: all that is the person's, or where there is none, what came with the lead."""
    if who is None:
        return (subject,) if subject else (), NO_WINDOWS
    return tuple(sorted(who.sets)), who.windows
