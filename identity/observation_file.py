"""Read observations from a file: one JSON object a line, in any order, repeats and retractions among them.

What a line says is checked, its values normalised, and nothing of it depends on where it stands; its number is kept
for complaints alone. Unknown fields are passed over. A line that cannot be read ends the reading, or is set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from cdp.errors import ConfigurationError
from cdp.model import DAY_MS, Identifier, Millis
from cdp.moments import parse_rfc3339
from identity.kinds import BUILT_IN
from identity.normalise import normalise
from identity.observation import Observation, observation_id

WEAKEST, STRONGEST = 1, 9
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31: the days that a time in text can name."""
LINES_PER_TELL = 20_000

Tell = Callable[[str, float], None]
"""Is told the stage of the work and how much of it is done, from 0 to 1."""


def nobody(stage: str, share: float) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a file says. `observations` by their ids, verdicts and retracted ones included; `unusable` are values
    that cannot be what their kind says, with the reason; `rejected` the reasons of lines set aside, by number."""

    observations: Mapping[str, Observation]
    retracted: frozenset[str]
    unusable: Mapping[Identifier, str]
    rejected: Mapping[int, str]

    @property
    def live(self) -> Iterator[Observation]:
        return (each for name, each in self.observations.items() if name not in self.retracted)


def read_observations(
    lines: Iterable[bytes], *, name: str, region: str = "CN", skip_bad: bool = False, told: Callable[[int], None]
) -> Evidence:
    """What these lines say; `told` is called with the bytes read so far, now and then.

    Raises ConfigurationError for the first line that cannot be read, unless it is to be skipped. Of lines that give
    one id to different contents none can be told to be the right one, so all of them are bad.
    """
    reader = _Reader(_Values(region))
    read = 0
    for number, line in enumerate(lines, 1):
        read += len(line)
        if number % LINES_PER_TELL == 0:
            told(read)
        try:
            reader.take(number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
        except _Unreadable as error:
            if not skip_bad:
                raise ConfigurationError(
                    f"{name}, line {number}", came=f"unreadable: {error}", allowed="one observation as JSON"
                ) from None
            reader.rejected[number] = str(error)
    return reader.evidence()


class _Unreadable(Exception):
    """Why a line says nothing that could be used."""


class _Named(msgspec.Struct, gc=False):
    kind: str
    value: str | int


class _Line(msgspec.Struct, gc=False):
    """A line as it is decoded; what it must have depends on what it is. Numbers stand for their digits."""

    id: str | int | None = None
    occurred_at: str | int | float | None = None
    strength: int | None = None
    identifiers: list[_Named] | None = None
    verdict: Literal["different"] | None = None
    retract: str | int | None = None


class _Entry(msgspec.Struct, gc=False):
    """What the id of a line stands for: an observation, or the name of one that is retracted; and the line's number."""

    number: int
    says: Observation | str


@dataclass(slots=True)
class _Reader:
    values: _Values
    entries: dict[str, _Entry] = field(default_factory=dict)
    nameless: set[str] = field(default_factory=set)
    again: dict[str, list[int]] = field(default_factory=dict)
    disputed: set[str] = field(default_factory=set)
    rejected: dict[int, str] = field(default_factory=dict)

    def take(self, number: int, text: bytes) -> None:
        if not text or text.isspace():
            return
        line = _decoded(text)
        says = str(line.retract) if line.retract is not None else self.observation(line)
        if isinstance(says, str) and line.id is None:
            self.nameless.add(says)
            return
        name = _name(line)
        there = self.entries.setdefault(name, _Entry(number, says))
        if there.number != number:
            self.again.setdefault(name, []).append(number)
        if there.says != says:
            self.disputed.add(name)
            raise _Unreadable(f"its id is that of line {there.number}, with other content")

    def observation(self, line: _Line) -> Observation:
        name, at, strength = _name(line), _moment(line.occurred_at), line.strength
        if strength is None or not WEAKEST <= strength <= STRONGEST:
            raise _Unreadable(_missing("strength") if strength is None else f"strength is {strength}, not 1 to 9")
        if line.identifiers is None:
            raise _Unreadable(_missing("identifiers"))
        met = self.values.identifiers(line.identifiers)
        return Observation(observation_id(name), met, strength, at, different=line.verdict is not None)

    def evidence(self) -> Evidence:
        for name in self.disputed:
            lines = [self.entries.pop(name).number, *self.again[name]]
            reason = f"lines {', '.join(map(str, lines))} have one id and not one content"
            self.rejected.update(dict.fromkeys(lines, reason))
        return Evidence(
            {name: each.says for name, each in self.entries.items() if isinstance(each.says, Observation)},
            frozenset(self.nameless.union(each.says for each in self.entries.values() if isinstance(each.says, str))),
            self.values.unusable,
            dict(sorted(self.rejected.items())),
        )


_decoder = msgspec.json.Decoder(_Line)


def _decoded(text: bytes) -> _Line:
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        raise _Unreadable(str(error)) from None
    except msgspec.DecodeError as error:
        raise _Unreadable(f"no JSON ({error})") from None
    except UnicodeDecodeError:
        raise _Unreadable("no UTF-8") from None
    except RecursionError:
        raise _Unreadable("nested too deeply") from None


def _name(line: _Line) -> str:
    if line.id is None or line.id == "":
        raise _Unreadable(_missing("id"))
    return str(line.id)


def _moment(at: str | float | None) -> Millis:
    if at is None:
        raise _Unreadable(_missing("occurred_at"))
    if isinstance(at, str):
        try:
            return parse_rfc3339(at.upper())
        except (ValueError, OverflowError):
            raise _Unreadable("occurred_at is no time with a zone such as 2026-11-22T03:10:39Z") from None
    if not FIRST_DAY <= at <= LAST_DAY:
        raise _Unreadable("occurred_at is no day number, which counts days since 1970-01-01")
    return round(at * DAY_MS)


def _missing(field: str) -> str:
    return f"{field} is missing"


@dataclass(slots=True)
class _Values:
    """Makes identifiers out of what lines name, each value and each set once, so that a million share them."""

    region: str
    made: dict[str, dict[str, Identifier]] = field(default_factory=dict)
    sets: dict[tuple[Identifier, ...], tuple[Identifier, ...]] = field(default_factory=dict)
    unusable: dict[Identifier, str] = field(default_factory=dict)

    def identifiers(self, named: Iterable[_Named]) -> tuple[Identifier, ...]:
        """Sorted, each once."""
        met = tuple(sorted({self.identifier(each.kind, str(each.value)) for each in named}))
        return self.sets.setdefault(met, met)

    def identifier(self, kind: str, value: str) -> Identifier:
        if not kind:
            raise _Unreadable("an identifier has an empty kind")
        of_kind = self.made.setdefault(kind, {})
        made = of_kind.get(value)
        if made is None:
            made = of_kind[value] = self.make(kind, value)
        return made

    def make(self, kind: str, value: str) -> Identifier:
        """A value of a kind that only the policy names is taken as it is, but there must be one."""
        normal: str | None = value or None
        if kind in BUILT_IN.kinds:
            normal = normalise(kind, value, region=self.region)
        if normal is None:
            made = Identifier(kind, value)
            self.unusable[made] = f"cannot be a value of {kind}"
            return made
        made = Identifier(kind, normal)
        return self.made[kind].setdefault(normal, made)
