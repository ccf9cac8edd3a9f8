"""Whose an event is, and which events are a person's: the graph's answer, and on shared devices the session's.

Whoever proves a shared device has it for half an hour (`identity.attribution`). That somebody proved it, and on which
day, is evidence, and the graph's; when exactly, only the event store knows, for evidence is kept by the day. So both
are asked here, and whoever reads trails, profiles or events comes through here: then all of them say the same.

Nothing is remembered and nothing written. A login that comes late moves the events of its half hours by being there.
Who never had a shared device costs no more than the graph's answer; for others no more is read of a device than what
happened around their own proofs, be it a showroom's tablet with ten thousand owners.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import NamedTuple

from cdp.model import ALWAYS, DAY_MS, Identifier, Millis, PersonId, SetId, Window
from identity.attribution import SESSION_MS, Sighting, goes_round, sessions, speaker
from identity.graph import SetMember
from identity.observation import Observation, pid
from identity.person import Person
from identity.resolve import State, contradiction
from identity.verbs import Identity
from profiles.store import BEGINNING, EventStore

FEW_ANCHORS = 50
"""Of more, the evidence is asked for by the device."""

Moment = tuple[SetId, Millis]
"""Where an event is found: its identifier set, and its own time."""
Sets = Mapping[SetId, Sequence[SetMember]]


class Turn(NamedTuple):
    """When a person had a device."""

    window: Window
    person: PersonId | None


class Whose:
    """Thread-safe. Raises StoreUnavailable where one of the two stores cannot be reached."""

    def __init__(self, identity: Identity, events: EventStore) -> None:
        self._identity, self._events = identity, events

    def person(self, person: PersonId) -> Person | None:
        """`Identity.whole`, with its sessions on shared devices; of a device, without those of others.

        A window of a session is told where something happened in it that has no other owner.
        """
        found = self._identity.whole(person)
        return self.with_sessions(found) if found else None

    def person_of(self, identifier: Identifier) -> Person | None:
        """`person` of whose this identifier is now."""
        found = self._identity.whole_of(identifier)
        return self.with_sessions(found) if found else None

    def with_sessions(self, who: Person) -> Person:
        """`person`, for what `Identity.whole` gave."""
        if not who.shared:
            return who
        sets, windows = dict(who.sets), dict(who.windows)
        for device, proving in self._proving(who.shared).items():
            for each, members, when in self._sessions_of(who.id, device, proving):
                sets[each], windows[each] = tuple(member.identifier for member in members), when
        for device, own in self._own(who.shared).items():
            windows |= dict.fromkeys(own, self._without_sessions(device, own))
        return who._replace(sets=sets, windows=windows)

    def devices(self, who: Person) -> frozenset[Identifier]:
        """The shared devices that this person may have proved to have."""
        return frozenset(self._proving(who.shared))

    def person_at(self, each: SetId, at: Millis) -> PersonId | None:
        """Whose an event of this set and this time is; None where nobody's."""
        return self.persons_at([(each, at)])[each, at]

    def persons_at(self, moments: Collection[Moment]) -> dict[Moment, PersonId | None]:
        """`person_at` for many, with a few looks into the graph, and into the event store two for each shared device
        that they happened on."""
        sets = {each for each, _ in moments}
        members = self._identity.members_of_sets(sets)
        over = self._identity.over_time_of(members)
        found = {(each, at): _in_time(over.get(each, ()), at) for each, at in moments}
        shared: defaultdict[Identifier, list[Moment]] = defaultdict(list)
        device_of = {each: self._device(held) for each, held in members.items()}
        for each, at in moments:
            if device := device_of.get(each):
                shared[device].append((each, at))
        for device, those in shared.items():
            happened = self._happened(device, _around((at for _, at in those), before=SESSION_MS, after=SESSION_MS))
            turns = self._turns(device, happened)[0]
            found |= {moment: turn.person for moment in those if (turn := _turn_at(turns, moment[1]))}
        return found

    # Of many sets

    def over_time(self, sets: Collection[SetId]) -> dict[SetId, list[Turn]]:
        """Whose the events of each of these sets are, over all of time, oldest turn first: for every event that is
        stored what `person_at` says. No two turns that follow each other are one person's; None is nobody.

        A few looks into the graph, and into the event store two for each shared device that some of the sets are about.
        """
        return self.over_time_of(sets, self._identity.members_of_sets(sets))

    def over_time_of(self, sets: Collection[SetId], members: Sets) -> dict[SetId, list[Turn]]:
        """`over_time` of sets whose members were read just now."""
        over = self._identity.over_time_of(members)
        found = {each: [Turn(*part) for part in over.get(each, ())] or [Turn(ALWAYS, None)] for each in sets}
        for device, own in self._own(members).items():
            for each, turns in self._turns_of(device, own):
                found[each] = _laid_over(found[each], turns)
        return {each: _joined(turns) for each, turns in found.items()}

    def devices_of(self, members: Sets) -> set[PersonId]:
        """Who the shared devices in these sets are by themselves. Where something becomes of these sets their sessions
        may be others, and so may whose the events are that came with such a device alone, its own outside of sessions.
        """
        policy = self._identity.policy
        met = chain.from_iterable(members.values())
        return {member.person for member in met if member.person is not None and goes_round(member, policy)}

    # Of a person

    def _proving(self, shared: Sets) -> dict[Identifier, list[SetId]]:
        """By device, the sets that may prove it to be this person's for a while."""
        found: defaultdict[Identifier, list[SetId]] = defaultdict(list)
        for each, members in shared.items():
            if self._anchor(members):
                for member in members:
                    if goes_round(member, self._identity.policy):
                        found[member.identifier].append(each)
        return found

    def _own(self, shared: Sets) -> dict[Identifier, list[SetId]]:
        """By device, the sets of which only the device speaks."""
        found: defaultdict[Identifier, list[SetId]] = defaultdict(list)
        for each, members in shared.items():
            if device := self._device(members):
                found[device].append(each)
        return found

    def _sessions_of(
        self, person: PersonId, device: Identifier, proving: Sequence[SetId]
    ) -> Iterator[tuple[SetId, Sequence[SetMember], list[Window]]]:
        """The sets that speak of the device alone, and when their events are this person's."""
        own = (at for at, _ in self._events.moments(proving, (ALWAYS,)))
        # Half an hour before a proof is its person's, unless somebody had proved the device half an hour before that.
        happened = self._happened(device, _around(own, before=2 * SESSION_MS, after=SESSION_MS))
        turns, members = self._turns(device, happened)
        mine = [turn.window for turn in turns if turn.person == person]
        alone: defaultdict[SetId, list[Millis]] = defaultdict(list)
        for at, each in happened:
            if self._device(members.get(each, ())) == device:
                alone[each].append(at)
        for each, moments in alone.items():
            if when := _where(mine, moments):
                yield each, members[each], when

    def _without_sessions(self, device: Identifier, own: Sequence[SetId]) -> list[Window]:
        """When the events of these sets are nobody's but the device's."""
        moments = [at for at, _ in self._events.moments(own, (ALWAYS,))]
        happened = self._happened(device, _around(moments, before=SESSION_MS, after=SESSION_MS))
        return _where(_between([turn.window for turn in self._turns(device, happened)[0]]), moments)

    # Of a device

    def _turns_of(self, device: Identifier, own: Sequence[SetId]) -> Iterator[tuple[SetId, list[Turn]]]:
        """In whose sessions something happened under each of these sets, which speak of the device alone."""
        moments: defaultdict[SetId, list[Millis]] = defaultdict(list)
        for at, each in self._events.moments(own, (ALWAYS,)):
            moments[each].append(at)
        every = chain.from_iterable(moments.values())
        happened = self._happened(device, _around(every, before=SESSION_MS, after=SESSION_MS))
        turns = self._turns(device, happened)[0]
        for each, its in moments.items():
            yield each, [turn for turn in turns if _where([turn.window], its)]

    def _happened(self, device: Identifier, within: Sequence[Window]) -> list[tuple[Millis, SetId]]:
        """All that happened with a device, oldest first."""
        graph = self._identity.graph
        base = [each.number for each in graph.values([pid(device)])]
        return self._events.moments(graph.holding(base), within)

    def _turns(self, device: Identifier, happened: Sequence[tuple[Millis, SetId]]) -> tuple[list[Turn], Sets]:
        """Who had the device, by what of all this proves it, in order and without overlap; and the sets' members."""
        members = self._identity.members_of_sets({each for _, each in happened})
        anchors = {each: anchor for each, held in members.items() if (anchor := self._anchor(held))}
        said = self._evidence(device, {anchor.identifier for anchor in anchors.values()})
        proved = {
            (each, day): self._proves(members[each], said.get((day, anchors[each].identifier), ()))
            for each, day in {(each, at // DAY_MS) for at, each in happened if each in anchors}
        }
        proofs = [(at, each) for at, each in happened if proved.get((each, at // DAY_MS))]
        found = sessions(Sighting(at, anchors[each].identifier) for at, each in proofs)
        persons = {anchor.identifier: anchor.person for anchor in anchors.values()}
        return [Turn(window, persons[anchor]) for window, anchor in found], members

    def _evidence(
        self, device: Identifier, anchors: Set[Identifier]
    ) -> Mapping[tuple[int, Identifier], list[Observation]]:
        """By day and anchor, what was said of both and the device as strongly as owning it takes."""
        if not anchors:
            return {}
        graph, policy = self._identity.graph, self._identity.policy
        asked = anchors if len(anchors) <= FEW_ANCHORS else [device]
        found: defaultdict[tuple[int, Identifier], list[Observation]] = defaultdict(list)
        for each in graph.mentioning([value.number for value in graph.values([pid(value) for value in asked])]):
            if each.strength >= policy.owner_strength and not each.different and device in each.identifiers:
                for anchor in anchors & set(each.identifiers):
                    found[each.occurred_at // DAY_MS, anchor].append(each)
        return found

    # Of a set

    def _device(self, members: Iterable[SetMember]) -> Identifier | None:
        """The shared device whose sessions say whose the events of a set are; None where something better speaks."""
        found = speaker(members, self._identity.policy)
        return found.identifier if found and goes_round(found, self._identity.policy) else None

    def _anchor(self, members: Iterable[SetMember]) -> SetMember | None:
        """Who, by speaking of a set, can prove to have its devices."""
        found = speaker(members, self._identity.policy)
        anchors = found and found.state is State.LINK and self._identity.policy.anchors(found.identifier.kind)
        return found if anchors else None

    def _proves(self, members: Sequence[SetMember], said: Iterable[Observation]) -> bool:
        """Whether one of these observations is about events of this set: it has nobody whom the set has not, and all
        of the set's anchors."""
        policy = self._identity.policy
        usable = {member.identifier for member in members if member.state is not State.BLOCKED}
        every = {member.identifier for member in members}
        anchors = {each for each in usable if policy.anchors(each.kind)}
        return any(
            anchors <= met <= every and contradiction(each, met & usable, policy) is None
            for each in said
            if (met := set(each.identifiers))
        )


# Stretches of time


def beyond(windows: Iterable[Window], known: Iterable[Window]) -> list[Window]:
    """What of these windows is in none of the others, both in order."""
    found = [_common(one, other) for one in windows for other in _between(known)]
    return [each for each in found if each is not None]


def _common(one: Window, other: Window) -> Window | None:
    starts = [each for each in (one[0], other[0]) if each is not None]
    ends = [each for each in (one[1], other[1]) if each is not None]
    start, end = max(starts, default=None), min(ends, default=None)
    return None if start is not None and end is not None and start >= end else (start, end)


def _in_time(over: Sequence[tuple[Window, PersonId | None]], at: Millis) -> PersonId | None:
    return next((person for (start, _), person in reversed(over) if start is None or start <= at), None)


def _laid_over(below: Sequence[Turn], above: Sequence[Turn]) -> list[Turn]:
    """The turns above, and between them those below; both in order, and those below without gaps."""
    found = [
        Turn(window, turn.person)
        for turn in below
        for free in _between([each.window for each in above])
        if (window := _common(turn.window, free))
    ]
    return sorted([*found, *above], key=lambda turn: BEGINNING if turn.window[0] is None else turn.window[0])


def _joined(turns: Sequence[Turn]) -> list[Turn]:
    """The same with one turn where several of one person's follow each other; `turns` have no gaps."""
    found: list[Turn] = []
    for window, person in turns:
        start = found.pop().window[0] if found and found[-1].person == person else window[0]
        found.append(Turn((start, window[1]), person))
    return found


def _turn_at(turns: Sequence[Turn], at: Millis) -> Turn | None:
    return next((turn for turn in turns if _where([turn.window], [at])), None)


def _around(moments: Iterable[Millis], *, before: Millis, after: Millis) -> list[Window]:
    """What lies so near to any of these moments, both ends included."""
    found: list[tuple[Millis, Millis]] = []
    for at in sorted(moments):
        start, end = at - before, at + after + 1
        if found and start <= found[-1][1]:
            start = found.pop()[0]
        found.append((start, end))
    return list(found)


def _between(windows: Iterable[Window]) -> list[Window]:
    """What lies before, between and after these windows, which are in order."""
    found: list[Window] = []
    free: Window = ALWAYS
    for start, end in windows:
        if start is not None and start != free[0]:
            found.append((free[0], start))
        if end is None:
            return found
        free = (end, None)
    return [*found, free]


def _where(windows: Iterable[Window], moments: Sequence[Millis]) -> list[Window]:
    """Those windows that hold any of the moments, which are in order."""
    return [each for each in windows if _first_from(moments, each[0]) < _first_from(moments, each[1], len(moments))]


def _first_from(moments: Sequence[Millis], at: Millis | None, otherwise: int = 0) -> int:
    return otherwise if at is None else bisect_left(moments, at)
