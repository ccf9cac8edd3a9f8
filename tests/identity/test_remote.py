"""A remote identity over an engine says what the engine says, sends what is new alone, and sees what others did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine

from cdp.errors import StoreUnavailable
from cdp.model import SetId
from cdp.records import open_engine
from identity.calls import answer, read, verb_of
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph, metadata
from identity.kinds import Policy
from identity.leader import Leader
from identity.observation import pid, set_id
from identity.remote import RemoteIdentity
from tests.identity.makers import OTHER, SMALL, identifier, identifiers, make_observation
from tests.identity.test_engine_property import WhoIsWho


class Wire(Leader):
    """A leader in this process: what would go over the network is encoded and decoded as there."""

    def __init__(self, engine: IdentityEngine) -> None:
        super().__init__(lambda: None, "")
        self.engine, self.calls, self.away = engine, list[Any](), False

    def call(self, call: msgspec.Struct) -> Any:
        if self.away:
            raise StoreUnavailable("identity", "nobody leads")
        self.calls.append(call)
        verb = verb_of(call)
        return read(verb, answer(self.engine, verb, msgspec.msgpack.encode(call)))


Join = Callable[[], RemoteIdentity]


@pytest.fixture
def store() -> Iterator[Engine]:
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def wire(store: Engine) -> Wire:
    return Wire(IdentityEngine(SqlGraph(store), SMALL, now=lambda: 0))


@pytest.fixture
def join(store: Engine, wire: Wire) -> Join:
    """Another process that joins."""
    return lambda: RemoteIdentity(SqlGraph(store), SMALL, wire)


VISIT, LOGIN = make_observation("device:d", "openid:x/o"), make_observation("device:d", "member:m", strength=5)
VISITS = set_id(VISIT.identifiers)


def test_what_one_took_in_the_other_sees_at_once(join: Join) -> None:
    one, other = join(), join()
    one.observe([VISIT])
    anonymous = other.person_of_set(VISITS)
    assert anonymous == pid(VISIT.identifiers[0])
    older = make_observation("member:m", "phone:p", strength=5)
    merged = one.observe([older, LOGIN])
    assert other.person_of_set(VISITS) == one.person_of_set(VISITS) == other.current(pid(identifier("member:m")))
    assert one.version == other.version == merged.seq


def test_a_merge_that_another_process_made_is_seen_in_sets_that_were_asked_for_before(join: Join) -> None:
    one, other = join(), join()
    one.observe([make_observation("member:m", "phone:p", strength=5)])
    one.observe([VISIT])
    before = other.persons_of_sets([VISITS])
    one.observe([LOGIN])
    after = other.persons_of_sets([VISITS])
    assert before != after == one.persons_of_sets([VISITS])


def test_what_is_known_is_not_sent_again_by_this_process_nor_by_the_next(join: Join, wire: Wire) -> None:
    one = join()
    first = one.absorb({VISITS: VISIT.identifiers}, [VISIT])
    again = [one.absorb({VISITS: VISIT.identifiers}, [VISIT]), join().absorb({VISITS: VISIT.identifiers}, [VISIT])]
    assert len(wire.calls) == 1
    assert [each.seq for each in again] == [first.seq] * 2
    one.absorb({VISITS: VISIT.identifiers}, [VISIT, LOGIN])
    assert wire.calls[-1].observations == [LOGIN]
    assert list(wire.calls[-1].sets) == [set_id(LOGIN.identifiers)]


def test_reasons_go_along_with_the_values_that_are_new(join: Join, wire: Wire) -> None:
    one = join()
    blocked = {identifier("phone:token"): "a placeholder"}
    one.absorb({SetId(1): identifiers("phone:token", "device:d")}, [], blocked=blocked)
    assert one.standing_of(identifier("phone:token")) is not None
    assert one.person_of(identifier("phone:token")) is None
    one.absorb({SetId(2): identifiers("device:e")}, [], blocked=blocked)
    assert [each.blocked for each in wire.calls] == [blocked, {}]


def test_sets_are_registered_anew_after_an_erasure_that_another_process_asked_for(join: Join) -> None:
    one, other = join(), join()
    for each in (one, other):
        each.observe([VISIT])
    erased = one.erase(pid(VISIT.identifiers[0]), "asked for")
    assert erased is not None
    assert other.person_of_set(VISITS) is None
    again = msgspec.structs.replace(VISIT, id=LOGIN.id)
    other.observe([again])
    assert other.person_of_set(VISITS) == one.person_of_set(VISITS) is not None


def test_who_was_away_for_long_forgets_everything(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identity.remote.FAR", 1)
    one, other = join(), join()
    one.observe([VISIT])
    other.person_of_set(VISITS)
    one.observe([make_observation("member:m", "phone:p", strength=5)])
    one.observe([LOGIN])
    assert other.person_of_set(VISITS) == one.person_of_set(VISITS)


def test_where_nobody_leads_reading_goes_on_and_writing_can_be_repeated(join: Join, wire: Wire) -> None:
    one = join()
    one.observe([VISIT])
    wire.away = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="nobody leads"):
            one.observe([LOGIN])
    assert one.person_of_set(VISITS) == pid(VISIT.identifiers[0])
    wire.away = False
    one.observe([LOGIN])
    assert one.person_of(identifier("member:m")) == one.person_of_set(VISITS)


def test_another_policy_is_sent_whole_and_then_in_force_on_both_ends(join: Join, wire: Wire) -> None:
    one = join()
    one.observe([VISIT, LOGIN])
    assert not one.rebuild(check=True)
    found = one.rebuild(OTHER, blocked={})
    assert found.values
    assert wire.engine.policy.name == one.policy.name == OTHER.name
    assert one.version == wire.engine.version


@contextmanager
def closing(store: Engine) -> Iterator[None]:
    yield
    store.dispose()


class WhoIsWhoFromAfar(WhoIsWho):
    """Two processes ask by turns; whatever one does the other answers for."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.teardown()
        store = open_engine("sqlite://")
        metadata.create_all(store)
        self.context = closing(store)  # type: ignore[assignment]
        self.context.__enter__()
        self.store = store
        self.lead(SMALL)

    def lead(self, policy: Policy) -> None:
        wire = Wire(IdentityEngine(SqlGraph(self.store), policy, now=lambda: 0))
        self.engines = [RemoteIdentity(SqlGraph(self.store), policy, wire) for _ in range(2)]
        self.engine = self.engines[0]  # type: ignore[assignment]

    @rule()
    def turn(self) -> None:
        self.engines.reverse()
        self.engines[0].follow()
        self.engine = self.engines[0]  # type: ignore[assignment]

    @rule()
    def restart(self) -> None:
        self.lead(self.policy)

    @rule(policy=st.sampled_from([SMALL, OTHER]))
    def change_the_policy(self, policy: Policy) -> None:
        self.engine.rebuild(policy, blocked=self.blocked)
        self.policy = policy
        self.lead(policy)

    @invariant()
    def what_is_remembered_of_sets_is_true(self) -> None:
        if hasattr(self, "engines"):
            sets = {set_id(each.identifiers) for each in self.live.values()}
            fresh = RemoteIdentity(SqlGraph(self.store), self.policy, Leader(lambda: None, "")).persons_of_sets(sets)
            assert [each.persons_of_sets(sets) for each in self.engines] == [fresh, fresh]


def test_whatever_comes_and_is_taken_back_remote_ones_say_what_the_resolver_says() -> None:
    run_state_machine_as_test(
        WhoIsWhoFromAfar,
        settings=settings(
            deadline=None,
            max_examples=20,
            stateful_step_count=10,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
