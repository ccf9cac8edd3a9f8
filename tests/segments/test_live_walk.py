"""Whatever happens, and wherever the process dies, live membership is what a full evaluation gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cdp import pipeline
from segments import live_rounds, live_writing
from segments.book import Segment
from tests.segments.live_world import CONSENT, DAY, HOUR, MINUTE, SECOND, World

STEPS = 30

VISITORS = [f"visitor-{n}" for n in range(5)]
MEMBERS = ["member-a", "member-b"]
PHONES = ["13812345678", "13912345678"]
NAMES = ["model_viewed", "form_sent", "page_viewed"]

VIEWED: dict[str, Any] = {"did": "model_viewed", "window": {"last": "PT2H"}}
RULES: dict[str, tuple[str, Any]] = {
    "everybody": ("person", {"all": []}),
    "viewed": ("person", VIEWED),
    "viewed twice": ("person", VIEWED | {"op": ">=", "value": 2}),
    "never viewed": ("person", {"did": "model_viewed", "op": "=", "value": 0}),
    "no form": (
        "person",
        {"after": {"did": "model_viewed"}, "absent": {"did": "form_sent"}, "for": "PT1H", "until": "P2D"},
    ),
    "in order": ("person", {"seq": [{"did": "model_viewed"}, {"did": "form_sent", "gap": "PT3H"}], "within": "P1D"}),
    "from Chengdu": ("person", {"attr": "city", "op": "=", "value": "成都"}),
    "idle": ("person", {"did": "*", "agg": {"fn": "since_last"}, "op": "older_than", "value": "P1D"}),
    "today": ("person", {"did": "page_viewed", "window": {"calendar": "day"}}),
    "asked": ("person", {"rel": "lead", "where": {"prop": "created_at", "op": "newer_than", "value": "P3D"}}),
    "fresh lead": ("lead", {"attr": "created_at", "op": "newer_than", "value": "P1D"}),
    "lead without form": ("lead", {"did": "form_sent", "op": "=", "value": 0}),
    "lead that views": ("lead", VIEWED),
}


class Death(BaseException):
    """As SIGKILL."""


class Walk:
    def __init__(self, world: World, seed: int) -> None:
        self.world, self.chance = world, Random(seed)
        self.segments: dict[str, Segment] = {}
        for name, (entity, where) in RULES.items():
            self.segments[name] = world.make(name, where, entity=entity)
        held = {"in": self.segments["viewed"].id, "for": "PT30M"}
        self.segments["held"] = world.segment("held", held)
        self.segments["not in"] = world.segment("not in", {"not": {"in": self.segments["viewed"].id}})
        self.snapshots: list[tuple[int, str, set[str]]] = []

    def step(self) -> str:
        does: Callable[[], object] = self.chance.choice(
            [
                *[self.event] * 8,
                self.log_in,
                self.log_in,
                self.trait,
                self.lead,
                self.split,
                *[self.time] * 5,
                self.erase,
                self.die_in_the_pipeline,
                self.die_in_a_round,
                self.rounds,
                self.rounds,
                self.restart,
                self.edit,
                self.reconcile,
            ]
        )
        does()
        self.world.live.drain()
        return does.__name__

    def event(self) -> None:
        ago = self.chance.choice([0, 0, 0, MINUTE, HOUR, 5 * HOUR, 3 * DAY])
        self.world.take(self.chance.choice(NAMES), self.chance.choice(VISITORS), ago=ago)

    def log_in(self) -> None:
        self.world.log_in(self.chance.choice(VISITORS), self.chance.choice(MEMBERS))

    def trait(self) -> None:
        self.world.log_in(
            self.chance.choice(VISITORS), self.chance.choice(MEMBERS), city=self.chance.choice(["成都", "x"])
        )

    def lead(self) -> None:
        body: dict[str, Any] = {
            "source": "dealer",
            "contact": {"phone": self.chance.choice(PHONES)},
            "consent": CONSENT,
        }
        if self.chance.random() < 0.5:
            body["identifiers"] = [{"kind": "member_id", "value": self.chance.choice(MEMBERS)}]
        self.world.capture(body)

    def split(self) -> None:
        """What joined some people is taken back."""
        graph = self.world.system.graph
        said = sorted(each.id for each in graph.every_observation())
        if said:
            self.world.system.identity.retract({self.chance.choice(said): "a mistake"})

    def time(self) -> None:
        self.world.now += self.chance.choice([SECOND, MINUTE, 20 * MINUTE, HOUR, 2 * HOUR, DAY])

    def erase(self) -> None:
        persons = sorted({unit for each in self.world.book.every() for unit in self.world.members(each)})
        persons = [each for each in persons if not each.startswith(("ld_", "erased"))]
        if persons and self.chance.random() < 0.3:
            self.world.erase(self.chance.choice(persons))

    def restart(self) -> None:
        self.world.crash()

    def die_in_the_pipeline(self) -> None:
        """After the events are stored, before anything says so."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "commit", _die)
            with pytest.raises(Death):
                self.event()
        if self.chance.random() < 0.5:
            # Somebody looks in between, and may see what is not committed.
            self.world.live.drain()
        self.world.crash()
        self.world.system.worker.drain()

    def die_in_a_round(self) -> None:
        """Anywhere in what a round writes, and after it."""
        self.event()
        self.time()
        where = self.chance.choice(["stays", "timers", "health", "segment_work"])
        verb = {"stays": "write", "timers": "write", "health": "grow", "segment_work": "done"}[where]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(getattr(live_writing, where), verb, _die)
            with pytest.raises(Death):
                self.world.live.drain()
        self.world.crash()

    def rounds(self) -> None:
        """Each looks before what the last one found is written; at the end some of it may be lost."""
        for _ in range(3):
            self.chance.choice([self.event, self.event, self.log_in, self.lead, self.split, self.time, self.erase])()
            self.world.live._round()
        if self.world.late and self.chance.random() < 0.5:
            self.world.crash()

    def reconcile(self) -> None:
        """Also with work that waits, nothing is found to differ."""
        self.event()
        assert self.world.live.reconcile() == {}

    def edit(self) -> None:
        hours = self.chance.choice(["PT1H", "PT2H", "PT6H"])
        self.world.change(self.segments["viewed"], VIEWED | {"window": {"last": hours}})


def _die(*_: object, **__: object) -> None:
    raise Death


@pytest.mark.parametrize(("seed", "late", "full_from"), [(0, False, 100), (1, True, 100), (2, True, 3)])
def test_live_membership_is_a_full_evaluation_after_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, late: bool, full_from: int
) -> None:
    monkeypatch.setattr(live_rounds, "FULL_FROM", full_from)
    world = World(tmp_path, late=late)
    try:
        walk = Walk(world, seed)
        done = []
        for _ in range(STEPS):
            done.append(walk.step())
            try:
                world.check()
            except AssertionError as error:
                raise AssertionError(f"after {done}") from error
        assert world.live.reconcile() == {}
        world.check_published()
    finally:
        world.close()
