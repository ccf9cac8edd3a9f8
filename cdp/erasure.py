"""Erasing a person, as a list of steps that can be read aloud.

Each step may be done twice: what it destroys is named in the job's plan, and what it counts is noted in the transaction
that says it is done, or was counted when the plan was made. So whenever the process dies, the next start goes on with
the step that was not noted, and the receipt is the same.

The first steps are done alone, with no batch and no capture of a lead under way: afterwards whatever the person had
said is gone from the graph and cannot come back, and what comes in meanwhile is of somebody new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, delete, or_, select

from cdp.accounting import position_rows
from cdp.erasure_hits import NOTHING, Look
from cdp.erasure_jobs import Destroyed, ErasureBook, Job, Plan
from cdp.errors import ErasureUnfinished
from cdp.log import LogReader
from cdp.model import ALWAYS, PERSONAL_KINDS, Hit, Identifier, Millis, Position, SetId, Window
from cdp.records import reading, writing
from cdp.redactions import Redactions
from cdp.scrub import fill_markers, markers_in
from cdp.segment_work import Erased as GoneForSegments
from cdp.segment_work import SegmentWork
from cdp.tombstones import Tombstones, covered, tombstones_of
from cdp.vault import Vault
from identity.erase import Erased, erasure_of
from identity.gate import Gate
from identity.observation import pid, set_id
from identity.person import Person
from identity.resolve import State
from identity.reviews import review_rows
from identity.verbs import Identity
from leads import erase as leads_erase
from leads.capture import LeadDesk
from profiles.interests import Topics
from profiles.profile import ProfileReader
from profiles.store import EventStore
from profiles.whose import Whose
from segments.lead_rows import LeadRows

HITS_AT_ONCE = 500
PAUSE_S = 0.005
"""After so many, about as long as they took, so that batches and answers get their turn."""
NEEDLE = 8
"""Characters from which on a clear value is looked for in hits that cannot be translated; shorter ones are met by
chance."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """A store to be swept: `purge` sees to it that nothing of what was deleted is left in its files, None where that
    is the server's own matter."""

    store: str
    kind: str
    purge: Callable[[], None] | None


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps work with; made once in `cdp.wiring`. `answers` forget what was answered about these leads."""

    records: Engine
    log: LogReader
    identity: Identity
    whose: Whose
    events: EventStore
    profiles: ProfileReader
    vault: Vault
    leads: LeadDesk
    topics: Topics
    look: Look
    open_payload: Callable[[bytes], Hit | None]
    tombstones: Tombstones
    redactions: Redactions
    segment_work: SegmentWork
    book: ErasureBook
    gate: Gate
    clock: Callable[[], Millis]
    keeping: tuple[Keeping, ...] = ()
    answers: list[Callable[[Collection[str]], None]] = field(default_factory=list)


Written = Callable[[Connection], None]
Step = Callable[[Tools, Job, Plan], Written | None]
"""Does its work, and gives what is to be written together with the note that it is done."""


def make_plan(tools: Tools, job: Job) -> Plan:
    """Find out what must go. Reads only."""
    at = tools.clock()
    whole = tools.whose.person(job.person)
    if whole is None:
        # Another job was quicker, or its last evidence was taken back meanwhile.
        return Plan(erased_at=at, erased=Erased(Person(job.person, [], {}, {}), [], [], []))
    # What goes round among people is known by its windows from here on.
    erased = erasure_of(tools.identity.graph, whole._replace(shared={}))
    erased = erased._replace(identifiers=sorted({*erased.identifiers, *_met_with_nobody_else(tools, whole)}))
    sets, windows = list(whole.sets), whole.windows
    traits, seen = tools.events.facts(sets, windows=windows)
    with reading(tools.records) as connection:
        leads = leads_erase.leads_of(connection, whole.sets, windows)
        in_leads = leads_erase.tokens_of_leads(connection, leads)
        ends = {row.partition: row.next for row in connection.execute(select(position_rows))}
    tokens = _tokens_of(erased.identifiers)
    return Plan(
        erased_at=at,
        erased=erased,
        leads=leads,
        events=sum(each.events for each in seen),
        traits=len(traits),
        tokens=sorted(tokens),
        texts=sorted({*tools.events.erasing.markers(sets, windows=windows), *in_leads} - tokens),
        clear=sorted(_needles(tools, erased.identifiers)),
        ends=ends,
    )


def _met_with_nobody_else(tools: Tools, person: Person) -> Iterable[Identifier]:
    """Names, hubs and the like that came with the person's events alone."""
    met = {each for members in person.sets.values() for each in members} - {each.identifier for each in person.values}
    always = set(person.sets) - set(person.windows)
    for value in tools.identity.graph.values([pid(each) for each in sorted(met)]):
        if value.state is not State.BLOCKED and tools.identity.graph.holding([value.number]) <= always:
            yield value.identifier


