"""Personal values have no place in a definition: it is shown to everybody who reads segments, and outlives an erasure.

The stores hold tokens in the place of such values, so a comparison with one would find nobody anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdp.model import PERSONAL_KINDS
from cdp.scrub import scrub_text
from identity.normalise import normalise
from leads.contact import field_of
from leads.lead import CONTACT_FIELDS
from leads.show import MARKER_START, NAMING
from segments.counts import CHOSEN
from segments.faults import Fault, MalformedSegment
from segments.tree import Fn

_SILENT = PERSONAL_KINDS | NAMING | {"address", "地址", "birthday", "生日"}
_STORED = (*CHOSEN, Fn.MIN, Fn.MAX)
"""Of these aggregates the figure is a value as it came."""
_ADVICE = (
    "No segment keeps one, and none is found by one: ask whether the value is missing or present, name another segment"
    " with in, or send an attribute that marks whom you mean."
)


def is_tokenised(name: str) -> bool:
    """Whether the values of a property or attribute are tokens, of which only whether they are there can be asked."""
    return _last(name) in PERSONAL_KINDS


def may_be_told(name: str) -> bool:
    """Whether values of a property or attribute may be told to somebody who has not seen them."""
    last = _last(name)
    return last not in _SILENT and field_of(last) not in CONTACT_FIELDS and not has_marker(name)


def has_marker(text: str) -> bool:
    return MARKER_START in text


def refuse_personal(document: Any) -> None:
    """Raises MalformedSegment, which does not repeat them, where a document that is `bounded` holds personal values."""
    faults = [
        Fault(path, "no personal value", f"a value of the kind {kind}", _ADVICE)
        for path, text in _texts(document)
        for kind in personal_kinds(text)
    ]
    if faults:
        raise MalformedSegment(faults)


def personal_kinds(text: str) -> list[str]:
    """The kinds of the personal values that a text holds, as they are found in what comes in."""
    found: list[str] = []

    def note(kind: str, value: str) -> None:
        if normalise(kind, value) is not None and kind not in found:
            found.append(kind)

    scrub_text(text, note)
    return found


def _texts(document: Any) -> Iterator[tuple[str, str]]:
    """All texts, names of fields and values to compare with that are numbers, in order, with their paths."""
    waiting: list[tuple[Any, str]] = [(document, "")]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, list):
            waiting += ((each, f"{path}[{index}]") for index, each in reversed([*enumerate(value)]))
        elif isinstance(value, dict):
            yield from ((path, name) for name in value)
            names = [name for name in reversed(value) if not _is_id(name, value)]
            waiting += ((_compared(value, name), f"{path}.{name}".lstrip(".")) for name in names)


def _compared(fields: dict[str, Any], name: str) -> Any:
    """The value of a field; numbers as text where a stored value is compared with them."""
    value, agg = fields[name], fields.get("agg")
    stored = "prop" in fields or "attr" in fields or (isinstance(agg, dict) and agg.get("fn") in _STORED)
    if name != "value" or not stored:
        return value
    return [_as_text(each) for each in value] if isinstance(value, list) else _as_text(value)


def _as_text(value: Any) -> Any:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    return str(int(value)) if whole else value


def _is_id(name: str, fields: dict[str, Any]) -> bool:
    """Ids of segments are ours, and one in some thousands looks as if a number were in it."""
    return name == "in" and isinstance(fields[name], str) and fields[name].startswith("sg_")


def _last(name: str) -> str:
    return name.lower().rpartition(".")[2].lstrip("$")
