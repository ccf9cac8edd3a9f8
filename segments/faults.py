"""What is wrong with a segment: told place by place, with what would be right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from cdp.errors import Refused

SHOWN = 100
"""Characters of a wrong value that are told."""
CLOSE = 0.6
"""The least likeness of a name that is suggested: `modle_id` is 0.875 like `model_id`, `cty` 0.75 like `city`."""
SLIP = 0.75
"""The least likeness of a name that is taken for a slip of a known one: `delivered_at` is 0.69 like `registered_at`."""
TELLING = 0.15
"""Names that are less like than the likeliest by this much are not suggested beside it."""

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Fault:
    """`path` is as in `where.all[1].did`, '' for the definition itself."""

    path: str
    expected: str
    got: str
    help: str


class MalformedSegment(Refused):
    """A definition that is no segment; `faults` are all that were found."""

    title = "No segment"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        paths = ", ".join(fault.path or "the definition" for fault in self.faults[:5])
        more = f" and {len(self.faults) - 5} more" if len(self.faults) > 5 else ""
        super().__init__(
            f"The segment cannot be read because of {paths}{more}. Correct what `errors` names.",
            [asdict(fault) for fault in self.faults],
        )


def shown(value: Any) -> str:
    """A value as a fault tells it: short, and fit for UTF-8 whatever came."""
    if isinstance(value, str):
        text = json.dumps(value[: SHOWN + 1], ensure_ascii=False).encode(errors="backslashreplace").decode()
        return text if len(value) <= SHOWN else text[:SHOWN] + "…"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**SHOWN else "a number of more than 100 digits"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "an object" if isinstance(value, dict) else "something that is no JSON"


def closest(name: str, among: Iterable[str], *, most: int = 3, least: float = CLOSE) -> list[str]:
    """The names that somebody who wrote `name` may have meant, the likeliest first."""
    # Loaded by the first mistake: processes that read no definitions need not pay for it.
    from rapidfuzz import process
    from rapidfuzz.distance import DamerauLevenshtein

    likeness = DamerauLevenshtein.normalized_similarity
    found = process.extract(name[:SHOWN], list(among), scorer=likeness, limit=most, score_cutoff=least)
    return [each for each, alike, _ in found if alike > found[0][1] - TELLING]


def is_slip(name: str, among: Iterable[str], *, least: float = SLIP) -> bool:
    """Whether `name` is one of these with a slip in it, and not the next one of a series, such as 2027 after 2026."""
    near = closest(name, among, least=least)
    return bool(near) and _without_digits(near[0]) != _without_digits(name)


def _without_digits(name: str) -> str:
    return _DIGITS.sub("#", name)


def suggestion(name: str, among: Iterable[str], *, otherwise: str) -> str:
    """`Did you mean a or b?`, or what else to do where nothing is like it."""
    likely = closest(name, among)
    return f"Did you mean {' or '.join(likely)}?" if likely else otherwise
