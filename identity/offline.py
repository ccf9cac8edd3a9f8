"""Who is who by the observations of a file, without any store: `cdp identity resolve`.

The answer is that of the live system for the same evidence and policy, but for persons' names: where nothing is
ingested, birth order is the time at which an identifier was first observed, then the identifier. So the lines of a
file may be in any order, and two runs write the same bytes.
"""

from __future__ import annotations

import gc
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from cdp.errors import ConfigurationError
from cdp.model import Identifier, Millis, PersonId
from cdp.moments import rfc3339
from identity.attribution import Sighting, Window, sessions, speaker, who_had_it
from identity.graph import SetMember
from identity.kinds import Policy
from identity.observation import Node, Observation, pid
from identity.observation_file import Evidence, Tell, read_observations
from identity.ownership import anchor_of
from identity.resolve import Resolution, Standing, State, resolve, usable_of
from identity.whole_files import check_places, csv_line, write_whole

NOBODY = ""
HEADER = csv_line("observation", "person")
VALUES_HEADER = csv_line("kind", "value", "state", "reason")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the answers of one run are written; `rejected` only where bad lines are to be skipped."""

    persons: Path
    values: Path
    rejected: Path | None

    @classmethod
    def beside(cls, out: Path, *, skip_bad: bool) -> Places:
        return cls(out, Path(f"{out}.values.csv"), Path(f"{out}.rejected.jsonl") if skip_bad else None)

    @property
    def all(self) -> list[Path]:
        return [each for each in (self.rejected, self.values, self.persons) if each is not None]


class Summary(msgspec.Struct, frozen=True):
    """One run in numbers. `observations` have a row each, `nobodys` of them an empty person; `contradictions` are live
    observations that link nothing; `retracted` those that a line took away; `policy` names the policy's content."""

    observations: int
    persons: int
    nobodys: int
    contradictions: int
    retracted: int
    rejected: int
    values: dict[str, int]
    policy: str


def resolve_file(
    file: Path, out: Path, policy: Policy, *, region: str, skip_bad: bool, tell: Tell, keep: Iterable[Path] = ()
) -> Summary:
    """Read observations, resolve them, write who is who; never over `file` or those to `keep`.

    Raises ConfigurationError, and then nothing was written.
    """
    places = Places.beside(out, skip_bad=skip_bad)
    check_places("--out", places.all, read=[file, *keep])
    with _without_collector():
        evidence = _read(file, region, skip_bad, tell)
        tell("resolving", 0.0)
        resolution = resolve(evidence.live, policy, blocked=evidence.unusable)
        tell("resolving", 1.0)
        persons = persons_of(evidence, resolution, policy)
        tell("writing", 0.0)
        texts: dict[Path, Iterable[str]] = {
            places.values: _values_csv(resolution),
            places.persons: _persons_csv(persons),
        }
        if places.rejected is not None:
            texts = {places.rejected: _rejected_lines(file, evidence.rejected), **texts}
        write_whole("--out", texts)
        tell("writing", 1.0)
    return _summary(evidence, resolution, persons, policy)


def persons_of(evidence: Evidence, resolution: Resolution, policy: Policy) -> dict[str, str]:
    """The person of each observation, verdicts aside, sorted by its id; NOBODY where only values were met that link
    nobody, and outside of every session of a shared device.

    A retracted observation is whose the remaining evidence says its identifiers are.
    """
    owners = _Owners(evidence.live, resolution, policy)
    return {
        name: owners.person(observation)
        for name, observation in sorted(evidence.observations.items())
        if not observation.different
    }


