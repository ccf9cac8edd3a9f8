"""Makers with one interesting argument, and a small policy under which little evidence does much."""

from __future__ import annotations

from dataclasses import replace

from cdp.model import DAY_MS, Identifier
from identity.kinds import Kind, Policy
from identity.observation import Observation, observation_id

SMALL = Policy(
    kinds={
        "member": Kind(priority=100, max_per_person=1, exclusive=True, blocked=("null",)),
        "phone": Kind(priority=80, max_per_person=2, fan_out={"member": 3, "name": 1}, changes_hands=True, gap_days=1),
        "openid": Kind(priority=70, max_per_person=1, exclusive=True, limit_per="/"),
        "device": Kind(priority=40, max_per_person=3, fan_out={"member": 3, "phone": 2}, changes_hands=True),
        "name": Kind(evidence_only=True),
        "city": Kind(evidence_only=True),
    },
    max_cluster=7,
)

OTHER = Policy(
    kinds={
        **SMALL.kinds,
        "phone": replace(SMALL.kinds["phone"], max_per_person=1, fan_out={"member": 1}, gap_days=3),
        "device": replace(SMALL.kinds["device"], changes_hands=False, fan_out={}, blocked=("d3",)),
        "name": Kind(max_per_person=1),
    },
    max_cluster=5,
    owner_strength=5,
)
"""The same world under other rules: what was a hub may link, and names link too."""


def identifier(text: str) -> Identifier:
    """`kind:value` as an identifier."""
    kind, _, value = text.partition(":")
    return Identifier(kind, value)


def identifiers(*texts: str) -> tuple[Identifier, ...]:
    return tuple(identifier(text) for text in texts)


def make_observation(
    *texts: str, strength: int = 1, day: int = 0, source: str = "site", different: bool = False
) -> Observation:
    name = f"{source} {strength} {day} {different} {sorted(texts)}"
    return Observation(observation_id(name), identifiers(*texts), strength, day * DAY_MS, source, different)
