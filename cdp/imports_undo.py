"""Taking an import back, as a list of steps that can be read aloud: afterwards it is as if it had never been.

What it brought is found in the event store, by the hits that its events came in, so it can be undone also when the log
has let go of them. Each step may be done twice, and one that a crash cut off is begun anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, select

from cdp.aftermath import Aftermath
from cdp.imports_jobs import Job
from cdp.imports_versions import Versions
from cdp.log import LogReader
from cdp.model import PERSONAL_KINDS, Identifier, PersonId, Position, SetId
from cdp.moments import now_ms
from cdp.records import chunks, reading, writing
from cdp.redactions import Redactions
from cdp.scrub import markers_in
from cdp.sealed_file import SealedWriter, open_sealed
from cdp.seen import SeenIds, key_of
from cdp.segment_work import Captured, Moved, SegmentWork
from cdp.vault import Cipher, Vault
from identity.erase import Erased
from identity.gate import Gate
from identity.observation import ObservationId, pid, row_observation_id
from identity.person import Person
from identity.verbs import Identity
from leads import erase as leads_erase
from leads import undo as leads_undo
from leads.capture import LeadDesk
from leads.lead import LeadId, lead_id_of
from leads.store import lead_rows
from profiles.interests import Topics
from profiles.profile import ProfileReader
from profiles.store import Erasing

PAGE = 20_000
"""Events read at once, for each page reads all of the source's events of that time."""
AT_ONCE = 100
"""Events taken back with nobody else at work: some tenths of a second."""
PAUSE_S = 0.02
"""The shortest pause after them, so that batches get their turn."""
TOKENS_AT_ONCE = 2_000
SAID_AT_MOST = 2
"""By one event: what came with it, and what stood in a form."""


