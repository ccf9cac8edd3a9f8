"""Read a person: who it is, what is known of them, and how much of that the caller sees.

A person that was read is remembered as the bytes of its masked answer for as long as neither the graph nor the
profile moves, nor anybody in segments, so that most requests are answered from memory, without a thread or a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from api import shapes
from api.keys import ApiKey
from api.permissions import Permission
from api.showing import Showing, filled, identifier_shown, tokens_in, tokens_of, trait_shown
from cdp.errors import NotFound
from cdp.model import PERSONAL_KINDS, Identifier, Millis, PersonId, SetId, Window, Windows
from cdp.moments import rfc3339
from cdp.scrub import scrub_text
from cdp.vault import Vault
from cdp.wiring import System
from identity.normalise import normalise
from identity.observation import pid, strongest
from identity.person import Person
from identity.recent import Recent
from profiles.profile import Profile
from profiles.store import SetSummary
from profiles.traits import fold
from profiles.whose import Whose

REMEMBERED = 20_000
"""Answers kept; a usual one has 1 to 2 KB."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    version: tuple[int, int]
    sets: tuple[SetId, ...]
    windows: Windows
    profile: Profile
    body: bytes


class People:
    """Thread-safe. What is not `remembered` blocks on the stores: call it in a thread."""

    def __init__(self, system: System, showing: Showing) -> None:
        self._system = system
        self._showing = showing
        self.whose = Whose(system.identity, system.events)
        self._bodies: Recent[str, _Remembered] = Recent(REMEMBERED)
        self._found: Recent[Identifier, tuple[int, PersonId]] = Recent(REMEMBERED)

    def identifier(self, kind: str, value: str) -> Identifier | None:
        """As the pipeline stores it; None where there can be no such value."""
        return stored_identifier(self._system.vault, kind, value, region=self._system.settings.region)

    def remembered_person(self, identifier: Identifier) -> PersonId | None:
        """Whose it is, where that is known without asking the graph. Never blocks."""
        found = self._found.get(identifier)
        return found[1] if found and found[0] == self._system.identity.version else None

    def find(self, caller: ApiKey, identifier: Identifier) -> bytes | None:
        """The person whose it is, as JSON; None where it is nobody's."""
        version = self._version
        who = self.whose.person_of(identifier)
        if who is None:
            return None
        self._found.put(identifier, (version[0], who.id))
        return self._read(caller, who.id, who, version)

    def remembered(self, caller: ApiKey, person: str) -> bytes | None:
        """The answer of `read`, where nothing needs to be asked for it. Never blocks."""
        entry = None if caller.may(Permission.SEE_CLEAR) else self._bodies.get(person)
        if entry is None or entry.version != self._version:
            return None
        return entry.body if self._system.profiles.cached(entry.sets, entry.windows) is entry.profile else None

    def read(self, caller: ApiKey, person: str) -> bytes:
        """The person that this id means now, as JSON. Raises NotFound."""
        version = self._version
        return self._read(caller, person, self.who(person), version)

    @property
    def _version(self) -> tuple[int, int]:
        """Of who is who, and of who is in segments."""
        return self._system.identity.version, self._system.segment_work.turns

    def _read(self, caller: ApiKey, asked: str, who: Person, version: tuple[int, int]) -> bytes:
        sets = tuple(who.sets)
        profile = self._system.profiles.get(sets, who.windows)
        body = msgspec.json.encode(self._shown(caller, who, profile, profile.seen))
        kept = self._system.profiles.cached(sets, who.windows) is profile
        # What happens on a shared device may be another's the next moment, without the graph or these sets moving.
        if kept and not caller.may(Permission.SEE_CLEAR) and not who.shared:
            # With the version from before the look: what changed meanwhile makes it old at once.
            self._bodies.put(asked, _Remembered(version, sets, who.windows, profile, body))
        return body

    def read_as_of(self, caller: ApiKey, person: str, at: Millis) -> bytes:
        """As `read`, of whom we took the person for at that moment of our own clock, from events that had occurred by
        then alone; identifiers seen only later are left out. Where we knew nothing of the person yet, because its
        past came in later, it is the person of today."""
        who = self._who_as_of(person, at)
        sets, windows = tuple(who.sets), who.windows
        seen = _summaries(self._system.events.events_between(sets, after=-1, until=at, windows=windows))
        traits = fold(self._system.events.traits(sets, until=at, windows=windows), until=at)
        times = _times(who, seen)
        known = [each for each in who.values if each.identifier in times and times[each.identifier][0] <= at]
        profile = Profile(
            traits=traits,
            first_seen=min((one.first_seen for one in seen), default=None),
            last_seen=max((one.last_seen for one in seen), default=None),
            events=sum(one.events for one in seen),
        )
        return msgspec.json.encode(self._shown(caller, who._replace(values=known), profile, seen))

    def who(self, person: str) -> Person:
        """Raises NotFound for an id that never was a person's."""
        who = self.whose.person(PersonId(person))
        if who is None:
            raise NotFound("person", person)
        return who

    def _who_as_of(self, person: str, at: Millis) -> Person:
        identity = self._system.identity
        found = identity.person_as_of(PersonId(person), at)
        if found is None:
            return self.who(person)
        then, nodes = found
        present = {now for node in nodes if (now := identity.current(pid(*node))) is not None}
        wholes = [whole for each in sorted(present) if (whole := self.whose.person(each)) is not None]
        mine = {node.identifier for node in nodes}
        known = {value.identifier for whole in wholes for value in whole.values}
        sets = {
            each: members
            for whole in wholes
            for each, members in whole.sets.items()
            # As today an event is its strongest identifier's; sessions are kept of whom nobody was joined with since.
            if known <= mine or next((one for one in strongest(members, identity.policy) if one in known), None) in mine
        }
        windows: dict[SetId, list[Window]] = {}
        for each, when in ((each, when) for whole in wholes for each, when in whole.windows.items() if each in sets):
            windows[each] = sorted([*windows.get(each, ()), *when], key=lambda window: window[0] or 0)
        values = {value.node: value for whole in wholes for value in whole.values if value.node in nodes}
        return Person(then, list(values.values()), sets, windows)

    def current(self, person: str) -> PersonId:
        """The person that this id means now. Raises NotFound for an id that never was one."""
        current = self._system.identity.current(PersonId(person))
        if current is None:
            raise NotFound("person", person)
        return current

    def _shown(self, caller: ApiKey, who: Person, profile: Profile, seen: Iterable[SetSummary]) -> shapes.Person:
        reveal = caller.may(Permission.SEE_CLEAR)
        tokens = tokens_of(each.identifier for each in who.values)
        traits = {
            name: {
                "value": trait_shown(name, trait.value, reveal=reveal),
                "source": trait.source,
                "at": rfc3339(trait.at),
            }
            for name, trait in profile.traits.items()
        }
        in_traits = tokens_in(traits)
        shown = self._showing.values(caller, tokens | in_traits, subject=who.id)
        times = _times(who, seen)
        identifiers = [
            shapes.PersonIdentifier(
                kind=each.identifier.kind,
                value=identifier_shown(each.identifier, shown, reveal=reveal),
                first_seen=_time(times[each.identifier][0]) if each.identifier in times else None,
                last_seen=_time(times[each.identifier][1]) if each.identifier in times else None,
            )
            for each in who.values
        ]
        return shapes.Person(
            id=who.id,
            identifiers=sorted(identifiers, key=lambda each: (each.kind, each.first_seen or "", each.value)),
            traits=msgspec.convert(filled(traits, shown) if in_traits else traits, dict[str, shapes.Trait]),
            first_seen=_time(profile.first_seen),
            last_seen=_time(profile.last_seen),
            events=profile.events,
            segments=[each["id"] for each in self._system.membership.segments_of(who.id)],
        )