def _tokens_of(identifiers: Iterable[Identifier]) -> set[str]:
    tokens: set[str] = set()
    for each in identifiers:
        tokens.update([each.value] if each.kind in PERSONAL_KINDS else (token for _, token in markers_in(each.value)))
    return tokens


def _needles(tools: Tools, identifiers: Collection[Identifier]) -> set[str]:
    clear = tools.vault.reveal(sorted(_tokens_of(identifiers)))
    values = {
        clear.get(each.value, "")
        if each.kind in PERSONAL_KINDS
        else fill_markers(each.value, lambda _, token: clear.get(token, ""))
        for each in identifiers
    }
    # A phone is rarely written with the number of its country.
    return {short for each in values if len(short := each.removeprefix("+86")) >= NEEDLE}


def bury(tools: Tools, job: Job, plan: Plan) -> Written:
    """Tombstones, so that from here on nothing comes back."""
    erased = plan.erased
    nodes: dict[Identifier, list[Window]] = {each: [ALWAYS] for each in erased.identifiers}
    held = {each.identifier for each in plan.person.values} - set(nodes)
    for base in tools.identity.graph.values([pid(each) for each in sorted(held)]):
        mine = {each.owner for each in plan.person.values if each.identifier == base.identifier}
        starts = [None, *(each.start for each in base.epochs)]
        owners = ["", *(each.owner for each in base.epochs)]
        stretches = zip(zip(starts, [*starts[1:], None], strict=True), owners, strict=True)
        nodes[base.identifier] = [window for window, owner in stretches if owner in mine]
    stones = tombstones_of(nodes, plan.person.windows, erased_at=plan.erased_at)
    return lambda connection: tools.tombstones.write(connection, stones)


def forget(tools: Tools, job: Job, plan: Plan) -> None:
    """The graph: evidence taken back, identifiers overwritten."""
    tools.tombstones.refresh()
    tools.identity.forget(plan.erased, f"erasure {job.id}")


def empty_leads(tools: Tools, job: Job, plan: Plan) -> Written:
    """Leads become shells; phones and the like of the person alone leave the vault; likely matches leave the queue."""
    tools.leads.forget(plan.leads)

    def write(connection: Connection) -> None:
        leads_erase.empty(connection, plan.leads)
        left = leads_erase.left_as_contact(connection, plan.tokens)
        plan.vault += tools.vault.destroy(connection, set(plan.tokens) - left)
        for each in plan.erased.identifiers:
            connection.execute(delete(review_rows).where(_names(each)))

    return write


def _names(identifier: Identifier) -> Any:
    kind, value = identifier.kind, identifier.value
    a = (review_rows.c.a_kind == kind) & (review_rows.c.a_value == value)
    return or_(a, (review_rows.c.b_kind == kind) & (review_rows.c.b_value == value))


def delete_events(tools: Tools, job: Job, plan: Plan) -> Written:
    """Events and traits, also of a set that is another's at other times; what came since is of somebody new."""
    person = plan.person
    tools.events.erasing.delete_sets(list(person.sets), windows=person.windows, received_until=plan.erased_at)
    tools.profiles.touch(person.sets)
    # Shells by now, of which nothing may be left in the copy either.
    LeadRows(tools.records, tools.segment_work, tools.events.leads).follow(plan.leads)
    names = {job.person, person.id, *(pid(*value.node) for value in person.values)}
    gone = GoneForSegments(sorted(names), plan.leads, sorted(person.sets))

    def write(connection: Connection) -> None:
        tools.segment_work.note(connection, gone, at=tools.clock())

    return write


