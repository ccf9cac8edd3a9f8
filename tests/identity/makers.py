"""Makers with one interesting argument, and a small policy under which little evidence does much."""

from __future__ import annotations

from cdp.model import Identifier
from identity.kinds import Kind, Policy
from identity.observation import Observation, observation_id
from identity.ownership import DAY_MS

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
