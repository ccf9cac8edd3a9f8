"""Whatever comes and is taken back, in whatever order and batches: the engine says what the pure resolver says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cdp.model import Identifier, PersonId, SetId
from cdp.records import open_engine
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph, metadata
from identity.kinds import Policy
from identity.observation import Link, Node, Observation, pid, set_id
from identity.resolve import State, resolve
from tests.identity.makers import OTHER, SMALL, identifier, make_observation

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
    lambda texts, rare, strength, day, different: make_observation(
        *texts, *rare, strength=strength, day=day, different=different == 0
    ),
    st.sets(st.sampled_from(VALUES), min_size=2, max_size=3),
    st.sampled_from([[]] * 6 + [[each] for each in RARE]),
    st.sampled_from([1, 2, 4, 4, 5]),
    st.integers(0, 6),
    st.integers(0, 11),
)
streams = st.lists(an_observation, min_size=10, max_size=24)
few = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])


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


@dataclass(frozen=True)
class Asked:
    """What was told to an engine so far, for the resolver to answer the same."""

    evidence: Sequence[Observation]
    blocked: dict[Identifier, str] = field(default_factory=dict)


def assert_equal_to_the_resolver(engine: IdentityEngine, asked: Asked) -> None:
    expected = resolve(asked.evidence, engine.policy, blocked=asked.blocked)
    live = engine.members_as_of(engine.version)
    seen = {value for each in asked.evidence for value in each.identifiers}
    partition = {frozenset(members) for members in live.values()}
    # Values whose evidence was taken back stay known, each alone.
    assert {person for person in partition if any(node.identifier in seen for node in person)} == expected.persons
    assert all(len(person) == 1 for person in partition - expected.persons)
    for value, standing in expected.standings.items():
        known = engine.graph.values([pid(value)])
        assert [each.standing for each in known] == [standing], value
    assert {each for person in live for each in engine.refusals_of(person)} == expected.refusals
    nodes = {each.number: each.node for each in engine.graph.every_value()}
    stored = {tuple(sorted((nodes[a], nodes[b]))): proof for (a, b), proof in engine.graph.every_pair().items()}
    assert stored == expected.proofs


class WhoIsWho(RuleBasedStateMachine):
    """Adds, retractions, verdicts and blocked values, mixed and in any batching."""

    @initialize()
    def begin(self) -> None:
        self.context = an_engine()
        self.engine = self.context.__enter__()
        self.live: dict[int, Observation] = {}
        self.gone: set[int] = set()
        self.blocked: dict[Identifier, str] = {}
        self.names: set[PersonId] = set()
        self.policy = SMALL

    def teardown(self) -> None:
        if hasattr(self, "context"):
            self.context.__exit__(None, None, None)

    @rule(batch=st.lists(an_observation, min_size=1, max_size=6))
    def add(self, batch: list[Observation]) -> None:
        self.engine.observe(batch)
        self.live |= {each.id: each for each in batch if each.id not in self.gone}

    @rule(batch=st.lists(an_observation, min_size=1, max_size=4))
    def add_and_take_back(self, batch: list[Observation]) -> None:
        before = self.state()
        fresh = {each.id: "" for each in batch if each.id not in self.live and each.id not in self.gone}
        self.engine.observe(batch)
        self.live |= {each.id: each for each in batch if each.id not in self.gone}
        self.engine.retract(dict.fromkeys(fresh, "undo"))
        self.live = {key: each for key, each in self.live.items() if key not in fresh}
        self.gone |= set(fresh)
        after = self.state()
        assert {key: after.get(key) for key in before} == before, "what is taken back leaves no trace, ids included"

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sets(st.sampled_from(sorted(self.live)), min_size=1, max_size=3))
        self.engine.retract(dict.fromkeys(chosen, "mistaken"))
        self.gone |= chosen
        self.live = {key: each for key, each in self.live.items() if key not in chosen}

    @precondition(lambda self: len(self.blocked) < 3)
    @rule(text=st.sampled_from([each for each in VALUES if not each.startswith("name")]))
    def block(self, text: str) -> None:
        value = identifier(text)
        if not self.policy.blocked(value.kind, value.value):
            self.engine.block({value: "a steward said so"})
            self.blocked[value] = "a steward said so"

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        persons = self.engine.members_as_of(self.engine.version)
        if not persons:
            return
        person = data.draw(st.sampled_from(sorted(persons)))
        erased = self.engine.erase(person, "asked for")
        assert erased is not None
        self.gone |= set(erased.observations)
        self.live = {key: each for key, each in self.live.items() if key not in self.gone}
        left = {
            node.identifier for members in self.engine.members_as_of(self.engine.version).values() for node in members
        }
        assert left.isdisjoint(erased.identifiers)
        assert self.engine.graph.values([pid(each) for each in erased.identifiers]) == []

    @rule()
    def restart(self) -> None:
        self.engine = IdentityEngine(self.engine.graph, self.policy, now=lambda: 0)

    @rule(policy=st.sampled_from([SMALL, OTHER]))
    def change_the_policy(self, policy: Policy) -> None:
        self.engine.rebuild(policy, blocked=self.blocked)
        self.policy = policy

    def state(self) -> dict[Node, tuple[object, ...]]:
        return {
            each.node: (each.state, each.epochs, each.person, each.component)
            for each in self.engine.graph.every_value()
            if each.state is not State.PAST
        }

    @invariant()
    def equals_the_resolver(self) -> None:
        if hasattr(self, "engine"):
            assert_equal_to_the_resolver(self.engine, Asked(list(self.live.values()), self.blocked))

    @invariant()
    def a_rebuild_finds_no_difference(self) -> None:
        if hasattr(self, "engine"):
            differences = self.engine.rebuild(check=True)
            assert not differences, differences

    @invariant()
    def every_id_ever_given_means_one_living_person(self) -> None:
        if hasattr(self, "engine"):
            live = self.engine.members_as_of(self.engine.version)
            self.names |= set(live)
            blocked = {pid(each) for each in self.blocked}
            assert {self.engine.current(person) for person in self.names - blocked} <= {*live, None}
            said = {person: now for person in self.names if (now := self.engine.current(person)) is not None}
            assert self.engine.currents(self.names) == said
            assert all(self.engine.current(person) == person for person in live)


TestWhoIsWho = WhoIsWho.TestCase
TestWhoIsWho.settings = settings(
    deadline=None, max_examples=40, stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow]
)


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
            values = {each.node: each for each in engine.graph.every_value()}
            for members in engine.members_as_of(engine.version).values():
                assert len(members) <= SMALL.max_cluster
                counts = Counter(SMALL.group(each.identifier.kind, each.identifier.value) for each in members)
                limits = {group: SMALL.kind(group[0]).max_per_person or 0 for group in counts}
                assert all(counts[group] <= limits[group] for group in counts)
                if len(members) > 1:
                    assert {values[each].state for each in members} == {State.LINK}


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_every_person_hangs_together_by_links_that_were_taken(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        engine.observe(stream)
        for person, members in engine.members_as_of(engine.version).items():
            reached, links = {min(members)}, engine.links_of(person)
            for _ in members:
                reached |= {end for link in links if link.a in reached or link.b in reached for end in link[:2]}
            assert reached == members


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_changes_tell_every_set_that_is_now_another_persons(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        before: dict[SetId, object] = {}
        for batch in batches(stream, seed):
            version = engine.version
            changes = engine.observe(batch)
            now = engine.persons_over_time([*before, *_sets(batch)])
            assert {each for each in before if before[each] != now[each]} <= changes.sets
            assert changes.sets <= engine.sets_moved_since(version)
            before = dict(now)
            persons = engine.members_as_of(engine.version)
            owned = Counter(each for person in persons for each in engine.sets_of(person))
            assert owned == Counter(
                each for each, over in now.items() for _ in {who for _, who in over if who is not None}
            )


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_a_set_belongs_to_its_strongest_identifier_that_links_in_the_epoch_of_the_event(
    stream: list[Observation], seed: int
) -> None:
    with an_engine() as engine:
        for batch in batches(stream, seed):
            engine.observe(batch)
        found = resolve(stream, SMALL)
        person_of = {node: person for person in found.persons for node in person}
        live = engine.members_as_of(engine.version)
        for each in stream:
            ranked = sorted(each.identifiers, key=lambda value: (-SMALL.kind(value.kind).priority, value))
            states = [State.LINK], [State.SHARED, State.HUB]
            owners = [value for some in states for value in ranked if found.standings[value].state in some]
            person = engine.person_of_set(set_id(each.identifiers), each.occurred_at)
            if not owners:
                assert person is None
                continue
            node = Node(owners[0], found.standings[owners[0]].owner_at(each.occurred_at))
            assert person is not None
            assert live[person] == person_of[node]


@few
@given(stream=streams, seed=st.integers(0, 1_000))
def test_the_past_stays_as_it_was(stream: list[Observation], seed: int) -> None:
    with an_engine() as engine:
        past = {}
        for n, batch in enumerate(batches(stream, seed)):
            engine.observe(batch)
            past[engine.version] = engine.members_as_of(engine.version)
            if n % 2:
                engine.retract({batch[0].id: "mistaken"})
                past[engine.version] = engine.members_as_of(engine.version)
        assert {seq: engine.members_as_of(seq) for seq in past} == past
