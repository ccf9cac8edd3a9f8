"""What every graph store promises. An adapter's suite inherits `GraphContract` and gives the fixture `open_graph`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cdp.errors import GraphConflict, LeaseLost
from cdp.model import Identifier, PersonId, SetId
from identity.changes import ChangeKind, Turn
from identity.graph import (
    Commit,
    Graph,
    Head,
    SeenValue,
    SetMember,
    StoredObservation,
    StoredRefusal,
    StoredSet,
    StoredTurn,
    Value,
)
from identity.observation import Node, Observation, ObservationId, Proof, pid
from identity.ownership import Claim, Epoch
from identity.resolve import Ledger, Refusal, State

OpenGraph = Callable[[], Graph]

BIG = 2**63 - 1
"""The largest id, which a store must not round."""

MEMBER, PHONE, DEVICE, NAME = (
    Identifier(*text.split(":")) for text in ("member_id:M1", "phone:tok-en=", "device_id:d", "name:李 娜's ☕")
)
OWNER = "member_id:M2"
LEDGER = Ledger({"": 2, "name": 1}, {"member_id:M1": Claim(5, 3, 9)})
EPOCHS = (Epoch(86_400_000, OWNER),)
LOGIN, FORM, DIFFERENT = ObservationId(BIG), ObservationId(7), ObservationId(8)
MERGED = StoredTurn(Turn(ChangeKind.MERGED, 1, (3,)), FORM)
SPLIT = StoredTurn(Turn(ChangeKind.SPLIT, 1, (3,)), None)


def value(number: int, identifier: Identifier, *, person: int | None = None, **more: Any) -> Value:
    whole = number if person is None else person
    return Value(number, pid(identifier), identifier, **{"base": number, "component": whole, "person": whole, **more})


def nobody(number: int, identifier: Identifier) -> Value:
    return Value(number, pid(identifier), identifier, number, state=State.EVIDENCE, reason="counted only")


def observed(key: ObservationId, its_set: int, strength: int, at: int, **more: Any) -> StoredObservation:
    return StoredObservation(
        key, SetId(its_set), strength, at, **{"source": "app", "different": False, "note": "", "refused": "", **more}
    )


def first_commit() -> Commit:
    """Two persons: a member with a phone (proved), and a device; and a name that is nobody's."""
    born = [
        value(1, MEMBER, first_seen=0, last_seen=5),
        value(2, PHONE, person=1, ledger=LEDGER),
        value(3, DEVICE),
        nobody(4, NAME),
    ]
    return Commit(
        seq=1,
        at=1_000,
        born=born,
        moved=[each for each in born if each.person is not None],
        observations=[
            observed(LOGIN, BIG, 5, 30),
            observed(FORM, 2, 3, 40, refused="two members"),
            observed(DIFFERENT, 4, 9, 35, source="steward", different=True, note="Li ≠ 王"),
        ],
        new_pairs={(1, 2): Proof(5, 9, 3, LOGIN), (2, 4): Proof(0, 9, 9, FORM, 9)},
        new_sets=[StoredSet(SetId(BIG), (1, 2)), StoredSet(SetId(2), (2, 4)), StoredSet(SetId(4), (3,))],
        policy="first rules",
    )


def merging_commit() -> Commit:
    """The device joins the member, over a better proof of the phone and a refusal."""
    device = value(3, DEVICE, person=1, contested=True, parted=True, last_seen=7, first_seen=7)
    return Commit(
        seq=2,
        at=2_000,
        changed=[device],
        moved=[device],
        new_pairs={(1, 3): Proof(4, 5, 5, FORM), (2, 3): Proof(0, 5, 5, FORM, 4)},
        changed_pairs={(1, 2): Proof(5, 99, 3, LOGIN, 2)},
        refusals=[StoredRefusal(2, 3, "more than 1")],
        turns=[MERGED],
    )


