"""A steward's word: two identifiers are one person's, or are not. It is evidence like all other, of the best strength.

So it may be taken back, and then everything is as if it had never been said. Calling two different always holds;
calling them the same breaks no limit, and joins nothing through a value that links nobody.
"""

from __future__ import annotations

import secrets
from enum import StrEnum

import msgspec

from cdp.errors import NotFound, Refused
from cdp.model import Identifier, Millis
from identity.changes import Changes
from identity.observation import STEWARD, STEWARDS, Observation, ObservationId, observation_id
from identity.resolve import contradiction
from identity.verbs import Identity


class Verdict(StrEnum):
    SAME = "same"
    DIFFERENT = "different"


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who said so and why, as it stands with the observation; `turned` where the smaller of the two was named last."""

    reason: str
    by: str = ""
    at: Millis = 0
    turned: bool = False


class Decision(msgspec.Struct, frozen=True):
    """`undone` tells who took it back and why, None while it holds."""

    id: ObservationId
    verdict: Verdict
    a: Identifier
    b: Identifier
    note: Note
    undone: Note | None = None


class Steward:
    """Decisions and retractions, each with a note. Blocks on the graph; safe from any thread."""

    def __init__(self, engine: Identity) -> None:
        self._engine = engine

    def decide(self, verdict: Verdict, a: Identifier, b: Identifier, note: Note) -> tuple[Decision, Changes]:
        """Take a decision; reads see it when this returns. Raises Refused for two that no word can join or part, and
        NotFound for an identifier that never came."""
        for each in (a, b):
            if self._engine.standing_of(each) is None:
                raise NotFound("identifier", f"of kind {each.kind} with this value")
        if a == b:
            raise Refused("Both identifiers are the same one. Name two different ones.")
        said = Observation(
            observation_id(f"{STEWARDS}\0{secrets.token_hex(16)}"),
            tuple(sorted((a, b))),
            STEWARD,
            note.at,
            STEWARDS,
            verdict is Verdict.DIFFERENT,
            msgspec.json.encode(msgspec.structs.replace(note, turned=b < a)).decode(),
        )
        if why := contradiction(said, said.identifiers, self._engine.policy):
            raise Refused(
                f"These two cannot be one person: {why}. A person has one; change the policy if that is wrong."
            )
        changes = self._engine.observe([said])
        return Decision(said.id, verdict, a, b, note), changes

    def undo(self, decision: ObservationId, note: Note) -> Changes:
        """Take a decision back, exactly. Taking it back twice changes nothing. Raises NotFound."""
        self.decision(decision)
        return self.retract(decision, note)

    def retract(self, observation: ObservationId, note: Note) -> Changes:
        """Take one piece of evidence away, whoever brought it. Twice changes nothing. Raises NotFound."""
        if not self._engine.graph.observations([observation]):
            raise NotFound("observation", str(observation))
        return self._engine.retract({observation: msgspec.json.encode(note).decode()})

    def decision(self, decision: ObservationId) -> Decision:
        """One decision, also where it was taken back. Raises NotFound."""
        for said, retracted in self._engine.graph.observations([decision]):
            if _decides(said):
                return _decision(said, retracted)
        raise NotFound("decision", str(decision))

    def decisions(self) -> list[Decision]:
        """All decisions, newest first, those that were taken back included."""
        return [_decision(*each) for each in self._engine.graph.notes(STEWARDS) if _decides(each[0])]


def note_in(text: str) -> Note:
    """What stands with a decision or a retraction; an erasure leaves a plain text."""
    try:
        return msgspec.json.decode(text, type=Note)
    except msgspec.DecodeError:
        return Note(text)


def _decides(said: Observation) -> bool:
    # A source may be called as we are; what its events say is no decision.
    return said.source == STEWARDS and said.strength == STEWARD


def _decision(said: Observation, retracted: str) -> Decision:
    note = note_in(said.note)
    a, b = said.identifiers[::-1] if note.turned else said.identifiers
    verdict = Verdict.DIFFERENT if said.different else Verdict.SAME
    undone = note_in(retracted) if retracted else None
    return Decision(said.id, verdict, a, b, note, undone)
