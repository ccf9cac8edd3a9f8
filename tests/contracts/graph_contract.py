"""What every graph store promises. An adapter's suite inherits `GraphContract` and gives the fixture `open_graph`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cdp.errors import GraphConflict
from cdp.model import Identifier, SetId
from identity.changes import ChangeKind, Turn
from identity.graph import Commit, Graph, Head, StoredObservation, StoredRefusal, StoredSet, StoredTurn, Value
from identity.observation import ObservationId, Proof, pid
from identity.resolve import Refusal, State

OpenGraph = Callable[[], Graph]

BIG = SetId(2**63 - 1)
"""The largest set id, which a store must not round."""

MEMBER, PHONE, DEVICE, NAME = (
    Identifier(*text.split(":")) for text in ("member_id:M1", "phone:tok-en=", "device_id:d", "name:李 娜's ☕")
)


def value(number: int, identifier: Identifier, *, person: int | None = None, **more: Any) -> Value:
    whole = number if person is None else person
    given = {"component": whole, "person": whole, "partners": {}, **more}
    return Value(number, pid(identifier), identifier, **given)


def nobody(number: int, identifier: Identifier) -> Value:
    return Value(number, pid(identifier), identifier, State.EVIDENCE, "counted", partners={})


def first_commit() -> Commit:
    """Three persons: a member with a phone (proved), a device, and a name that is nobody's."""
    born = [
        value(1, MEMBER, first_seen=0, last_seen=5),
        value(2, PHONE, person=1, partners={"name": 1}),
        value(3, DEVICE),
        nobody(4, NAME),
    ]
    return Commit(
        seq=1,
        at=1_000,
        born=born,
        moved=[each for each in born if each.person is not None],
        observations=[StoredObservation(ObservationId(2**63 - 1), BIG, 5, 86_400_000, "app", "")],
        new_pairs={(1, 2): Proof(5, 9, 3, ObservationId(7)), (2, 4): Proof(2, 9, 9, ObservationId(8))},
        new_sets=[StoredSet(BIG, 1, (1, 2)), StoredSet(SetId(2), 3, (3,)), StoredSet(SetId(3), None, (4,))],
    )


def merging_commit() -> Commit:
    """The device joins the member, over a better proof of the phone and a refusal."""
    device = value(3, DEVICE, person=1, contested=True, last_seen=7, first_seen=7)
    return Commit(
        seq=2,
        at=2_000,
        changed=[device],
        moved=[device],
        new_pairs={(1, 3): Proof(4, 5, 5, ObservationId(9))},
        changed_pairs={(1, 2): Proof(5, 99, 3, ObservationId(9))},
        refusals=[StoredRefusal(2, 3, "more than 1")],
        turns=[StoredTurn(Turn(ChangeKind.MERGED, 1, (3,)), ObservationId(9))],
    )


