"""The engine as its users meet it: taking in, asking, and coming back after a crash."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from cdp.errors import GraphConflict, StoreUnavailable
from cdp.model import DAY_MS, PersonId, SetId
from identity.changes import ChangeKind
from identity.engine import IdentityEngine
from identity.erase import erasure_of
from identity.graph import Commit, SetMember
from identity.graph_sql import SqlGraph
from identity.observation import Link, Node, Observation, Proof, pid, set_id
from identity.resolve import State
from identity.steward import Note, Steward, Verdict
from tests.identity.makers import identifier, identifiers, make_observation

OpenEngine = Callable[..., IdentityEngine]

OPENID, WEB, PHONE = (identifier(text) for text in ("wx_openid:wx1/oLi", "anonymous_id:web-9", "phone:token-li"))
VISIT, FORM = set_id((OPENID,)), set_id((WEB, PHONE))


def ms_li(engine: IdentityEngine) -> None:
    """Three weeks of visits in the mini-program and on the site, then a form."""
    engine.absorb({VISIT: (OPENID,)}, [make_observation("anonymous_id:web-9", "wx_openid:wx1/oLi", day=1)])
    engine.absorb({FORM: (WEB, PHONE)}, [make_observation("anonymous_id:web-9", "phone:token-li", strength=2, day=20)])


def test_ms_li_is_found_by_each_of_her_identifiers_and_sets(engine: IdentityEngine) -> None:
    ms_li(engine)
    (person,) = {engine.person_of(each) for each in (OPENID, WEB, PHONE)}
    assert person is not None
    assert engine.person_of_set(VISIT) == engine.person_of_set(FORM) == person
    assert {VISIT, FORM} <= set(engine.sets_of(person))
    assert [(known.identifier, known.first_seen, known.last_seen) for known in engine.identifiers_of(person)] == [
        (OPENID, DAY_MS, DAY_MS),
        (WEB, DAY_MS, 20 * DAY_MS),
        (PHONE, 20 * DAY_MS, 20 * DAY_MS),
    ]


def test_the_reasons_name_the_best_proof_of_each_link(engine: IdentityEngine) -> None:
    ms_li(engine)
    first = make_observation("anonymous_id:web-9", "phone:token-li", strength=2, day=20)
    later = make_observation("anonymous_id:web-9", "phone:token-li", strength=2, day=30)
    weak = make_observation("anonymous_id:web-9", "phone:token-li", strength=1, day=40)
    engine.observe([later, weak])
    best = engine.links_of(pid(WEB))[0]
    assert best == Link(Node(WEB), Node(PHONE), Proof(2, 30 * DAY_MS, first.occurred_at, later.id))


def test_two_persons_become_one_and_both_ids_mean_it(engine: IdentityEngine) -> None:
    engine.register_sets({VISIT: (OPENID,), FORM: (WEB, PHONE)})
    alone = engine.person_of(OPENID), engine.person_of(WEB), engine.person_of(PHONE)
    assert alone == (pid(OPENID), pid(WEB), pid(PHONE)), "identifiers that no evidence joins stand alone"
    proof = make_observation("wx_openid:wx1/oLi", "phone:token-li", strength=4, day=3)
    (change,) = engine.observe([proof]).changes
    assert (change.kind, change.person, change.others) == (ChangeKind.MERGED, pid(OPENID), (pid(PHONE),))
    assert (change.cause, change.at) == (proof.id, 1_700_000_000_000)
    assert engine.current(pid(PHONE)) == pid(OPENID)
    assert engine.history(pid(PHONE)) == [change]
    assert engine.current(PersonId("never given")) is None


def test_a_merge_tells_which_known_sets_are_now_another_persons(engine: IdentityEngine) -> None:
    engine.register_sets({VISIT: (OPENID,), FORM: (PHONE,)})
    before = engine.version
    assert engine.person_of_set(FORM) == pid(PHONE)
    changes = engine.observe([make_observation("wx_openid:wx1/oLi", "phone:token-li")])
    assert changes.sets == {FORM}
    assert engine.person_of_set(FORM) == pid(OPENID), "what was remembered of it is forgotten"
    assert FORM in engine.sets_moved_since(before)
    assert VISIT not in engine.sets_moved_since(before)
    assert engine.sets_moved_since(changes.seq) == set()


def test_who_it_was_before_the_merge_is_kept(engine: IdentityEngine) -> None:
    engine.register_sets({VISIT: (OPENID,), FORM: (PHONE,)})
    before = engine.version
    engine.observe([make_observation("wx_openid:wx1/oLi", "phone:token-li")])
    assert engine.members_as_of(before) == {pid(OPENID): {Node(OPENID)}, pid(PHONE): {Node(PHONE)}}
    assert engine.members_as_of(engine.version) == {pid(OPENID): {Node(OPENID), Node(PHONE)}}


def test_a_showroom_tablet_that_turns_out_shared_gives_everybody_back(engine: IdentityEngine) -> None:
    tablet = identifier("device_id:tablet")
    phones = [identifier(f"phone:t{n}") for n in range(5)]
    alone = set_id((tablet,))
    engine.register_sets({alone: (tablet,)})
    for day, phone in enumerate(phones):
        changes = engine.observe([make_observation("device_id:tablet", f"phone:{phone.value}", strength=2, day=day)])
    assert [engine.person_of(phone) for phone in phones] == [pid(phone) for phone in phones]
    assert engine.person_of_set(alone) == pid(tablet), "what happened on it alone is its own"
    assert [engine.person_of_set(set_id((tablet, phone))) for phone in phones] == [pid(phone) for phone in phones]
    assert changes.sets >= {set_id((tablet, phone)) for phone in phones[1:4]}
    known = engine.standing_of(tablet)
    assert known is not None
    assert (known.state, known.reason) == (State.HUB, "seen with more than 4 values of phone")
    split = engine.history(pid(tablet))[-1]
    assert split.kind in (ChangeKind.SPLIT, ChangeKind.MOVED)


def test_events_with_a_hub_still_belong_to_their_other_identifier(engine: IdentityEngine) -> None:
    evidence = [make_observation("device_id:tablet", f"phone:t{n}", "anonymous_id:v") for n in range(5)]
    engine.observe(evidence)
    assert engine.person_of_set(set_id(identifiers("device_id:tablet", "phone:t3"))) is None, "never registered"
    both = identifiers("device_id:tablet", "phone:t3")
    engine.register_sets({set_id(both): both})
    assert engine.person_of_set(set_id(both)) == engine.person_of(both[1])


def test_only_blocked_or_evidence_belongs_to_nobody(engine: IdentityEngine) -> None:
    placeholder, name = identifier("phone:token-of-a-placeholder"), identifier("name:li")
    sets = {set_id((each,)): (each,) for each in (placeholder, name)}
    met = make_observation("anonymous_id:a", "phone:token-of-a-placeholder")
    engine.absorb(sets, [met], blocked={placeholder: "a placeholder"})
    engine.observe([make_observation("anonymous_id:b", "phone:token-of-a-placeholder")])
    assert engine.persons_of_sets(list(sets)) == dict.fromkeys(sets)
    assert engine.person_of(placeholder) is None
    assert engine.person_of(identifier("anonymous_id:a")) != engine.person_of(identifier("anonymous_id:b"))


def test_two_member_ids_in_one_event_are_kept_as_evidence_and_link_nothing(engine: IdentityEngine) -> None:
    both = make_observation("member_id:M1", "member_id:M2", "anonymous_id:a1", strength=4)
    assert engine.observe([both]).refused == {both.id: "two values of member_id in one observation"}
    assert len(engine.members_as_of(engine.version)) == 3
    assert engine.observe([both]).refused == {}, "it is known now"


def test_a_refused_link_is_remembered_with_its_reason(engine: IdentityEngine) -> None:
    engine.observe([make_observation("device_id:d", f"member_id:M{n}", strength=n + 1, day=n) for n in range(2)])
    (refusal,) = engine.refusals_of(pid(identifier("member_id:M0")))
    assert (refusal.a.identifier, refusal.b.identifier) == identifiers("device_id:d", "member_id:M0")
    assert refusal.rule == "more than 1 of member_id"


def test_a_handset_sold_on_is_each_owners_in_their_time_and_is_shared_when_both_have_it(engine: IdentityEngine) -> None:
    device, one, other = identifiers("device_id:d", "member_id:M1", "member_id:M2")
    alone = set_id((device,))
    engine.register_sets({alone: (device,)})

    def owners_after(member: str, day: int) -> list[PersonId | None]:
        engine.observe([make_observation("device_id:d", f"member_id:{member}", strength=4, day=day)])
        return [engine.person_of_set(alone, day * DAY_MS) for day in (0, 4, 5, 99)]

    assert owners_after("M1", 1) == [engine.person_of(one)] * 4
    assert owners_after("M2", 5) == [engine.person_of(one)] * 2 + [engine.person_of(other)] * 2
    assert engine.person_of(device) == engine.person_of(other), "now it is the new owner's"
    whole = engine.whole_of(one)
    assert whole is not None
    assert whole.windows == {alone: [(None, 5 * DAY_MS)]}
    assert owners_after("M1", 3) == [engine.person_of(one)] * 2 + [engine.person_of(other)] * 2
    assert owners_after("M1", 9) == [pid(device)] * 4, "both have it at the same time, so it is nobody's but its own"
    assert engine.person_of(one) != engine.person_of(other)
    late = make_observation("device_id:d", "member_id:M1", strength=4, day=9)
    engine.retract({late.id: "a mistake"})
    assert owners_after("M1", 3) == [engine.person_of(one)] * 2 + [engine.person_of(other)] * 2


def test_a_recycled_number_keeps_the_old_owners_past_and_takes_the_new_ones_future(engine: IdentityEngine) -> None:
    phone, old, new = identifiers("phone:token-p", "member_id:M1", "member_id:M2")
    engine.observe([make_observation("phone:token-p", "member_id:M1", strength=5, day=10)])
    before = engine.person_of(phone)
    engine.observe([make_observation("phone:token-p", "member_id:M2", strength=5, day=300)])
    assert engine.person_of(old) == before
    assert engine.person_of(phone) == engine.person_of(new) != before
    assert [change.kind for change in engine.history(pid(new))] == []


def test_a_claim_through_a_public_key_takes_no_phone_from_who_proved_it(engine: IdentityEngine) -> None:
    engine.observe([make_observation("phone:token-p", "member_id:M1", strength=5, day=10)])
    engine.observe([make_observation("phone:token-p", "member_id:attacker", strength=4, day=day) for day in (8, 12)])
    phone, victim, attacker = identifiers("phone:token-p", "member_id:M1", "member_id:attacker")
    assert engine.person_of(phone) == engine.person_of(victim) != engine.person_of(attacker)


def test_a_steward_parts_two_and_takes_it_back_exactly(engine: IdentityEngine) -> None:
    ms_li(engine)
    before = everything(engine)
    word = make_observation("wx_openid:wx1/oLi", "phone:token-li", strength=9, day=30, different=True)
    (change,) = engine.observe([word]).changes
    assert (change.kind, change.cause) == (ChangeKind.SPLIT, word.id)
    assert engine.person_of(PHONE) != engine.person_of(OPENID)
    assert [each.rule for each in engine.refusals_of(pid(OPENID))] == ["called different"]
    engine.retract({word.id: "it was her after all"})
    assert engine.refusals_of(pid(OPENID)) == []
    assert everything(engine)[1:3] == before[1:3]
    engine.observe([word])
    assert everything(engine)[1:3] == before[1:3], "what was taken back stays so, whoever says it again"


def test_a_stewards_same_joins_what_no_event_joined_and_no_limit_is_broken_by_it(engine: IdentityEngine) -> None:
    engine.observe([make_observation("member_id:M1", "anonymous_id:a", strength=4)])
    engine.observe([make_observation("member_id:M2", "anonymous_id:b", strength=4)])
    engine.observe([make_observation("anonymous_id:a", "phone:p", strength=9)])
    assert engine.person_of(identifier("phone:p")) == engine.person_of(identifier("member_id:M1"))
    engine.observe([make_observation("phone:p", "member_id:M2", strength=9, day=1)])
    members = [engine.person_of(each) for each in identifiers("member_id:M1", "member_id:M2")]
    assert members[0] != members[1]


def test_a_blocked_value_lets_go_of_everybody(engine: IdentityEngine) -> None:
    ms_li(engine)
    engine.block({WEB: "a test browser"})
    assert engine.person_of(WEB) is None
    assert engine.person_of(OPENID) != engine.person_of(PHONE)
    version = engine.version
    assert engine.block({WEB: "again"}).seq == version


def test_a_repeat_writes_nothing(engine: IdentityEngine) -> None:
    ms_li(engine)
    version = engine.version
    ms_li(engine)
    assert engine.version == version


def everything(engine: IdentityEngine) -> object:
    sets = [VISIT, FORM, set_id((OPENID, WEB))]
    return (
        engine.version,
        engine.members_as_of(engine.version),
        engine.persons_of_sets(sets),
        engine.history(pid(OPENID)),
    )


def test_a_batch_redone_after_a_restart_changes_nothing(open_identity: OpenEngine) -> None:
    first = open_identity()
    ms_li(first)
    before = everything(first)
    again = open_identity()
    ms_li(again)
    assert everything(again) == before


class DiesBeforeCommit(SqlGraph):
    alive = True

    def commit(self, commit: Commit) -> None:
        if self.alive:
            self.alive = False
            raise StoreUnavailable("graph", "pulled the plug")
        super().commit(commit)


class DiesAfterCommit(DiesBeforeCommit):
    def commit(self, commit: Commit) -> None:
        if self.alive:
            SqlGraph.commit(self, commit)
        super().commit(commit)


@pytest.mark.parametrize("kind", [DiesBeforeCommit, DiesAfterCommit])
def test_a_commit_with_an_unknown_end_can_be_tried_again(open_identity: OpenEngine, kind: type[SqlGraph]) -> None:
    engine = open_identity(kind=kind)
    proof = make_observation("anonymous_id:web-9", "phone:token-li", strength=2)
    with pytest.raises(StoreUnavailable):
        engine.observe([proof])
    engine.observe([proof])
    engine.observe([make_observation("wx_openid:wx1/oLi", "phone:token-li", strength=4)])
    assert engine.members_as_of(engine.version) == {pid(WEB): {Node(WEB), Node(PHONE), Node(OPENID)}}


def test_a_second_writer_stops_the_first_before_it_writes(open_identity: OpenEngine) -> None:
    first, second = open_identity(), open_identity()
    second.observe([make_observation("anonymous_id:web-9", "phone:token-li")])
    proof = make_observation("wx_openid:wx1/oLi", "phone:token-li")
    with pytest.raises(GraphConflict):
        first.observe([proof])
    first.observe([proof])
    assert first.members_as_of(first.version) == {pid(WEB): {Node(WEB), Node(PHONE), Node(OPENID)}}


def test_a_read_that_a_merge_overtakes_is_not_remembered(open_identity: OpenEngine) -> None:
    overtaking: list[Observation] = []

    class Overtaken(SqlGraph):
        def members(self, sets: Collection[SetId]) -> dict[SetId, list[SetMember]]:
            read = super().members(sets)
            if overtaking:
                engine.observe([overtaking.pop()])
            return read

    engine = open_identity(kind=Overtaken)
    engine.register_sets({VISIT: (OPENID,), FORM: (PHONE,)})
    overtaking.append(make_observation("wx_openid:wx1/oLi", "phone:token-li"))
    assert engine.person_of_set(FORM) == pid(PHONE), "what was true when it was read"
    assert engine.person_of_set(FORM) == pid(OPENID)


@pytest.mark.parametrize("restart", [False, True])
def test_whoever_comes_back_after_an_erasure_is_somebody_new_with_the_same_sets(
    open_identity: OpenEngine, restart: bool
) -> None:
    engine = open_identity()
    ms_li(engine)
    erased = engine.erase(pid(WEB), "asked for")
    assert erased is not None
    if restart:
        engine = open_identity()
    assert engine.person_of_set(FORM) is None
    engine.absorb({FORM: (WEB, PHONE)}, [make_observation("anonymous_id:web-9", "phone:token-li", strength=2, day=40)])
    person = engine.person_of(PHONE)
    assert person is not None
    assert engine.person_of_set(FORM) == engine.person_of(WEB) == person
    assert (engine.person_of(OPENID), engine.person_of_set(VISIT)) == (None, None)
    assert not engine.rebuild(check=True)


def test_an_erasure_that_a_crash_cut_off_is_done_from_what_it_had_found(open_identity: OpenEngine) -> None:
    engine = open_identity()
    ms_li(engine)
    whole = engine.whole(pid(WEB))
    assert whole is not None
    erasing = erasure_of(engine.graph, whole)
    engine.retract(dict.fromkeys(erasing.observations, "asked for"))
    engine = open_identity()
    for _ in range(2):
        engine.forget(erasing, "asked for")
        assert [engine.person_of(each) for each in (OPENID, WEB, PHONE)] == [None, None, None]
        assert engine.members_as_of(engine.version) == {}


def test_what_a_steward_wrote_of_an_erased_person_goes_too(engine: IdentityEngine) -> None:
    ms_li(engine)
    steward = Steward(engine)
    said, _ = steward.decide(Verdict.SAME, OPENID, PHONE, Note("Ms. Li told me so", "wang", 1))
    steward.undo(said.id, Note("her mother did", "wang", 2))
    engine.erase(pid(PHONE), "asked for")
    [left] = steward.decisions()
    assert left.note.reason == ""
    assert left.undone == Note("asked for")
