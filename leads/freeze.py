"""Freeze a trail: what is known of a person at one moment, in a form that no later knowledge changes."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from cdp.model import NO_WINDOWS, Identifier, Millis, PersonId, SetId, Windows
from identity.observation import Link
from identity.verbs import Identity
from leads.lead import FrozenTrail, Waited
from leads.origin import with_origin
from leads.together import Trails
from profiles.interests import Topics, interests, summary

TRAIL_EVENTS = 200
MAX_REASONS = 100

LIKENESS, LIKENESS_STRENGTH = "similar", 1
"""Of evidence that says no more than that two records are alike: how its source begins, and its strength."""

PROOFS = {9: "steward", 5: "proved", 4: "login", 3: "crm", 2: "form", 1: "co_occurrence"}
"""What links of each strength rest on."""


def freeze(
    identity: Identity,
    events: Trails,
    topics: Topics,
    *,
    person: PersonId | None,
    own: Sequence[Identifier],
    sets: Sequence[SetId],
    waited: Waited,
    at: Millis,
    version: int,
    windows: Windows = NO_WINDOWS,
    devices: frozenset[Identifier] = frozenset(),
    linked: bool = True,
    segments: Sequence[dict[str, str]] = (),
) -> FrozenTrail:
    """The trail of `sets` in `windows`, with what it says of the person; `own` is what the lead brought of identifiers,
    `version` the graph's before it was asked whose they are.

    Asks the event store twice and the graph once, unless the person is not `linked`: a single node, which needs no
    reasons.
    """
    newest = [_lasting(event) for event in events.trail(sets, limit=TRAIL_EVENTS, windows=windows)]
    parts = events.summaries(sets, windows=windows)
    scores = interests(newest, topics, at)
    total = sum(part.events for part in parts)
    told = summary(newest, scores, topics, at, total=total)
    return FrozenTrail(
        frozen_at=at,
        graph_version=version,
        waited=waited,
        person=person,
        sets=tuple(sets),
        total=total,
        events=newest,
        interests=scores,
        summary=with_origin(told, newest, first_seen=min((part.first_seen for part in parts), default=at), at=at),
        why=_with_likeness(identity, reasons(identity.links_of(person), own)) if person and linked else [],
        windows=windows,
        devices=devices,
        segments=[*segments],
    )


def _lasting(event: dict[str, Any]) -> dict[str, Any]:
    # Which set an event came with is an inner matter; the lead keeps the event as others see it.
    return {name: value for name, value in event.items() if name != "set"}


def reasons(links: Collection[Link], own: Sequence[Identifier]) -> list[dict[str, Any]]:
    """Why each identifier is believed to be of the person who left `own`: by which link it hangs on the others.

    Of all ways to it from the strongest of `own` the one whose weakest link is strongest is told, strongest first
    (Prim's maximum spanning tree). At most 100; times as Millis, values as stored.
    """
    links_at: dict[Identifier, list[Link]] = defaultdict(list)
    for link in links:
        links_at[link.a.identifier].append(link)
        links_at[link.b.identifier].append(link)
    root = next((identifier for identifier in own if identifier in links_at), None)
    if root is None:
        return []
    told: list[dict[str, Any]] = []
    reached, waiting = {root}, [_queued(link, root) for link in links_at[root]]
    heapq.heapify(waiting)
    while waiting and len(told) < MAX_REASONS:
        *_, there, here, link = heapq.heappop(waiting)
        if there in reached:
            continue
        reached.add(there)
        told.append(_reason(there, here, link))
        for further in links_at[there]:
            heapq.heappush(waiting, _queued(further, there))
    return sorted(told, key=lambda reason: -reason["strength"])


def _with_likeness(identity: Identity, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reasons, those of them named that rest on nothing but records being alike."""
    weak = [reason["observation"] for reason in told if reason["strength"] == LIKENESS_STRENGTH]
    alike = {each.id for each, _ in identity.graph.observations(weak) if each.source.startswith(f"{LIKENESS}:")}
    for reason in told:
        if reason.pop("observation") in alike:
            reason["linked_by"] = LIKENESS
    return told


def _queued(link: Link, here: Identifier) -> tuple[int, Millis, Identifier, Identifier, Link]:
    there = link.b.identifier if link.a.identifier == here else link.a.identifier
    return (-link.proof.strength, link.proof.since, there, here, link)


def _reason(there: Identifier, here: Identifier, link: Link) -> dict[str, Any]:
    return {
        "identifier": {"kind": there.kind, "value": there.value},
        "with": {"kind": here.kind, "value": here.value},
        "linked_by": PROOFS.get(link.proof.strength, "policy"),
        "strength": link.proof.strength,
        "since": link.proof.since,
        "observation": link.proof.observation,
    }