class GraphContract:
    @pytest.fixture
    def graph(self, open_graph: OpenGraph) -> Graph:
        graph = open_graph()
        graph.commit(first_commit())
        return graph

    def test_an_empty_graph_knows_nothing(self, open_graph: OpenGraph) -> None:
        graph = open_graph()
        assert graph.head() == Head(0, 0)
        assert graph.known([ObservationId(1)]) == set()
        assert graph.values([pid(MEMBER)]) == []
        assert graph.value(pid(MEMBER)) is None
        assert graph.persons([BIG]) == {}
        assert graph.members([BIG]) == {}
        assert graph.pairs([(1, 2)]) == {}
        assert graph.members_as_of(5) == {}
        graph.probe()

    def test_what_was_committed_is_there_after_opening_again(self, graph: Graph, open_graph: OpenGraph) -> None:
        for each in (graph, open_graph()):
            assert each.head() == Head(1, 4)
            assert sorted(each.values([pid(MEMBER), pid(NAME), pid(DEVICE)]), key=lambda value: value.number) == [
                first_commit().born[0],
                *first_commit().born[2:],
            ]

    def test_numbers_of_63_bits_come_back_unrounded(self, graph: Graph) -> None:
        largest = ObservationId(2**63 - 1)
        assert graph.known([largest, ObservationId(2**63 - 2)]) == {largest}
        assert graph.members([BIG, SetId(BIG - 1)]) == {BIG: (MEMBER, PHONE)}

    def test_pairs_are_found_by_their_two_ends(self, graph: Graph) -> None:
        assert graph.pairs([(1, 2), (1, 3)]) == {(1, 2): Proof(5, 9, 3, ObservationId(7))}
        graph.commit(merging_commit())
        assert graph.pairs([(1, 2)]) == {(1, 2): Proof(5, 99, 3, ObservationId(9))}

    def test_a_neighbourhood_has_the_values_of_its_components_and_the_pairs_inside(self, graph: Graph) -> None:
        found = graph.neighbourhood([1], pairs=True)
        assert {each.identifier for each in found.values} == {MEMBER, PHONE}
        assert set(found.pairs) == {(1, 2)}, "a pair with a value outside is not inside"
        assert graph.neighbourhood([1, 3], pairs=False).pairs == {}
        assert graph.neighbourhood([], pairs=True) == ([], {})

    def test_sets_follow_the_person_of_their_owner(self, graph: Graph) -> None:
        sets = [BIG, SetId(2), SetId(3), SetId(4)]
        assert graph.persons(sets) == {BIG: pid(MEMBER), SetId(2): pid(DEVICE), SetId(3): None}
        assert graph.owned([1, 3, 4]) == {BIG: 1, SetId(2): 3}
        graph.commit(merging_commit())
        assert graph.persons(sets) == {BIG: pid(MEMBER), SetId(2): pid(MEMBER), SetId(3): None}
        assert sorted(graph.sets(1)) == sorted([BIG, SetId(2)])
        assert graph.sets(3) == []

    def test_a_set_may_get_another_owner_or_none(self, graph: Graph) -> None:
        graph.commit(Commit(seq=2, at=0, owners={BIG: 3, SetId(2): None}))
        assert graph.persons([BIG, SetId(2)]) == {BIG: pid(DEVICE), SetId(2): None}
        assert graph.moved_since(1) == {BIG, SetId(2)}

    def test_sets_that_moved_are_found_from_any_commit_on(self, graph: Graph) -> None:
        graph.commit(merging_commit())
        assert graph.moved_since(0) == {BIG, SetId(2), SetId(3)}
        assert graph.moved_since(1) == {SetId(2)}
        assert graph.moved_since(2) == set()

    def test_a_person_is_read_by_the_number_of_its_oldest_value(self, graph: Graph) -> None:
        graph.commit(merging_commit())
        assert [each.identifier for each in graph.identifiers(1)] == [MEMBER, PHONE, DEVICE]
        assert graph.identifiers(3) == []
        found = graph.value(pid(DEVICE))
        assert found is not None
        assert (found[0], found[1]) == (merging_commit().changed[0], pid(MEMBER))
        assert sorted(graph.links(1)) == [
            (DEVICE, MEMBER, Proof(4, 5, 5, ObservationId(9))),
            (MEMBER, PHONE, Proof(5, 99, 3, ObservationId(9))),
        ]
        assert graph.pids([1, 3, 99]) == {1: pid(MEMBER), 3: pid(DEVICE)}

    def test_a_value_of_nobody_has_no_person(self, graph: Graph) -> None:
        found = graph.value(pid(NAME))
        assert found is not None
        assert found[1] is None

    def test_history_tells_when_who_and_why(self, graph: Graph) -> None:
        graph.commit(merging_commit())
        split = StoredTurn(Turn(ChangeKind.SPLIT, 1, (2, 3)), None)
        graph.commit(Commit(seq=3, at=3_000, turns=[split]))
        merge = (2, 2_000, merging_commit().turns[0])
        assert graph.history([1]) == graph.history([3]) == [merge, (3, 3_000, split)]
        assert graph.history([2]) == [(3, 3_000, split)]
        assert graph.history([4]) == []

    def test_the_past_can_be_asked_for(self, graph: Graph) -> None:
        graph.commit(merging_commit())
        assert graph.members_as_of(0) == {}
        assert graph.members_as_of(1) == {pid(MEMBER): {MEMBER, PHONE}, pid(DEVICE): {DEVICE}}
        assert graph.members_as_of(2) == {pid(MEMBER): {MEMBER, PHONE, DEVICE}}

    def test_refusals_give_way_when_their_values_are_settled_again(self, graph: Graph) -> None:
        graph.commit(merging_commit())
        refused = [Refusal(DEVICE, PHONE, "more than 1")]
        assert graph.refusals([2]) == graph.refusals([3]) == graph.refusals([2, 3]) == refused
        graph.commit(Commit(seq=3, at=0, unsettled={2}))
        assert graph.refusals([2, 3]) == []

    def test_a_commit_of_a_second_writer_is_refused_whole(self, graph: Graph, open_graph: OpenGraph) -> None:
        graph.commit(merging_commit())
        late = Commit(seq=2, at=0, born=[value(5, Identifier("phone", "other"))])
        with pytest.raises(GraphConflict):
            open_graph().commit(late)
        assert graph.head() == Head(2, 4)

    def test_a_commit_that_fails_leaves_nothing(self, graph: Graph) -> None:
        broken = Commit(seq=2, at=0, new_sets=[StoredSet(SetId(9), None, ())], born=[value(1, PHONE)])
        with pytest.raises(Exception, match=r".+"):
            graph.commit(broken)
        assert graph.head() == Head(1, 4)
        assert graph.persons([SetId(9)]) == {}
        graph.commit(merging_commit())

    def test_more_keys_than_one_statement_takes(self, open_graph: OpenGraph) -> None:
        graph = open_graph()
        many = [Identifier("phone", str(n)) for n in range(2_000)]
        born = [value(n, each) for n, each in enumerate(many, start=1)]
        pairs = {(n, n + 1): Proof(1, 0, 0, ObservationId(n)) for n in range(1, 2_000)}
        sets = [StoredSet(SetId(n), n, (n,)) for n in range(1, 2_001)]
        graph.commit(Commit(seq=1, at=0, born=born, moved=born, new_pairs=pairs, new_sets=sets))
        assert len(graph.values([pid(each) for each in many])) == 2_000
        assert graph.pairs(list(pairs)) == pairs
        assert len(graph.persons([each.id for each in sets])) == len(graph.owned(range(1, 2_001))) == 2_000
        graph.commit(Commit(seq=2, at=0, unsettled=set(range(1, 2_001))))

    def test_readers_in_other_threads_see_whole_commits_only(self, open_graph: OpenGraph) -> None:
        graph, seen, done = open_graph(), set(), threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.add(len(graph.identifiers(1)))

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for seq in range(1, 21):
                born = [value(seq * 10 + n, Identifier("phone", f"{seq}-{n}"), person=1) for n in range(10)]
                graph.commit(Commit(seq=seq, at=0, born=born))
        finally:
            done.set()
            for reader in readers:
                reader.join()
        assert {count % 10 for count in seen} == {0}

    def test_closing_twice_is_harmless(self, graph: Graph) -> None:
        graph.close()
        graph.close()