def stored_identifier(vault: Vault, kind: str, value: str, *, region: str) -> Identifier | None:
    """An identifier as the pipeline stores it: normalised, a token for the personal kinds, and in others a marker
    where somebody used a phone number or the like. None where there can be no such value."""
    normal = normalise(kind, value, region=region)
    if normal is None:
        return None
    if kind in PERSONAL_KINDS:
        return Identifier(kind, vault.token(kind, normal))

    def tokenise(found_kind: str, found: str) -> str | None:
        same = normalise(found_kind, found, region=region)
        return None if same is None else vault.token(found_kind, same)

    return Identifier(kind, scrub_text(normal, tokenise))


def _times(who: Person, seen: Iterable[SetSummary]) -> dict[Identifier, tuple[Millis, Millis]]:
    """First and last time of each identifier: of the events that carried it, else of the evidence, such as a form."""
    times: dict[Identifier, tuple[Millis, Millis]] = {}
    for one in seen:
        for identifier in who.sets.get(one.set, ()):
            first, last = times.get(identifier, (one.first_seen, one.last_seen))
            times[identifier] = (min(first, one.first_seen), max(last, one.last_seen))
    for each in who.values:
        if each.identifier not in times and each.first_seen is not None and each.last_seen is not None:
            times[each.identifier] = (each.first_seen, each.last_seen)
    return times


def _summaries(events: Sequence[Mapping[str, object]]) -> list[SetSummary]:
    found: dict[SetId, list[Millis]] = {}
    for set_, at in ((event["set"], event["occurred_at"]) for event in events):
        found.setdefault(set_, []).append(at)  # type: ignore[arg-type]
    return [SetSummary(set_, len(times), min(times), max(times)) for set_, times in found.items()]


def _time(at: Millis | None) -> str | None:
    return None if at is None else rfc3339(at)
