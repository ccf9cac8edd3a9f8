"""`/identity`: why two are one person or not, the rules in force, and what others would change."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

from api import identity_shapes as shapes
from api.answer import answer, wrong
from api.documented import ok
from api.gate import PREFIX, DecidesIdentity, ReadsPersons, RebuildsIdentity
from api.keys import ApiKey
from api.naming import Naming, notes_in
from api.persons import Lookup, check_kind
from api.services import Services, Use
from api.shapes import BilingualText
from cdp.errors import ConfigurationError, Conflict
from cdp.model import Identifier
from cdp.policy import blocked_by
from identity.explain import Explanation, Step, explain
from identity.kinds import Policy
from identity.normalise import normalise
from identity.observation import Node
from identity.policy_file import as_table, policy_of
from identity.rebuild import WhatIf, what_if
from identity.sentences import sentence

router = APIRouter(prefix=f"{PREFIX}/identity", tags=["identity"])

Given = dict[Identifier, str]
"""Identifiers as the graph has them, with the clear values that the caller sent."""


class TwoIdentifiers(pydantic.BaseModel, extra="forbid"):
    """Two identifiers as they are; they are compared in their normal form."""

    a: Lookup
    b: Lookup


class OtherPolicy(pydantic.BaseModel, extra="forbid"):
    """A policy as its file states it, whole."""

    policy: dict[str, Any]


class Rebuilding(pydantic.BaseModel, extra="forbid"):
    """With `check` nothing is written."""

    check: bool = False


# Why


@router.post("/explain", summary="为什么是同一个人 · Why two are one person, or not", responses=ok(shapes.Explanation))
async def why(body: TwoIdentifiers, use: Use, caller: ReadsPersons) -> Response:
    return answer(await run_sync(_why, use, caller, body))


def _why(use: Services, caller: ApiKey, body: TwoIdentifiers) -> shapes.Explanation:
    a, b, given = two_of(use, body)
    found = explain(use.system.identity, a, b)
    notes = notes_in(each for step in found.path for each in step.observations)
    naming = Naming(use, caller, _met(found), subject="identity", texts=notes, given=given)
    return shapes.Explanation(
        same=found.same,
        path=[_step(naming, step, *ends) for step, ends in _walked(found.path, a)],
        refusals=[
            shapes.Obstacle(
                a=naming.identifier(each.a.identifier),
                b=naming.identifier(each.b.identifier),
                rule=each.rule,
                sentence=BilingualText(**sentence(each, naming.written)._asdict()),
            )
            for each in found.obstacles
        ],
    )


def _met(found: Explanation) -> Iterator[Identifier]:
    for step in found.path:
        yield from (step.a.identifier, step.b.identifier)
    for each in found.obstacles:
        yield from (each.a.identifier, each.b.identifier)
        if each.about is not None:
            yield each.about.identifier


def _walked(path: list[Step], start: Identifier) -> Iterator[tuple[Step, tuple[Node, Node]]]:
    """The steps with their ends in the direction in which they are gone."""
    here = start
    for step in path:
        ends = (step.a, step.b) if step.a.identifier == here else (step.b, step.a)
        yield step, ends
        here = ends[1].identifier


def _step(naming: Naming, step: Step, a: Node, b: Node) -> shapes.PathStep:
    newest = sorted(step.observations, key=lambda each: (-each.occurred_at, each.id))
    return shapes.PathStep(
        a=naming.identifier(a.identifier),
        b=naming.identifier(b.identifier),
        strength=step.proof.strength,
        observations=[str(each.id) for each in newest],
        evidence=[naming.evidence(each) for each in newest],
    )


def two_of(use: Services, body: TwoIdentifiers) -> tuple[Identifier, Identifier, Given]:
    """The two as the graph has them. Raises Refused naming what there cannot be."""
    given: Given = {}
    for path, asked in (("a", body.a), ("b", body.b)):
        check_kind(use, asked.kind, f"{path}.kind")
        normal = normalise(asked.kind, asked.value, region=use.system.settings.region)
        identifier = use.people.identifier(asked.kind, asked.value)
        if normal is None or identifier is None:
            # What came is not repeated: it may be a phone number with a slip.
            raise wrong(
                f"{path}.value", f"a value that a {asked.kind} can have", "another", "Write it as it was given."
            )
        given[identifier] = normal
    a, b = list(given) if len(given) == 2 else list(given) * 2
    return a, b, given


# Rules


@router.get("/policy", summary="识别策略 · The policy in force", responses=ok(shapes.PolicyInForce))
async def policy(use: Use, caller: ReadsPersons) -> Response:
    in_force = use.system.identity.policy
    return answer(shapes.PolicyInForce(name=in_force.name, policy=as_table(in_force)))


@router.post("/what-if", summary="策略试算 · What another policy would change", responses=ok(shapes.WhatIf))
async def try_policy(body: OtherPolicy, use: Use, caller: DecidesIdentity) -> Response:
    """Goes through all evidence, a million observations in a minute or two, and changes nothing."""
    return answer(await run_sync(_try_policy, use, caller, _policy_in(body)))


@router.post("/rebuild", summary="重新推导 · Derive all conclusions again", responses=ok(shapes.Rebuilt))
async def rebuild(body: Rebuilding, use: Use, caller: RebuildsIdentity) -> Response:
    """Nothing is taken in meanwhile, while reading goes on. What differed is mended, unless it is only a check."""
    return answer(await run_sync(_rebuild, use, body.check))


def _try_policy(use: Services, caller: ApiKey, policy: Policy) -> shapes.WhatIf:
    graph = use.system.graph
    with _whole_graph(use):
        blocked = blocked_by(policy, graph, use.system.vault)
        found = what_if(graph, policy, blocked=blocked, progress=lambda read: _tell(use, read))
    return _shown(use, caller, found)


def _rebuild(use: Services, check: bool) -> shapes.Rebuilt:
    identity = use.system.identity
    with _whole_graph(use):
        before = identity.version
        found = identity.rebuild(check=check, progress=lambda read: _tell(use, read))
        if found and not check:
            use.system.aftermath.regrouped(identity.sets_moved_since(before))
    return shapes.Rebuilt(
        checked=check,
        equal=not found,
        values=found.values,
        pairs=found.pairs,
        refusals=found.refusals,
        examples=found.examples,
    )


@contextmanager
def _whole_graph(use: Services) -> Iterator[None]:
    """For what holds all evidence in memory. Raises Conflict where another does so now."""
    if not use.whole_graph.acquire(blocking=False):
        raise Conflict("Somebody goes through the whole graph now. Ask again when that is done.")
    collecting = gc.isenabled()
    # Millions of objects without a cycle: to look for cycles among them again and again takes a sixth of the time.
    gc.disable()
    try:
        yield
    finally:
        use.whole_graph.release()
        if collecting:
            gc.enable()


def _tell(use: Services, read: int) -> None:
    for each in use.progress:
        each(read)


def _policy_in(body: OtherPolicy) -> Policy:
    try:
        return policy_of(body.policy)
    except ConfigurationError as error:
        # Its setting reads "policy: kinds.phone.gap_days".
        path = error.setting.replace(": ", ".")
        raise wrong(path, error.allowed, error.came, "`cdp identity policy --json` prints one that is right.") from None


def _shown(use: Services, caller: ApiKey, found: WhatIf) -> shapes.WhatIf:
    nodes = {node for _, *sides in found.examples for side in sides for person in side for node in person}
    naming = Naming(use, caller, (node.identifier for node in nodes), subject="what-if")

    def persons(side: list[list[Node]]) -> list[list[Any]]:
        return [
            [naming.identifier(each) for each in dict.fromkeys(node.identifier for node in person)] for person in side
        ]

    return shapes.WhatIf(
        persons_now=found.persons_now,
        persons_then=found.persons_then,
        merged=found.merged,
        split=found.split,
        examples=[
            shapes.Example(what=what, now=persons(now), then=persons(then)) for what, now, then in found.examples
        ],
    )