class _Owners:
    """Says whose an observation is, as `attribution` has it; what it found for a set of identifiers is kept."""

    def __init__(self, live: Iterable[Observation], resolution: Resolution, policy: Policy) -> None:
        live = list(live)
        self.policy, self.standings = policy, resolution.standings
        self.labels = labels_of(resolution, first_seen(live))
        self.sessions = self.sessions_of(each for each in live if each.id not in resolution.contradictions)
        self.speakers: dict[tuple[Identifier, ...], Identifier | None] = {}

    def person(self, observation: Observation) -> str:
        met = observation.identifiers
        if met not in self.speakers:
            self.speakers[met] = self.speaker(met)
        value = self.speakers[met]
        if value is None:
            return NOBODY
        standing = self.standings[value]
        if standing.state is State.LINK:
            return self.labels[Node(value, standing.owner_at(observation.occurred_at))]
        # A tablet has a profile of its own in the live system; but it is no person, and here persons are asked for.
        anchor = who_had_it(self.sessions.get(value, ()), observation.occurred_at)
        return self.labels[Node(anchor)] if anchor else NOBODY

    def speaker(self, met: Iterable[Identifier]) -> Identifier | None:
        """Whose the observations of these identifiers are. What was only in retracted ones is unknown."""
        known = (SetMember(each, self.standings[each].state, (), None) for each in met if each in self.standings)
        found = speaker(known, self.policy)
        return found.identifier if found is not None else None

    def sessions_of(self, usable: Iterable[Observation]) -> Mapping[Identifier, list[tuple[Window, Identifier]]]:
        """Who had each device, and other value that changes hands, of those that link nobody."""
        devices = {
            value
            for value, standing in self.standings.items()
            if standing.state in (State.SHARED, State.HUB) and self.policy.kind(value.kind).changes_hands
        }
        blocked = {value for value, standing in self.standings.items() if standing.state is State.BLOCKED}
        sightings: defaultdict[Identifier, list[Sighting]] = defaultdict(list)
        for each in usable:
            if each.different or each.strength < self.policy.owner_strength or devices.isdisjoint(each.identifiers):
                continue
            met = usable_of(each, blocked, self.policy)
            anchor = anchor_of(met, self.policy)
            if anchor is not None:
                for value in devices.intersection(met):
                    sightings[value].append(Sighting(each.occurred_at, anchor))
        return {value: sessions(seen) for value, seen in sightings.items()}


def first_seen(live: Iterable[Observation]) -> dict[Identifier, Millis]:
    """The earliest time at which each identifier was observed."""
    first: dict[Identifier, Millis] = {}
    for each in live:
        for value in each.identifiers:
            there = first.get(value)
            if there is None or each.occurred_at < there:
                first[value] = each.occurred_at
    return first


def labels_of(resolution: Resolution, first: Mapping[Identifier, Millis]) -> dict[Node, PersonId]:
    """The person of each node, named by the node that was born first: by time, then by itself. Epochs are born after
    all identifiers, as they are found among them."""

    def birth(node: Node) -> tuple[bool, Millis, Node]:
        starts = (each.start for each in resolution.standings[node.identifier].epochs if each.owner == node.owner)
        return bool(node.owner), next(starts, first[node.identifier]), node

    labels: dict[Node, PersonId] = {}
    for component in resolution.components:
        for person in component:
            oldest = min(person, key=birth) if len(person) > 1 else next(iter(person))
            labels.update(dict.fromkeys(person, pid(*oldest)))
    return labels


# Files


def _read(file: Path, region: str, skip_bad: bool, tell: Tell) -> Evidence:
    try:
        if not file.is_file():
            raise ConfigurationError(
                "FILE", came=f"{file}, which is no file", allowed="a file of observations, one a line"
            )
        with file.open("rb") as lines:
            size = os.fstat(lines.fileno()).st_size or 1
            told = partial(_tell_share, tell, size)
            return read_observations(lines, name=file.name, region=region, skip_bad=skip_bad, told=told)
    except OSError as error:
        raise ConfigurationError(
            "FILE", came=f"{file} ({error.strerror})", allowed="a file of observations, one a line"
        ) from None


def _tell_share(tell: Tell, size: int, read: int) -> None:
    tell("reading", min(read / size, 1.0))


def _persons_csv(persons: Mapping[str, str]) -> Iterator[str]:
    yield HEADER
    for observation, person in persons.items():
        yield csv_line(observation, person)


def _values_csv(resolution: Resolution) -> Iterator[str]:
    yield VALUES_HEADER
    for value, standing in sorted(resolution.standings.items(), key=lambda each: (each[0].kind, each[0].value)):
        yield csv_line(value.kind, value.value, standing.state, standing.reason or _epochs(standing))


def _epochs(standing: Standing) -> str:
    return "; ".join(f"from {rfc3339(each.start)} on it is that of {each.owner}" for each in standing.epochs)


def _rejected_lines(file: Path, rejected: Mapping[int, str]) -> Iterator[str]:
    if not rejected:
        return
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number in rejected:
                text = line.rstrip(b"\r\n").decode("utf-8", errors="backslashreplace")
                row = {"line": number, "reason": rejected[number], "text": text}
                yield msgspec.json.encode(row).decode() + "\n"


def _summary(evidence: Evidence, resolution: Resolution, persons: Mapping[str, str], policy: Policy) -> Summary:
    return Summary(
        observations=len(persons),
        persons=len(set(persons.values()) - {NOBODY}),
        nobodys=sum(person == NOBODY for person in persons.values()),
        contradictions=len(resolution.contradictions),
        retracted=len(evidence.retracted.intersection(evidence.observations)),
        rejected=len(evidence.rejected),
        values=dict(sorted(Counter(str(each.state) for each in resolution.standings.values()).items())),
        policy=policy.name,
    )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Millions of tuples are made that live to the end; the cycle collector would walk them again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
