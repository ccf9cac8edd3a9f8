"""Does a kept hit bring anything of an erased person? Asked of every hit that is kept, because a copy of an event, or
one that was refused, is noted nowhere else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from cdp.model import Dropped, Hit, Position, Source, SourceKind
from cdp.personal import Personal
from cdp.redactions import REDACTED
from collectors.dialect import SourceOfKey, Translator
from collectors.sources import LiveSources


class Brought(NamedTuple):
    """Whether a hit brings anything of erased persons, and of anybody else."""

    mine: bool
    of_others: bool


NOTHING = Brought(mine=False, of_others=False)


@dataclass(frozen=True, slots=True)
class Look:
    """How a hit is looked at; not thread-safe, as `personal` is not."""

    dialects: Mapping[str, Translator]
    sources: LiveSources
    personal: Personal

    def at(self, hit: Hit, position: Position, clear: Collection[str]) -> Brought:
        """Translated again, where that can be done; else, or where a record is no event, by looking for the `clear`
        values in the body."""
        if hit.dialect == REDACTED:
            return NOTHING
        try:
            records = self.dialects[hit.dialect].translate(hit, position.hit_id, self._source_of_key(hit))
        except Exception:
            # Whatever cannot be read may be anybody's; the collector kept it all the same.
            return Brought(_holds(hit, clear), of_others=False)
        events = [each for each in records if not isinstance(each, Dropped)]
        mine = [each for each in events if self.personal.erased(each)]
        refused = len(events) < len(records) and _holds(hit, clear)
        return Brought(bool(mine) or refused, of_others=len(mine) < len(events))

    def _source_of_key(self, hit: Hit) -> SourceOfKey:
        """A source that was disabled since, or changed its key, must not hide what it once sent."""
        some = self.sources.by_id(hit.source) or Source(id=hit.source, kind=SourceKind.SITE)
        return lambda key: self.sources.by_key(key) or some


def _holds(hit: Hit, clear: Collection[str]) -> bool:
    places = _bare(hit.body), _bare(hit.target.encode())
    return any(_bare(each.encode()) in place for place in places for each in clear)


def _bare(body: bytes) -> bytes:
    """Without a form's escapes, and without what people write between the digits of a phone number."""
    return unquote_to_bytes(body).translate(None, b" +-()")
