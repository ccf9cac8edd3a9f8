"""The answers of `/identity`; see `shapes`."""

from __future__ import annotations

from typing import Any

import msgspec

from api.shapes import BilingualText, Evidence, Identifier, Note


class PathStep(msgspec.Struct, frozen=True, kw_only=True):
    """Two identifiers that came together, as well proved as `strength` says; `observations` are the ids of `evidence`,
    newest first."""

    a: Identifier
    b: Identifier
    strength: int
    observations: list[str]
    evidence: list[Evidence]


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps two identifiers apart: the rule, and the same as a sentence."""

    a: Identifier
    b: Identifier
    rule: str
    sentence: BilingualText


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why two identifiers are one person (`path`, from the one to the other), or what keeps them apart."""

    same: bool
    path: list[PathStep]
    refusals: list[Obstacle]


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A steward's word: `same` or `different`. `undone` is there once it was taken back."""

    id: str
    verdict: str
    a: Identifier
    b: Identifier
    reason: str
    by: str
    at: str
    undone: Note | msgspec.UnsetType = msgspec.UNSET


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    decisions: list[Decision]
    next: str | None


class Retraction(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of evidence that no longer counts."""

    observation: str
    reason: str
    by: str
    at: str | None


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """`merged`: the persons of `now` would be one; `split`: the one of `now` would be several. Each is a list of
    identifiers."""

    what: str
    now: list[list[Identifier]]
    then: list[list[Identifier]]


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """How many persons there are and would be; how many of today's would be merged into others or split."""

    persons_now: int
    persons_then: int
    merged: int
    split: int
    examples: list[Example]


class PersonEnd(Identifier, frozen=True, kw_only=True):
    """An identifier with the person it belongs to now."""

    person: str | None


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A likely match. `score` is a probability; `band` strict or loose; `state` open, same or different; `decision`
    names the steward's word on it."""

    id: str
    a: PersonEnd
    b: PersonEnd
    score: float
    band: str
    reasons: list[BilingualText]
    state: str
    decision: str | None
    at: str


class Reviews(msgspec.Struct, frozen=True, kw_only=True):
    reviews: list[Review]
    next: str | None


class PolicyInForce(msgspec.Struct, frozen=True, kw_only=True):
    """`policy` is as its file states it; equal policies have one name."""

    name: str
    policy: dict[str, Any]


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """How many stored conclusions did not follow from the evidence; `checked` where they were only compared."""

    checked: bool
    equal: bool
    values: int
    pairs: int
    refusals: int
    examples: list[str]