@dataclass(frozen=True, slots=True)
class Undoing:
    """Made once in `cdp.wiring`. `answers` forget what was answered about these leads."""

    records: Engine
    log: LogReader
    identity: Identity
    erasing: Erasing
    profiles: ProfileReader
    vault: Vault
    leads: LeadDesk
    topics: Topics
    redactions: Redactions
    segment_work: SegmentWork
    aftermath: Aftermath
    versions: Versions
    gate: Gate
    folder: Path
    secret: bytes
    answers: list[Callable[[Collection[str]], None]]

    def steps(self, job: Job) -> Iterator[None]:
        """Undo an import whose hits are processed; what is gone is counted in `job.removed`, to be noted after each
        step. Raises StoreUnavailable; then begin anew."""
        if not self._tokens_path(job).exists():
            tokens: set[str] = set()
            job.removed.events = 0
            for page in self._pages(job):
                tokens |= self._take_back(job, page)
                job.removed.events += len(page)
                yield
            self._keep_tokens(job, tokens)
        yield from self._clear_trails(job)
        self.erasing.delete_that_came(job.events)
        with writing(self.records) as connection:
            # Also where nothing is left to delete: who deleted it may have died before saying so.
            self.segment_work.note(connection, Moved([]), at=now_ms())
        yield
        self._destroy(job)
        self._redact(job)
        yield

    def forget(self, job: Job) -> None:
        """Let go of what was kept for the undo alone, once it is noted as done."""
        self._tokens_path(job).unlink(missing_ok=True)
        with writing(self.records) as connection:
            self.redactions.drop(connection, job.id)

    def _pages(self, job: Job) -> Iterator[Sequence[Mapping[str, Any]]]:
        last = ""
        while events := self.erasing.that_came(job.events, after=last, limit=PAGE):
            for chunk in chunks(events, AT_ONCE):
                began = time.monotonic()
                yield chunk
                # As long as nothing else was taken in: what came meanwhile goes first.
                time.sleep(max(PAUSE_S, time.monotonic() - began))
            last = events[-1]["id"]

    def _take_back(self, job: Job, events: Sequence[Mapping[str, Any]]) -> set[str]:
        """Evidence, leads and seen ids of some events, and identifiers that came with nothing else; which tokens stood
        in them. Nothing else is taken in meanwhile."""
        note = f"import {job.id} undone"
        leads = [lead_id_of(each["source"], f"event:{each['id']}") for each in events]
        with self.gate.alone():
            with reading(self.records) as connection:
                gone = leads_undo.find(connection, leads)
                in_leads = leads_erase.tokens_of_leads(connection, [*gone.removed, *gone.emptied])
            ids = [each["id"] for each in events]
            again, keys = self.versions.said_in(ids)
            said = [row_observation_id(job.id, each, n) for each in ids for n in range(SAID_AT_MOST)]
            found = self.identity.graph.observations([*said, *again, *gone.likeness])
            live = [each.id for each, why in found if not why]
            changed = set(self.identity.retract(dict.fromkeys(live, note)).sets)
            self.gate.check()
            self._remove(job, gone, ids, live)
            changed |= self.versions.settle(job.source, keys)
            sets = {SetId(each["set"]) for each in events}
            alone = self._alone(job, events)
            if alone:
                nobody = Person(PersonId(""), [], {}, {})
                self.identity.forget(Erased(nobody, alone, [], []), note)
            job.removed.identifiers += len(alone)
            self.profiles.touch(sets)
            self.aftermath.regrouped(changed | sets)
        return _tokens_in(events) | in_leads

    def _remove(self, job: Job, gone: leads_undo.Gone, events: Sequence[str], said: Sequence[ObservationId]) -> None:
        ids: list[LeadId] = [*gone.removed, *gone.emptied]
        if ids:
            self.leads.forget(ids)
            for forget_answers in self.answers:
                forget_answers(ids)
        with writing(self.records) as connection:
            leads_undo.remove(connection, gone)
            if ids:
                nobodys = [(each, SetId(0)) for each in ids]
                self.segment_work.note(connection, Captured([*nobodys, *gone.subjects.items()]), at=now_ms())
            SeenIds().forget(connection, [key_of(each) for each in events])
            self.versions.forget(connection, events)
        job.removed.leads += len(gone.removed)
        job.removed.leads_kept += len(gone.emptied)
        job.removed.observations += len(said)

    def _alone(self, job: Job, events: Sequence[Mapping[str, Any]]) -> list[Identifier]:
        """Identifiers of these events that nothing speaks of any more but events of this import."""
        met = {Identifier(one["kind"], one["value"]) for each in events for one in each["identifiers"]}
        graph = self.identity.graph
        values = graph.values([pid(each) for each in sorted(met)])
        spoken = {one for each in graph.mentioning([value.number for value in values]) for one in each.identifiers}
        unspoken = {value.identifier: value.number for value in values if value.identifier not in spoken}
        kept = self._kept(job, graph.holding(list(unspoken.values())))
        brought = {one.identifier for members in graph.members(kept).values() for one in members}
        return sorted(unspoken.keys() - brought)

    def _kept(self, job: Job, sets: Collection[SetId]) -> set[SetId]:
        """Those of these sets that came with something else: an event, or a lead."""
        found: set[SetId] = set()
        for chunk in chunks(sorted(sets)):
            found |= self.erasing.other_sets(chunk, job.events)
            with reading(self.records) as connection:
                subjects = select(lead_rows.c.subject).where(lead_rows.c.subject.in_(chunk))
                found.update(map(SetId, connection.execute(subjects).scalars()))
        return found

    def _clear_trails(self, job: Job) -> Iterator[None]:
        """Its events on frozen trails of other leads."""
        last = ""
        while True:
            with writing(self.records) as connection:
                page = leads_erase.clear_trails(
                    connection,
                    after=last,
                    gone=lambda event: event["source"] == job.source and _is_within(job, event["hit"]),
                    forgotten=(),
                    tokens=(),
                    topics=self.topics,
                )
            if page is None:
                return
            last = page.last
            yield

    def _keep_tokens(self, job: Job, tokens: Collection[str]) -> None:
        """So that they are known when the events are gone, also after a crash."""
        draft = self._tokens_path(job).with_suffix(".draft")
        file = SealedWriter(draft, Cipher(self.secret, "import"))
        file.write(msgspec.json.encode(sorted(tokens)))
        file.close()
        draft.rename(self._tokens_path(job))

    def _destroy(self, job: Job) -> None:
        """Clear values that nothing else speaks of leave the vault."""
        with open_sealed(self._tokens_path(job), Cipher(self.secret, "import")) as file:
            tokens = msgspec.json.decode(file.read(), type=list[str])
        for chunk in chunks(tokens, TOKENS_AT_ONCE):
            with self.gate.alone():
                with reading(self.records) as connection:
                    # What the vault had before, others had said.
                    kinds = self.vault.kinds(connection, chunk, since=job.began_at)
                known = self.identity.graph.values([pid(Identifier(kind, each)) for each, kind in kinds.items()])
                left = set(kinds) - {value.identifier.value for value in known}
                left -= self.erasing.holding(left, received_after=job.began_at - 1)
                self.gate.check()
                with writing(self.records) as connection:
                    left -= leads_erase.left_as_contact(connection, left)
                    left -= leads_erase.spoken_of(connection, left, since=job.began_at)
                    self.vault.destroy(connection, left)

    def _redact(self, job: Job) -> None:
        """Its hits, where the log still keeps them."""
        starts = self.log.starts()
        hits = {
            Position(partition, offset): False
            for partition, start, end in job.came
            for offset in range(max(start, starts.get(partition, 0)), end)
        }
        with writing(self.records) as connection:
            self.redactions.note(connection, job.id, hits)
        self.redactions.rewrite(job.id)
        self.log.purge()
        job.removed.hits = len(hits)

    def _tokens_path(self, job: Job) -> Path:
        return self.folder / f"{job.id}.tokens"


def _tokens_in(events: Sequence[Mapping[str, Any]]) -> set[str]:
    found = {one["value"] for each in events for one in each["identifiers"] if one["kind"] in PERSONAL_KINDS}
    text = msgspec.json.encode(events).decode()
    return found | {token for _, token in markers_in(text)}


def _is_within(job: Job, hit: str) -> bool:
    position = Position.of_hit(hit)
    return any(partition == position.partition and start <= position.offset < end for partition, start, end in job.came)
