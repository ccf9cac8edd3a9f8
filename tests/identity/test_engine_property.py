"""Whatever comes, in whatever order and batches: the engine says what the pure resolver says of all of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.model import Identifier, PersonId, SetId
from cdp.records import open_engine
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph, metadata
from identity.kinds import Policy
from identity.observation import Link, Observation, pid, set_id
from identity.resolve import State, resolve
from tests.identity.makers import SMALL, make_observation

# Few values, and most observations of two, so that limits are met, hubs flip late and components get contested often.
VALUES = [
    *(f"member:m{n}" for n in range(3)),
    *(f"phone:p{n}" for n in range(4)),
    *(f"openid:{app}/o{n}" for app in "xy" for n in range(2)),
    *(f"device:d{n}" for n in range(4)),
    *(f"name:n{n}" for n in range(3)),
]
RARE = ["member:null", "city:c"]

an_observation = st.builds(
    lambda texts, rare, strength, day: make_observation(*texts, *rare, strength=strength, day=day),
    st.sets(st.sampled_from(VALUES), min_size=2, max_size=3),
    st.sampled_from([[]] * 6 + [[each] for each in RARE]),
    st.integers(1, 3),
    st.integers(0, 4),
)
streams = st.lists(an_observation, min_size=10, max_size=24)
few = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def an_engine(policy: Policy = SMALL) -> Iterator[IdentityEngine]:
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    graph = SqlGraph(engine)
    try:
        yield IdentityEngine(graph, policy, now=lambda: 0)
    finally:
        graph.close()


def batches(stream: Sequence[Observation], seed: int) -> Iterator[list[Observation]]:
    chance, start = random.Random(seed), 0
    while start < len(stream):
        size = chance.randint(1, 7)
        yield list(stream[start : start + size])
        start += size


def assert_equal_to_the_resolver(engine: IdentityEngine, evidence: Sequence[Observation]) -> None:
    expected = resolve(evidence, engine.policy)
    live = engine.members_as_of(engine.version)
    assert {frozenset(members) for members in live.values()} == expected.persons
    for value, standing in expected.standings.items():
        known = engine.standing_of(value)
        assert known is not None
        assert (known.state, known.reason) == standing
    assert {each for person in live for each in engine.refusals_of(person)} == expected.refusals


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_the_engine_equals_the_resolver_after_every_step(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        seen: list[Observation] = []
        for batch in batches(stream, seed):
            engine.observe(batch)
            seen += batch
            assert_equal_to_the_resolver(engine, seen)


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_no_order_batching_or_redelivery_changes_who_is_who(stream: list[Observation], seed: int) -> None:
    shuffled = stream + stream[: seed % 5]
    random.Random(seed).shuffle(shuffled)
    with an_engine() as one, an_engine() as other:
        one.observe(stream)
        for batch in batches(shuffled, seed):
            other.observe(batch)
            version = other.version
            assert other.observe(batch).changes == ()
            assert other.version == version
        partitions = [{frozenset(each) for each in each.members_as_of(each.version).values()} for each in (one, other)]
        assert partitions[0] == partitions[1]
        values = {value for each in stream for value in each.identifiers}
        assert [one.standing_of(value) for value in values] == [other.standing_of(value) for value in values]
        assert _links(one) == _links(other)


def _links(engine: IdentityEngine) -> set[Link]:
    return {link for person in engine.members_as_of(engine.version) for link in engine.links_of(person)}


def _sets(batch: Sequence[Observation]) -> set[SetId]:
    return {set_id(each.identifiers) for each in batch}


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_no_limit_is_ever_broken_and_nothing_links_that_must_not(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        for batch in batches(stream, seed):
            engine.observe(batch)
            for members in engine.members_as_of(engine.version).values():
                assert len(members) <= SMALL.max_cluster
                counts = Counter(SMALL.group(each.kind, each.value) for each in members)
                limits = {group: SMALL.kind(group[0]).max_per_person or 0 for group in counts}
                assert all(counts[group] <= limits[group] for group in counts)
                if len(members) > 1:
                    known = [engine.standing_of(each) for each in members]
                    assert {each.state for each in known if each} == {State.LINK}


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_every_id_ever_given_means_one_living_person(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        given_out = set()
        order: dict[Identifier, None] = {}
        for batch in batches(stream, seed):
            engine.observe(batch)
            order |= dict.fromkeys(value for each in batch for value in each.identifiers)
            live = engine.members_as_of(engine.version)
            given_out |= set(live)
            assert {engine.current(person) for person in given_out} <= set(live)
            for person, members in live.items():
                assert person in {pid(each) for each in members}
                assert engine.current(person) == person
                assert [known.identifier for known in engine.identifiers_of(person)] == [
                    each for each in order if each in members
                ]


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_changes_tell_every_set_that_is_now_another_persons(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        before: dict[SetId, PersonId | None] = {}
        for batch in batches(stream, seed):
            version = engine.version
            changes = engine.observe(batch)
            now = engine.persons_of_sets([*before, *_sets(batch)])
            assert {each for each in before if before[each] != now[each]} == changes.sets
            assert {each for each in now if each not in before or each in changes.sets} <= engine.sets_moved_since(
                version
            )
            before = dict(now)
            owned = [each for person in engine.members_as_of(engine.version) for each in engine.sets_of(person)]
            assert sorted(owned) == sorted(each for each, person in now.items() if person is not None)


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_a_set_belongs_to_its_strongest_identifier_that_links(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        for batch in batches(stream, seed):
            engine.observe(batch)
        standings = resolve(stream, SMALL).standings
        for each in stream:
            ranked = sorted(each.identifiers, key=lambda value: (-SMALL.kind(value.kind).priority, value))
            owners = [value for state in (State.LINK, State.HUB) for value in ranked if standings[value].state is state]
            expected = engine.person_of(owners[0]) if owners else None
            assert engine.person_of_set(set_id(each.identifiers)) == expected


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_the_past_stays_as_it_was(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        past = {}
        for batch in batches(stream, seed):
            engine.observe(batch)
            past[engine.version] = engine.members_as_of(engine.version)
        assert {seq: engine.members_as_of(seq) for seq in past} == past