def clear_trails(tools: Tools, job: Job, plan: Plan) -> None:
    """The person's events on frozen trails of others, who were taken for the same once."""
    known: dict[tuple[Identifier, ...], Any] = {}

    def gone(event: Mapping[str, Any]) -> bool:
        met = tuple(Identifier(each["kind"], each["value"]) for each in event["identifiers"])
        if met not in known:
            known[met] = tools.tombstones.of(met, set_id(met) if met else SetId(0))
        return covered(known[met], occurred_at=event["occurred_at"], received_at=event["received_at"])

    while True:
        with writing(tools.records) as connection:
            page = leads_erase.clear_trails(
                connection,
                after=plan.last_lead,
                gone=gone,
                forgotten=plan.erased.identifiers,
                tokens=plan.texts,
                topics=tools.topics,
            )
            if page is None:
                return
            plan.last_lead = page.last
            plan.trails_of_others += page.changed
            plan.texts = sorted(set(plan.texts) - page.held)
            tools.book.save(connection, job, plan)


def find_shared(tools: Tools, job: Job, plan: Plan) -> None:
    """Which phones and the like, that the person's events and leads spoke of, somebody else's speak of too."""
    plan.texts = sorted(set(plan.texts) - tools.events.erasing.holding(plan.texts))


def destroy_texts(tools: Tools, job: Job, plan: Plan) -> Written:
    """The others leave the vault, unless they became somebody's since they were looked for."""
    left = set(plan.texts) - tools.events.erasing.holding(plan.texts, received_after=plan.erased_at)

    def write(connection: Connection) -> None:
        kinds = tools.vault.kinds(connection, left)
        somebodys = {token for token, kind in kinds.items() if tools.identity.standing_of(Identifier(kind, token))}
        somebodys |= leads_erase.left_as_contact(connection, left)
        somebodys |= leads_erase.spoken_of(connection, left, since=plan.erased_at)
        plan.vault += tools.vault.destroy(connection, left - somebodys)

    return write


def find_hits(tools: Tools, job: Job, plan: Plan) -> None:
    """All kept hits that brought events of the person, also those that came twice or were refused."""
    tools.look.sources.refresh()
    for partition, start in tools.log.starts().items():
        end = plan.ends.get(partition, 0)
        looked = max(start, plan.looked.get(partition, 0))
        while looked < end and (records := tools.log.read(partition, looked, min(HITS_AT_ONCE, end - looked))):
            found: dict[Position, bool] = {}
            for record in records:
                hit, at = tools.open_payload(record.payload), Position(partition, record.offset)
                brought = tools.look.at(hit, at, plan.clear) if hit is not None else NOTHING
                if brought.mine:
                    found[at] = brought.of_others
            looked = plan.looked[partition] = records[-1].offset + 1
            with writing(tools.records) as connection:
                tools.redactions.note(connection, job.id, found)
                tools.book.save(connection, job, plan)
            time.sleep(PAUSE_S)


def redact_hits(tools: Tools, job: Job, plan: Plan) -> None:
    """Overwritten in their place, so that everything that counts hits still adds up."""
    tools.redactions.rewrite(job.id)


def clear_answers(tools: Tools, job: Job, plan: Plan) -> None:
    """Answers that are kept for callers who send again."""
    for forget_answers in tools.answers:
        forget_answers([*plan.leads])


def sweep(tools: Tools, job: Job, plan: Plan) -> None:
    """What was deleted leaves the files too: logs of changes, parts that were rewritten."""
    for each in tools.keeping:
        if each.purge is not None:
            each.purge()


FIRST: tuple[Step, ...] = (bury, forget, empty_leads)
"""Done alone, and without a pause between them."""
ALONE = frozenset({*FIRST, destroy_texts})
STEPS: tuple[Step, ...] = (
    *FIRST,
    delete_events,
    clear_trails,
    find_shared,
    destroy_texts,
    find_hits,
    redact_hits,
    clear_answers,
    sweep,
)


def refuse_half_done(book: ErasureBook) -> None:
    """To be asked by whoever enters the gate together with others, where the process that erases may die and they do
    not. Raises ErasureUnfinished."""
    if book.is_within(1, len(FIRST) - 1):
        raise ErasureUnfinished


def destroyed(tools: Tools) -> list[Destroyed]:
    return [Destroyed(store=each.store, kind=each.kind, overwritten=each.purge is not None) for each in tools.keeping]
