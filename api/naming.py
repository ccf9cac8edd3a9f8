"""How identifiers and notes of the graph are written for one caller: masked, or clear where that is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from api import shapes
from api.keys import ApiKey
from api.permissions import Permission
from api.services import Services
from api.showing import identifier_shown, tokens_of
from cdp.model import PERSONAL_KINDS, Identifier
from cdp.moments import rfc3339
from cdp.scrub import fill_markers, markers_in
from identity.observation import STEWARD, Observation
from identity.steward import Note, note_in
from leads.show import masked


class Naming:
    """Asks the vault once, for all of one answer; the audit rows are durable when it is made.

    `texts` are those that may hold markers; `given` are clear values that the caller sent, which the vault need not
    have.
    """

    def __init__(
        self,
        use: Services,
        caller: ApiKey,
        identifiers: Iterable[Identifier],
        *,
        subject: str,
        texts: Iterable[str] = (),
        given: Mapping[Identifier, str] | None = None,
    ) -> None:
        tokens = tokens_of(identifiers) | {token for text in texts for _, token in markers_in(text)}
        self._shown = use.showing.values(caller, tokens, subject=subject)
        self._reveal = caller.may(Permission.SEE_CLEAR)
        self._given = given or {}

    def value(self, identifier: Identifier) -> str:
        clear = self._given.get(identifier) if identifier.kind in PERSONAL_KINDS else None
        if clear is not None:
            return clear if self._reveal else masked(identifier.kind, clear)
        return identifier_shown(identifier, self._shown, reveal=self._reveal)

    def identifier(self, identifier: Identifier) -> shapes.Identifier:
        return shapes.Identifier(kind=identifier.kind, value=self.value(identifier))

    def written(self, identifier: Identifier) -> str:
        """As one says it: kind:value."""
        return f"{identifier.kind}:{self.value(identifier)}"

    def text(self, text: str) -> str:
        return fill_markers(text, self._shown.value)

    def note(self, note: Note) -> shapes.Note:
        at = rfc3339(note.at) if note.at else None
        return shapes.Note(reason=self.text(note.reason), by=note.by, at=at)

    def evidence(self, each: Observation, retracted: str = "") -> shapes.Evidence:
        """`retracted` is what was said when it was taken back, '' while it counts."""
        note = note_of(each)
        return shapes.Evidence(
            id=str(each.id),
            source=each.source,
            strength=each.strength,
            at=rfc3339(each.occurred_at),
            note=msgspec.UNSET if note is None else self.note(note),
            retracted=self.note(note_in(retracted)) if retracted else msgspec.UNSET,
        )


def note_of(each: Observation) -> Note | None:
    """What a steward said with an observation; None for all others."""
    return note_in(each.note) if each.strength == STEWARD else None


def notes_in(observations: Iterable[Observation]) -> list[str]:
    """The texts of their notes."""
    return [note.reason for each in observations if (note := note_of(each)) is not None]
