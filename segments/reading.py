"""A careful look at a JSON document that may be hostile.

`bounded` goes over all of it without recursion before anything else may. A `Place` is one value of it: each method
gives the value if it is as it should be; otherwise it notes the fault and gives a stand-in of the right type, so that
reading goes on and all faults are found at once. What is made of a document with faults is thrown away.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from cdp.model import DAY_MS, Millis
from segments.faults import Fault, MalformedSegment, closest, shown, suggestion
from segments.limits import (
    MAX_DOCUMENT_CHARACTERS,
    MAX_DOCUMENT_DEPTH,
    MAX_DOCUMENT_VALUES,
    MAX_DURATION_MS,
    MAX_FAULTS,
    MAX_NUMBER,
    MAX_TEXT,
    MAX_VALUES,
)
from segments.tree import Duration, Entity, Scalar
from segments.units import A_DURATION, A_MOMENT, YEARS, parse_duration, parse_moment

T = TypeVar("T")

_SHOWN_OF_KEY = 60


@dataclass(slots=True)
class Reading:
    """What one definition is read with: its zone and entity, what was counted, what was found wrong."""

    tz: ZoneInfo
    entity: Entity = Entity.PERSON
    leaves: int = 0
    comparisons: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """So much is wrong that no more is looked for."""
        return len(self.faults) >= MAX_FAULTS

    def note(self, fault: Fault) -> None:
        if not self.full:
            self.faults.append(fault)


@dataclass(frozen=True, slots=True)
class Place:
    """A value of the document, and where it stands."""

    value: Any
    path: str
    reading: Reading

    def refuse(self, expected: str, advice: str, *, got: str = "") -> None:
        self.reading.note(Fault(self.path, expected, got or shown(self.value), advice))

    def fields(self, known: Sequence[str], required: Collection[str] = ()) -> dict[str, Place]:
        """The fields of an object; a required one that is missing is noted and not among them."""
        if not isinstance(self.value, dict):
            self.refuse("an object", f"Its fields are {', '.join(known)}.")
            return {}
        for name in self.value:
            if name not in known and not self.reading.full:
                expected = f"one of the fields {', '.join(known)}"
                advice = suggestion(name, known, otherwise="Take the field out; it would be ignored.")
                self._within(name).refuse(expected, advice, got=f"the field {shown(name)}")
        for name in required:
            if name not in self.value:
                unlike = [each for each in self.value if each not in known]
                likely = closest(name, unlike, most=1)
                advice = f"Did you mean it by {likely[0]}?" if likely else "The field is required."
                self._within(name).refuse("a value", advice, got="none")
        return {name: self._within(name) for name in known if name in self.value}

    def items(self, *, least: int = 0, most: int = MAX_VALUES) -> list[Place]:
        if not isinstance(self.value, list):
            self.refuse("a list", "Put it in brackets: [ … ].")
            return []
        if not least <= len(self.value) <= most:
            at_least = f"at least {least:,} and " if least else ""
            self.refuse(f"a list of {at_least}at most {most:,}", "Add or take out some.", got=f"{len(self.value):,}")
            return []
        return [Place(each, f"{self.path}[{index}]", self.reading) for index, each in enumerate(self.value)]

    def text(self, expected: str = "a text") -> str:
        """Between 1 and MAX_TEXT characters."""
        if isinstance(self.value, str) and 1 <= len(self.value) <= MAX_TEXT:
            return self.value
        long = isinstance(self.value, str) and self.value != ""
        got = f"{len(self.value):,} characters" if long else ""
        self.refuse(f"{expected} of 1 to {MAX_TEXT} characters", "Write it in quotes, in this length.", got=got)
        return ""

    def choice(self, options: Iterable[str], *, what: str, waiting: Mapping[str, str] | None = None) -> str:
        """One of `options`; `waiting` are those that will come, with the sentence for them. '' where it is neither."""
        options, value = list(options), self.value
        if isinstance(value, str) and value in options:
            return value
        expected = f"{what}: one of {', '.join(options)}"
        if isinstance(value, str) and waiting and value in waiting:
            self.refuse(expected, waiting[value])
        else:
            near = suggestion(value, options, otherwise="Take one of these.") if isinstance(value, str) else ""
            self.refuse(expected, near or "Write one of these in quotes.")
        return ""

    def number(self, expected: str = "a number") -> int | float:
        if isinstance(self.value, int | float) and not isinstance(self.value, bool):
            return self.value
        self.refuse(expected, "Write a number without quotes.")
        return 0

    def whole(self, low: int, high: int, advice: str = "Write one within these limits, without quotes.") -> int:
        value = self.value
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and value == int(value)
            and low <= value <= high
        ):
            return int(value)
        self.refuse(f"a whole number from {low:,} to {high:,}", advice)
        return low

    def scalar(self) -> Scalar:
        """A text (here it may be empty), a number or true or false."""
        if (isinstance(self.value, str) and len(self.value) <= MAX_TEXT) or isinstance(self.value, bool | int | float):
            return self.value
        help_of = {type(None): "Ask for no value with the op missing.", list: "Ask for one of several with the op in."}
        advice = help_of.get(type(self.value), "Compare with one plain value.")
        self.refuse(f"a text of at most {MAX_TEXT} characters, a number, true or false", advice)
        return ""

    def duration(self, *, least: Duration = 1_000, most: Duration = MAX_DURATION_MS) -> Duration:
        advice = "Use weeks, days, hours, minutes and seconds; months and years are calendar windows."
        try:
            given = parse_duration(self.value) if isinstance(self.value, str) else None
        except ValueError:
            given = None
        if given is None:
            self.refuse(A_DURATION, advice)
        elif not least <= given <= most:
            low = "longer than 0 and " if least else ""
            self.refuse(f"a duration that is {low}at most {most // DAY_MS:,} days", "Take one within these limits.")
        else:
            return given
        return max(least, 1_000)

    def moment(self) -> Millis:
        try:
            return parse_moment(self.value if isinstance(self.value, str) else "", self.reading.tz)
        except ValueError:
            years = f"Years are {YEARS[0]} to {YEARS[-1]}"
            self.refuse(A_MOMENT, f"{years}; a date means its midnight in the time zone of the segment.")
            return 0

    def each(self, read: Callable[[Place], T], *, least: int = 1, most: int = MAX_VALUES) -> tuple[T, ...]:
        return tuple(read(place) for place in self.items(least=least, most=most))

    def _within(self, name: str) -> Place:
        written = name[:_SHOWN_OF_KEY].encode(errors="backslashreplace").decode()
        value = self.value.get(name) if isinstance(self.value, dict) else None
        return Place(value, f"{self.path}.{written}" if self.path else written, self.reading)


def read_json(text: str | bytes) -> Any:
    """JSON in which no object has two fields of one name. Raises ValueError where it is none, else MalformedSegment."""
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        raise _too_much("", f"at most {MAX_DOCUMENT_DEPTH} levels of brackets") from None
    except ValueError:
        raise _too_much("", f"whole numbers of at most {MAX_NUMBER}") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        advice = "Put each into an object of its own, inside all or any."
        raise _refused(twice[:_SHOWN_OF_KEY], "each field once", f"{twice} twice", advice)
    return fields


def bounded(document: Any) -> None:
    """Raises MalformedSegment where the document is too large or deep, or holds what no store can."""
    values, characters = 0, 0
    waiting: list[tuple[Any, str, int]] = [(document, "", 1)]
    while waiting:
        value, path, depth = waiting.pop()
        values += 1
        if depth > MAX_DOCUMENT_DEPTH:
            raise _too_much(path, f"at most {MAX_DOCUMENT_DEPTH} levels of brackets")
        if isinstance(value, list):
            waiting += ((each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value))
        elif isinstance(value, dict):
            if any(not isinstance(name, str) for name in value):
                raise _refused(path, "names of fields in quotes", value, "Send one JSON object.")
            waiting += ((each, f"{path}.{name[:_SHOWN_OF_KEY]}".lstrip("."), depth + 1) for name, each in value.items())
            texts = list(value)
            characters += sum(map(len, texts))
            _check_texts(path, texts)
        elif isinstance(value, str):
            characters += len(value)
            _check_texts(path, [value])
        else:
            _check_number(path, value)
        if values + len(waiting) > MAX_DOCUMENT_VALUES:
            raise _too_much(path, f"at most {MAX_DOCUMENT_VALUES:,} values in all")
        if characters > MAX_DOCUMENT_CHARACTERS:
            raise _too_much(path, f"at most {MAX_DOCUMENT_CHARACTERS:,} characters in all")


def _check_texts(path: str, texts: Iterable[str]) -> None:
    for text in texts:
        if "\0" in text or not _is_unicode(text):
            expected = "text without NUL characters and without halves of surrogate pairs"
            raise _refused(path, expected, text, "Take the character out; no event can hold it.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_number(path: str, value: Any) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise _refused(path, "a finite number", value, "JSON has no NaN and no Infinity.")
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        advice = "Larger ones cannot be told from their neighbours; ids are better sent and compared as text."
        raise _refused(path, f"a whole number of at most {MAX_NUMBER}", value, advice)
    if not isinstance(value, int | float):
        raise _refused(path, "a value of JSON", value, "Send one JSON object.")


def _too_much(path: str, limit: str) -> MalformedSegment:
    return MalformedSegment([Fault(_clean(path), limit, "more", "Say it with less; lists of values take one field.")])


def _refused(path: str, expected: str, got: Any, advice: str) -> MalformedSegment:
    return MalformedSegment([Fault(_clean(path), expected, shown(got), advice)])


def _clean(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()[:500]