def parting_commit() -> Commit:
    """The device goes out, the phone changes hands: its second epoch is a person, and its first is the member's."""
    device = value(3, DEVICE)
    phone = value(2, PHONE, person=1, epochs=EPOCHS, ledger=LEDGER)
    epoch = second_epoch(5)
    return Commit(
        seq=3,
        at=3_000,
        born=[epoch],
        changed=[phone, device],
        moved=[phone, device, epoch],
        retracted={LOGIN: "by Wang: typed wrongly"},
        dropped_pairs={(1, 3)},
        unsettled={3},
        turns=[SPLIT],
    )


def second_epoch(person: int | None) -> Value:
    """The phone's second epoch, as a person of its own or past."""
    state = State.PAST if person is None else State.LINK
    return Value(5, pid(PHONE, OWNER), PHONE, 2, OWNER, state, component=person, person=person)


def at_the_end_of(graph: Graph, commit: Commit) -> Commit:
    """To fence a graph may have taken a number."""
    return replace(commit, seq=graph.head().seq + 1)


class GraphContract:
    @pytest.fixture
    def graph(self, open_graph: OpenGraph) -> Graph:
        graph = open_graph()
        graph.commit(first_commit())
        return graph

    @pytest.fixture
    def merged(self, graph: Graph) -> Graph:
        graph.commit(merging_commit())
        return graph

    @pytest.fixture
    def parted(self, merged: Graph) -> Graph:
        merged.commit(parting_commit())
        return merged

    def test_an_empty_graph_knows_nothing(self, open_graph: OpenGraph) -> None:
        graph = open_graph()
        graph.probe()
        assert graph.head() == Head(0, 0)
        assert graph.known([LOGIN]) == graph.moved_since(0) == graph.holding([1]) == graph.every_refusal() == set()
        assert graph.values([pid(MEMBER)]) == graph.observations([LOGIN]) == graph.mentioning([1]) == []
        assert graph.pairs([(1, 2)]) == graph.pairs_at([1]) == graph.members([SetId(BIG)]) == graph.every_pair() == {}
        assert graph.value(pid(MEMBER)) is graph.whole(pid(MEMBER)) is graph.person_as_of(pid(MEMBER), 5) is None
        assert graph.members_as_of(5) == graph.pids([1]) == {}
        assert graph.history([1]) == graph.turns_since(0, 9) == graph.links(1) == graph.notes("app") == []
        assert (graph.policy(), graph.seq_at(BIG)) == ("", 0)
        assert [*graph.every_observation(), *graph.every_value(), *graph.every_set()] == []

    def test_what_was_committed_is_there_after_opening_again(self, graph: Graph, open_graph: OpenGraph) -> None:
        for each in (graph, open_graph()):
            assert each.head() == Head(1, 4)
            assert each.every_value() == first_commit().born
            wanted = [pid(DEVICE), pid(NAME), pid(PHONE, OWNER)]
            assert sorted(each.values(wanted), key=lambda value: value.number) == first_commit().born[2:]

    def test_what_a_value_no_longer_has_is_gone(self, parted: Graph) -> None:
        assert parted.values([pid(DEVICE)]) == [value(3, DEVICE)], "neither contested nor seen any more"

    def test_ids_of_63_bits_come_back_unrounded(self, graph: Graph) -> None:
        assert graph.known([LOGIN, ObservationId(BIG - 1)]) == {LOGIN}
        assert set(graph.members([SetId(BIG), SetId(BIG - 1)])) == {SetId(BIG)}
        assert graph.pairs([(1, 2)])[1, 2].observation == LOGIN

    def test_observations_say_what_they_said_and_why_they_no_longer_count(self, parted: Graph) -> None:
        login = Observation(LOGIN, (MEMBER, PHONE), 5, 30, "app")
        form = Observation(FORM, (NAME, PHONE), 3, 40, "app")
        different = Observation(DIFFERENT, (DEVICE,), 9, 35, "steward", True, "Li ≠ 王")
        found = parted.observations([LOGIN, FORM, DIFFERENT, ObservationId(1)])
        told = [(form, ""), (different, ""), (login, "by Wang: typed wrongly")]
        assert sorted(found, key=lambda each: each[0].id) == told
        assert parted.known([LOGIN]) == {LOGIN}, "taken back is not unknown"
        assert sorted(parted.every_observation(), key=lambda each: each.id) == [form, different]
        assert parted.mentioning([2]) == parted.mentioning([1, 2, 4]) == [form], "once, though it has two of them"
        assert parted.mentioning([1]) == []
        assert parted.notes("app") == [(form, ""), (login, "by Wang: typed wrongly")], "newest first"

    def test_pairs_are_found_by_their_two_ends_and_by_each(self, merged: Graph) -> None:
        first, second = first_commit(), merging_commit()
        assert merged.pairs([(1, 2), (1, 3), (1, 4)]) == second.changed_pairs | {(1, 3): second.new_pairs[1, 3]}
        assert merged.pairs_at([3]) == second.new_pairs
        assert merged.pairs_at([2]) == merged.pairs_at([2, 4]) | second.changed_pairs
        assert merged.pairs_at([4]) == {(2, 4): first.new_pairs[2, 4]}
        assert merged.every_pair() == first.new_pairs | second.new_pairs | second.changed_pairs
        merged.commit(parting_commit())
        assert merged.pairs([(1, 3)]) == {}
        assert set(merged.every_pair()) == {(1, 2), (2, 3), (2, 4)}

    def test_a_neighbourhood_has_the_values_of_its_components_and_the_pairs_inside(self, graph: Graph) -> None:
        found = graph.neighbourhood([1], pairs=True)
        assert sorted(each.number for each in found.values) == [1, 2]
        assert set(found.pairs) == {(1, 2)}, "a pair with a value outside is not inside"
        assert graph.neighbourhood([1, 3], pairs=False).pairs == {}
        assert graph.neighbourhood([], pairs=True) == ([], {})

    def test_members_of_a_set_tell_what_they_may_do_and_whose_they_are(self, parted: Graph) -> None:
        assert parted.members([SetId(BIG), SetId(2), SetId(4), SetId(5)]) == {
            SetId(BIG): [
                SetMember(MEMBER, State.LINK, (), pid(MEMBER)),
                SetMember(PHONE, State.LINK, EPOCHS, pid(MEMBER)),
            ],
            SetId(2): [
                SetMember(NAME, State.EVIDENCE, (), None),
                SetMember(PHONE, State.LINK, EPOCHS, pid(MEMBER)),
            ],
            SetId(4): [SetMember(DEVICE, State.LINK, (), pid(DEVICE))],
        }
        assert parted.holding([2]) == parted.holding([1, 2, 4]) == {SetId(BIG), SetId(2)}
        assert parted.holding([3]) == {SetId(4)}

    def test_a_renewed_set_has_its_new_members_alone(self, merged: Graph) -> None:
        merged.commit(Commit(seq=3, at=3_000, new_sets=[StoredSet(SetId(2), (1, 3))], renewed={SetId(2)}))
        members = merged.members([SetId(2), SetId(4)])
        assert {each: [one.identifier for one in some] for each, some in members.items()} == {
            SetId(2): [DEVICE, MEMBER],
            SetId(4): [DEVICE],
        }
        assert SetId(2) not in merged.holding([2])

    def test_sets_that_moved_are_found_from_any_commit_on(self, parted: Graph) -> None:
        past = second_epoch(None)
        parted.commit(Commit(seq=4, at=4_000, changed=[past], moved=[past]))
        assert parted.moved_since(0) == {SetId(BIG), SetId(2), SetId(4)}
        assert parted.moved_since(3) == {SetId(BIG), SetId(2)}, "what is now nobody's has moved as well"
        assert parted.moved_since(4) == set()

    def test_every_set_comes_once_and_in_order(self, parted: Graph) -> None:
        assert list(parted.every_set()) == [SetId(2), SetId(4), SetId(BIG)]

    def test_a_person_is_read_by_the_number_of_its_oldest_value(self, merged: Graph) -> None:
        device = merging_commit().changed[0]
        assert merged.identifiers(1) == [*first_commit().born[:2], device]
        assert merged.identifiers(3) == []
        assert merged.value(pid(DEVICE)) == (device, pid(MEMBER))
        assert merged.value(pid(NAME)) == (first_commit().born[3], None)
        assert merged.pids([1, 3, 99]) == {1: pid(MEMBER), 3: pid(DEVICE)}

    def test_links_are_the_pairs_that_join_and_not_those_that_only_part(self, merged: Graph) -> None:
        assert sorted(merged.links(1)) == [
            (Node(DEVICE), Node(MEMBER), Proof(4, 5, 5, FORM)),
            (Node(MEMBER), Node(PHONE), Proof(5, 99, 3, LOGIN, 2)),
        ]

    def test_an_epoch_is_a_person_and_once_past_its_first_owners(self, parted: Graph) -> None:
        assert parted.value(pid(PHONE, OWNER)) == (second_epoch(5), pid(PHONE, OWNER))
        past = second_epoch(None)
        parted.commit(Commit(seq=4, at=4_000, changed=[past], moved=[past]))
        assert parted.value(pid(PHONE, OWNER)) == (past, pid(MEMBER))
        assert parted.whole(pid(PHONE, OWNER)) == parted.whole(pid(MEMBER))
        assert parted.head() == Head(4, 5)

    def test_a_whole_person_has_its_nodes_and_all_sets_with_its_identifiers(self, parted: Graph) -> None:
        assert parted.whole(pid(NAME)) is None
        member, epoch = parted.whole(pid(PHONE)), parted.whole(pid(PHONE, OWNER))
        assert member is not None
        assert epoch is not None
        assert member.person == pid(MEMBER)
        assert member.values == [SeenValue(MEMBER, "", 0, 5, ()), SeenValue(PHONE, "", None, None, EPOCHS)]
        assert member.sets == parted.members([SetId(BIG), SetId(2)])
        assert (epoch.person, epoch.values) == (pid(PHONE, OWNER), [SeenValue(PHONE, OWNER, None, None, ())])
        assert epoch.sets == member.sets, "a set is of identifiers, and when it is whose they say"

    def test_history_tells_when_who_and_why(self, parted: Graph) -> None:
        assert (
            parted.history([1])
            == parted.history([3])
            == parted.history([1, 3, 9])
            == [
                (2, 2_000, MERGED),
                (3, 3_000, SPLIT),
            ]
        )
        assert parted.history([2]) == []

    def test_turns_come_in_whole_commits(self, parted: Graph) -> None:
        moved = StoredTurn(Turn(ChangeKind.MOVED, 3, (1, 5)), LOGIN)
        parted.commit(Commit(seq=4, at=4_000, turns=[moved, MERGED]))
        merge, split, last = (2, 2_000, MERGED), (3, 3_000, SPLIT), [(4, 4_000, moved), (4, 4_000, MERGED)]
        assert parted.turns_since(0, 100) == [merge, split, *last]
        assert parted.turns_since(2, 1) == [split]
        assert parted.turns_since(2, 2) == [split, *last]
        assert parted.turns_since(4, 100) == []

    def test_the_past_can_be_asked_for(self, parted: Graph) -> None:
        one, other = {Node(MEMBER), Node(PHONE)}, {Node(DEVICE)}
        assert parted.members_as_of(0) == {}
        assert parted.members_as_of(1) == {pid(MEMBER): one, pid(DEVICE): other}
        assert parted.members_as_of(2) == {pid(MEMBER): one | other}
        epoch = {pid(PHONE, OWNER): {Node(PHONE, OWNER)}}
        assert parted.members_as_of(3) == {pid(MEMBER): one, pid(DEVICE): other} | epoch
        assert [parted.person_as_of(pid(DEVICE), seq) for seq in range(4)] == [
            None,
            (pid(DEVICE), other),
            (pid(MEMBER), one | other),
            (pid(DEVICE), other),
        ]
        assert [parted.seq_at(at) for at in (999, 1_000, 2_999, 9_999)] == [0, 1, 2, 3]

    def test_refusals_give_way_when_their_values_are_settled_again(self, merged: Graph) -> None:
        refused = [Refusal(Node(DEVICE), Node(PHONE), "more than 1")]
        assert merged.refusals([2]) == merged.refusals([3]) == merged.refusals([2, 3]) == refused
        assert merged.every_refusal() == {StoredRefusal(2, 3, "more than 1")}
        merged.commit(
            Commit(seq=3, at=0, unsettled={1, 2}, refusals=[StoredRefusal(2, 3, "other"), StoredRefusal(1, 3, "x")])
        )
        assert merged.every_refusal() == {StoredRefusal(2, 3, "other"), StoredRefusal(1, 3, "x")}
        merged.commit(Commit(seq=4, at=0, unsettled={2, 3}))
        assert merged.refusals([1, 2, 3]) == []

    def test_the_policy_is_the_last_that_a_commit_named(self, merged: Graph) -> None:
        assert merged.policy() == "first rules"
        merged.commit(Commit(seq=3, at=0, policy="other rules"))
        assert merged.policy() == "other rules"

    def test_a_commit_of_a_second_writer_is_refused_whole(self, merged: Graph, open_graph: OpenGraph) -> None:
        late = Commit(seq=2, at=0, born=[value(5, Identifier("phone", "other"))])
        with pytest.raises(GraphConflict):
            open_graph().commit(late)
        assert merged.head() == Head(2, 4)

    def test_who_has_a_lower_token_than_another_writes_nothing_more(self, graph: Graph, open_graph: OpenGraph) -> None:
        graph.fence(3)
        graph.fence(3)
        graph.commit(at_the_end_of(graph, merging_commit()))
        other = open_graph()
        other.fence(4)
        for _ in range(2):
            with pytest.raises(LeaseLost):
                graph.commit(at_the_end_of(graph, parting_commit()))
        with pytest.raises(LeaseLost):
            graph.fence(3)
        assert not graph.history([5])
        other.commit(at_the_end_of(other, parting_commit()))
        assert graph.history([3])[-1][2] == SPLIT

    def test_a_fenced_graph_that_is_opened_without_a_token_asks_for_none(
        self, graph: Graph, open_graph: OpenGraph
    ) -> None:
        graph.fence(3)
        other = open_graph()
        other.commit(at_the_end_of(other, merging_commit()))
        assert graph.pids([3])

    def test_what_was_forgotten_can_be_told_from_the_head(self, parted: Graph, open_graph: OpenGraph) -> None:
        assert parted.head().forgot == 0
        gone = value(3, Identifier("device_id", "erased-3"))
        parted.commit(Commit(seq=4, at=4_000, moved=[gone], forgotten=[gone]))
        parted.fence(1)
        parted.commit(at_the_end_of(parted, Commit(seq=0, at=5_000)))
        assert open_graph().head() == (parted.head().seq, 5, 4)

    def test_where_the_graph_stands_is_seen_by_other_processes_at_once(
        self, graph: Graph, open_graph: OpenGraph
    ) -> None:
        other = open_graph()
        assert other.head() == graph.head() == Head(1, 4)
        graph.commit(merging_commit())
        assert other.head() == graph.head() == Head(2, 4)

    def test_a_commit_that_fails_leaves_nothing(self, graph: Graph) -> None:
        taken = value(1, Identifier("phone", "other"))
        with pytest.raises(Exception, match=r".+"):
            graph.commit(Commit(seq=2, at=0, observations=[observed(ObservationId(9), 2, 1, 1)], born=[taken]))
        assert graph.head() == Head(1, 4)
        assert graph.known([ObservationId(9)]) == set()
        graph.commit(merging_commit())

    def test_nothing_is_left_of_a_forgotten_node_but_its_number(self, parted: Graph) -> None:
        erased = Identifier("device_id", "erased-3")
        gone = Value(3, PersonId("erased-3"), erased, 3, state=State.BLOCKED, reason="erased")
        parted.commit(Commit(seq=4, at=4_000, moved=[gone], forgotten=[gone]))
        assert parted.values([pid(DEVICE)]) == []
        assert parted.values([gone.pid]) == [gone]
        assert parted.members([SetId(4)]) == {SetId(4): [SetMember(erased, State.BLOCKED, (), None)]}
        assert parted.members_as_of(1)[gone.pid] == {Node(erased)}
        assert parted.pids([3]) == {3: gone.pid}
        back = value(6, DEVICE)
        again = StoredSet(SetId(4), (6,))
        parted.commit(Commit(seq=5, at=5_000, born=[back], moved=[back], new_sets=[again], renewed={SetId(4)}))
        assert parted.members([SetId(4)]) == {SetId(4): [SetMember(DEVICE, State.LINK, (), pid(DEVICE))]}
        assert parted.holding([3]) == set()

    def test_what_was_noted_with_an_observation_can_be_overwritten(self, graph: Graph) -> None:
        word = StoredObservation(
            ObservationId(77), SetId(4), 9, 5, "steward", True, "she told me", "", "her mother did"
        )
        graph.commit(Commit(seq=2, at=0, observations=[word]))
        graph.commit(Commit(seq=3, at=0, unsaid={word.id: "erased"}))
        [(said, retracted)] = graph.observations([word.id])
        assert (said.note, retracted) == ("", "erased")

    def test_more_keys_than_one_statement_takes(self, open_graph: OpenGraph) -> None:
        graph, numbers = open_graph(), range(1, 5_001)
        many = [Identifier("phone", str(n)) for n in numbers]
        born = [value(n, each) for n, each in zip(numbers, many, strict=True)]
        pairs = {(n, n + 1): Proof(1, 0, 0, ObservationId(n)) for n in numbers[:-1]}
        seen = [observed(ObservationId(n), n, 1, 0) for n in numbers]
        sets = [StoredSet(SetId(n), (n,)) for n in numbers]
        graph.commit(Commit(seq=1, at=0, born=born, moved=born, observations=seen, new_pairs=pairs, new_sets=sets))
        assert len(graph.values([pid(each) for each in many])) == len(graph.pids(numbers)) == 5_000
        assert graph.pairs(list(pairs)) == graph.pairs_at(numbers) == graph.neighbourhood(numbers, pairs=True).pairs
        assert len(graph.members([each.id for each in sets])) == len(graph.holding(numbers)) == 5_000
        assert list(graph.every_set()) == list(numbers)
        assert len(graph.known([each.id for each in seen])) == len(graph.mentioning(numbers)) == 5_000
        graph.commit(Commit(seq=2, at=0, unsettled=set(numbers), changed=born, dropped_pairs=set(pairs)))
        assert graph.every_pair() == {}

    def test_readers_in_other_threads_see_whole_commits_only(self, open_graph: OpenGraph) -> None:
        graph, seen, ended = open_graph(), set(), threading.Event()

        def read() -> None:
            while not ended.is_set():
                values, pairs = graph.neighbourhood([1], pairs=True)
                seen.add((len(values), len(pairs)))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        try:
            for seq in range(1, 21):
                numbers = range(seq * 100, seq * 100 + 100)
                born = [value(n, Identifier("phone", str(n)), person=1) for n in numbers]
                pairs = {(n, n + 1): Proof(1, 0, 0, LOGIN) for n in numbers[:-1]}
                graph.commit(Commit(seq=seq, at=0, born=born, new_pairs=pairs))
        finally:
            ended.set()
            for reader in readers:
                reader.join()
        assert seen <= {(100 * n, 99 * n) for n in range(21)}

    def test_closing_twice_is_harmless(self, graph: Graph) -> None:
        graph.close()
        graph.close()
