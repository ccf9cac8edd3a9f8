"""The comparison with the resolver bites: an engine that leaves out one of its steps does not pass it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from identity import regroup, settle
from identity.engine import IdentityEngine
from identity.observation import Observation
from tests.identity.makers import make_observation
from tests.identity.test_engine_property import VALUES, Asked, an_engine, assert_equal_to_the_resolver

SEEDS = range(40)
STEPS = 14


def test_the_engine_as_it_is_passes_every_drive() -> None:
    for seed in SEEDS:
        drive(seed)


def no_more_than(result: Any) -> Callable[..., Any]:
    """Stands for a step and does nothing but give this result."""
    return lambda *_, **__: result


MUTANTS = {
    "does not map again what changed hands": (settle._Work, "derive_again", no_more_than(None)),
    "does not look whether a component was contested": (
        regroup.Regrouping,
        "fits",
        lambda self, group: (
            regroup.broken_limit(regroup.counts_of((each.node for each in group), self.policy), len(group), self.policy)
            is None
        ),
    ),
    "does not look whether a person keeps the limits": (regroup, "broken_limit", no_more_than(None)),
    "does not notice a new owner": (settle._Work, "claim", no_more_than(None)),
    "does not count partners": (settle._Work, "count", no_more_than(None)),
    "does not mark who must not meet": (regroup.Regrouping, "part", no_more_than(None)),
    "does not take back": (settle._Work, "take_back", no_more_than(set())),
    "does not part what a lost link held together": (regroup.Regrouping, "unsure", no_more_than(set())),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_an_engine_that_leaves_out_a_step_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, step, mutant = MUTANTS[name]
    monkeypatch.setattr(place, step, mutant)
    assert any(found_out(seed) for seed in SEEDS), f"{name}, and nothing noticed"


def found_out(seed: int) -> bool:
    try:
        drive(seed)
    except (AssertionError, KeyError):
        return True
    return False


def drive(seed: int) -> None:
    """Random evidence in random batches, some of it taken back; compared with the resolver after every step."""
    chance = random.Random(seed)
    with an_engine() as engine:
        live: dict[int, Observation] = {}
        gone: set[int] = set()
        for _ in range(STEPS):
            if live and chance.random() < 0.25:
                taken = chance.sample(sorted(live), chance.randint(1, min(2, len(live))))
                take_back(engine, live, taken)
                gone.update(taken)
            else:
                batch = [an_observation(chance) for _ in range(chance.randint(1, 4))]
                engine.observe(batch)
                live |= {each.id: each for each in batch if each.id not in gone}
            assert_equal_to_the_resolver(engine, Asked(list(live.values())))


def take_back(engine: IdentityEngine, live: dict[int, Observation], taken: list[int]) -> None:
    engine.retract({live.pop(each).id: "mistaken" for each in taken})


def an_observation(chance: random.Random) -> Observation:
    texts = chance.sample(VALUES, chance.choice([2, 2, 3]))
    different = chance.random() < 0.2
    return make_observation(
        *texts, strength=chance.choice([1, 2, 4, 4, 5]), day=chance.randint(0, 6), different=different
    )
