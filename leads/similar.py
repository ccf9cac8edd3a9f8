"""Earlier leads that are probably the same person's, found by similarity when a lead comes in.

A dealer keys a row again with a slip in the phone, a CRM sends a name and a city. Such leads share no identifier; what
they have in common is compared by a frozen model. A pair at `STRICT` or more against which no identifier speaks is
joined by evidence of the lowest strength, so that whatever is known better goes before; one at `LOOSE` or more waits
for a steward. Compared is what was captured, and never what similarity had joined before, so no join enables another.

It is done aside, after the lead is durable: a capture only names it. Leads without keys were not compared yet, and are
taken up when the work begins; so each is compared at least once, and again changes nothing. What other processes
capture is found by its announcement (`leads.open_leads`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import structlog
from prometheus_client import Gauge
from sqlalchemy import Engine

from cdp.errors import Retryable
from cdp.model import Identifier, Millis, SetId
from cdp.moments import now_ms
from cdp.records import reading, writing
from cdp.vault import Vault
from identity.gate import Gate
from identity.graph import SetMember
from identity.observation import Observation, ObservationId, observation_id, strongest
from identity.resolve import State
from identity.reviews import Band, Candidate, Reason, Reviews, review_id
from identity.verbs import Identity
from leads import similar_keys
from leads.freeze import LIKENESS, LIKENESS_STRENGTH
from leads.lead import LeadId
from leads.similar_core import Core, apart, core_of, differing
from leads.similar_keys import Asked, Pair, Row

if TYPE_CHECKING:
    from leads.similar_score import Scored

log = structlog.get_logger()

STRICT = 0.99
LOOSE = 0.8

WAITING_MAX = 1_000
"""Leads remembered to be compared; what comes beyond is found in the store."""

PAUSE_S = 60.0
"""After a fault of ours, until it is tried again."""

ANNOUNCED_S = 60.0
"""A lead is written this soon after its capture was announced, or never."""

WAITING = Gauge("xunji_similar_waiting", "Leads that were not yet compared with earlier ones")

Regrouped = Callable[[Collection[SetId]], None]


class Side(NamedTuple):
    """One lead of a pair. `own` are its identifiers that may join people, strongest first."""

    asked: Asked
    row: Row
    members: Sequence[SetMember]
    own: Sequence[Identifier]


class SimilarLeads:
    """Compares leads, one at a time. `captured` and `forget` are safe from any thread.

    `regrouped` is told of sets that are now another person's. Whoever compares passes `gate` together with others, so
    that nobody is erased meanwhile. `look_s` is how often leads of other processes are looked for, None where there are
    none.
    """

    def __init__(
        self,
        records: Engine,
        identity: Identity,
        vault: Vault,
        *,
        gate: Gate | None = None,
        regrouped: Regrouped = lambda sets: None,
        clock: Callable[[], Millis] = now_ms,
        look_s: float | None = None,
    ) -> None:
        self._records, self._identity, self._vault = records, identity, vault
        self._reviews = Reviews(records, clock=clock)
        self._gate, self._regrouped, self._clock = gate or Gate(), regrouped, clock
        self._changed = threading.Condition()
        self._waiting: deque[LeadId] = deque()
        self._behind = True
        self._stopped = False
        self._look_s = look_s
        self._after, self._next, self._marked = 0, 0, time.monotonic()
        self._failed: set[LeadId] = set()

    # The queue

    def captured(self, leads: Iterable[LeadId]) -> None:
        """Say that these leads are durable. Returns at once."""
        with self._changed:
            for lead in leads:
                if len(self._waiting) < WAITING_MAX:
                    self._waiting.append(lead)
                else:
                    self._behind = True
            WAITING.set(len(self._waiting))
            self._changed.notify_all()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Work the queue off in a thread of its own meanwhile, beginning with the leads that have no keys."""
        self._stopped = False
        thread = threading.Thread(target=self._work, name="similar-leads", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            thread.join()

    def catch_up(self) -> int:
        """Compare all leads that were not compared yet; how many there were. Raises StoreUnavailable."""
        count, last = 0, ""
        self._behind = False
        while True:
            with reading(self._records) as connection:
                page = similar_keys.missing(connection, last)
            if not page:
                return count
            for place, lead in enumerate(page):
                if self._stopped:
                    return count
                WAITING.set(len(page) - place + len(self._waiting))
                self._take(lead)
                count += 1
            WAITING.set(len(self._waiting))
            last = page[-1]

    def _work(self) -> None:
        while not self._stopped:
            try:
                if self._behind:
                    self.catch_up()
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._behind or self._stopped, self._look_s)
                    lead = self._waiting.popleft() if self._waiting else None
                if lead is not None and not self._stopped:
                    self._take(lead)
                    WAITING.set(len(self._waiting))
                elif self._look_s is not None:
                    self._look()
            except Exception as error:
                # What was to be done is found in the store again. No trace, which may quote what was compared.
                again = error.retry_after_s if isinstance(error, Retryable) else PAUSE_S
                log.warning("similar_waits", error=type(error).__name__)
                with self._changed:
                    self._behind = True
                    self._changed.wait_for(lambda: self._stopped, again)

    def _look(self) -> None:
        """Compare what other processes captured lately."""
        with reading(self._records) as connection:
            found = similar_keys.announced(connection, self._after)
            last = similar_keys.last_announced(connection)
        for lead in found:
            if not self._stopped and lead not in self._failed:
                self._take(lead)
        # By numbers, for the clocks of other machines may be wrong.
        if time.monotonic() - self._marked > ANNOUNCED_S:
            self._after, self._next, self._marked = self._next, last, time.monotonic()

    def _take(self, lead: LeadId) -> None:
        try:
            self.compare(lead)
        except Retryable:
            raise
        except Exception as error:
            # It stays without keys, and is tried again at the next start.
            self._failed.add(lead)
            log.error("similar_failed", lead=lead, error=type(error).__name__)

    # One lead

    def compare(self, lead: LeadId) -> None:
        """Compare a lead with all that have keys, and note its keys. Once it has them, it changes nothing.

        Raises StoreUnavailable and GraphConflict; then call it again.
        """
        # Loaded before the gate, behind which others would wait for it.
        from leads import similar_score

        with self._gate.together():
            with reading(self._records) as connection:
                if similar_keys.has_keys(connection, lead):
                    return
            [side, *_] = [*self._sides([lead]), None]
            keys: set[str] = set()
            pairs: list[Pair] = []
            if side is not None and side.asked.subject:
                keys = {self._vault.token("similar_key", key) for key in similar_keys.keys_of(side.row)}
                others = self._sides(sorted(similar_keys.sharing(self._records, keys) - {lead}))
                if others:
                    found = similar_score.scored(side.row, [other.row for other in others])
                    likely = [each for each in found if each.probability >= LOOSE]
                    pairs = self._settle(side, [(others[each.place], each) for each in likely])
            with writing(self._records) as connection:
                similar_keys.write(connection, lead, keys, pairs, at=self._clock())

    def forget(self, leads: Iterable[LeadId]) -> None:
        """Leave nothing of these leads here, and never compare them again. Idempotent."""
        with writing(self._records) as connection:
            similar_keys.forget(connection, list(leads), at=self._clock())

    def pairs_of(self, lead: LeadId) -> list[Pair]:
        """What a lead was found alike with, most probable first."""
        return similar_keys.pairs_of(self._records, lead)

    def _sides(self, leads: Sequence[LeadId]) -> list[Side]:
        with reading(self._records) as connection:
            found = similar_keys.asked(connection, leads)
        members = self._identity.members_of_sets({each.subject for each in found if each.subject})
        of = {each.id: members.get(each.subject, []) for each in found}
        own = {each.id: [member.identifier for member in of[each.id]] for each in found}
        tokens = {token for each in found for token in similar_keys.tokens_of(each, own[each.id])}
        clear = self._vault.reveal(sorted(tokens))
        return [
            Side(each, similar_keys.row_of(each, own[each.id], clear), of[each.id], self._joining(of[each.id]))
            for each in sorted(found)
        ]

    def _joining(self, members: Sequence[SetMember]) -> list[Identifier]:
        able = [each.identifier for each in members if each.state is State.LINK]
        return strongest(able, self._identity.policy)

    # Pairs

    def _settle(self, side: Side, likely: Sequence[tuple[Side, Scored]]) -> list[Pair]:
        """Join or offer what is likely enough; the pairs of which something came."""
        if not side.own:
            return []
        mine = self._core(side)
        pairs, said, offered = [], [], []
        for other, found in likely:
            if not other.own or side.own[0] == other.own[0]:
                continue
            theirs = self._core(other)
            if mine.nodes & theirs.nodes or apart(self._identity.graph, mine, theirs):
                continue
            against = self._against(mine, theirs, found)
            a, b = sorted((side, other), key=lambda each: each.asked.id)
            # Families buy numbers in a row: a surname and a slip are not enough to join without asking.
            if found.probability >= STRICT and found.named and not against:
                said.append(_evidence(a, b, found))
                outcome: tuple[str | None, ObservationId | None] = (None, said[-1].id)
            else:
                offered.append(_candidate(a, b, found, against))
                outcome = (review_id(a.own[0], b.own[0]), None)
            pairs.append(Pair(a.asked.id, b.asked.id, found.model, found.probability, *outcome))
        self._reviews.offer(offered)
        if said and (sets := self._identity.observe(said).sets):
            self._regrouped(sets)
        for pair in pairs:
            log.info("leads_alike", a=pair.a, b=pair.b, joined=pair.review is None, model=pair.model)
        return pairs

    def _core(self, side: Side) -> Core:
        return core_of(self._identity.graph, side.members, side.asked.frozen_at, fuzzy=f"{LIKENESS}:")

    def _against(self, mine: Core, theirs: Core, found: Scored) -> list[Reason]:
        kinds = differing(mine, theirs, self._identity.policy)
        against = [Reason(f"两人的 {kind} 不同", f"Two different values of {kind}") for kind in kinds]
        if found.contradicted:
            against.append(Reason("同一车架号，车主姓名不同", "One VIN, whose owners have different names"))
        return against


def _evidence(a: Side, b: Side, found: Scored) -> Observation:
    # The id is the pair's alone: evidence that was taken back does not return with another model.
    return Observation(
        observation_id(f"{LIKENESS}\0{a.asked.id}\0{b.asked.id}"),
        tuple(sorted((a.own[0], b.own[0]))),
        LIKENESS_STRENGTH,
        max(a.asked.frozen_at, b.asked.frozen_at),
        f"{LIKENESS}:{found.model}",
    )


def _candidate(a: Side, b: Side, found: Scored, against: Sequence[Reason]) -> Candidate:
    which = f"{a.asked.id}, {b.asked.id}"
    source = Reason(f"线索 {which}；模型 {found.model}", f"Leads {which}; model {found.model}")
    why = (*found.reasons(), *against, source)
    return Candidate(a.own[0], b.own[0], found.probability, Band.LOOSE, why)
