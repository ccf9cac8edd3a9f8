"""The pure resolver: cases as a marketer would tell them, and an oracle for what is connected."""

from __future__ import annotations

import networkx
from hypothesis import given
from hypothesis import strategies as st

from cdp.model import DAY_MS, Identifier
from identity.kinds import BUILT_IN, Kind, Policy
from identity.observation import MAX_IDENTIFIERS, Observation
from identity.resolve import Resolution, State, resolve
from tests.identity.makers import identifier, identifiers, make_observation


def persons(resolution: Resolution) -> set[frozenset[Identifier]]:
    return {frozenset(node.identifier for node in person) for person in resolution.persons}


def who_is_who(*observations: Observation, policy: Policy = BUILT_IN) -> set[frozenset[Identifier]]:
    return persons(resolve(observations, policy))


def together(resolution: Resolution, *texts: str) -> bool:
    return any(person.issuperset(identifiers(*texts)) for person in persons(resolution))


def test_ms_li_is_one_person_across_mini_program_site_and_form() -> None:
    found = who_is_who(
        make_observation("wx_openid:wx1/oLi", "anonymous_id:mp-7"),
        make_observation("anonymous_id:web-9", "wx_openid:wx1/oLi", day=4),
        make_observation("wx_openid:wx1/oLi", "phone:+8613812345678", strength=2, day=20),
    )
    assert found == {
        frozenset(identifiers("wx_openid:wx1/oLi", "anonymous_id:mp-7", "anonymous_id:web-9", "phone:+8613812345678"))
    }


def test_a_showroom_tablet_does_not_join_two_people() -> None:
    visitors = [f"phone:+861381234567{n}" for n in range(5)]
    found = resolve([make_observation("device_id:tablet", each) for each in visitors], BUILT_IN)
    assert persons(found) == {frozenset(identifiers(each)) for each in (*visitors, "device_id:tablet")}
    standing = found.standings[identifier("device_id:tablet")]
    assert standing == (State.HUB, "seen with more than 4 values of phone", ())


def test_a_tablet_that_met_only_a_few_people_links_them_no_more_than_limits_allow() -> None:
    members = [make_observation("device_id:d", f"member_id:M{n}", strength=1, day=n) for n in range(3)]
    found = resolve(members, BUILT_IN)
    assert found.standings[identifier("device_id:d")].state is State.LINK
    assert together(found, "device_id:d", "member_id:M2"), "the device belongs to whom was seen with it last"
    assert {refusal.rule for refusal in found.refusals} == {"more than 1 of member_id"}
    assert len(found.persons) == 3


def test_a_family_tablet_that_two_members_prove_in_turns_is_shared() -> None:
    turns = [make_observation("device_id:d", f"member_id:M{n % 2}", strength=4, day=n) for n in range(4)]
    found = resolve(turns, BUILT_IN)
    assert found.standings[identifier("device_id:d")] == (
        State.SHARED,
        "owned by more than one member_id at the same time",
        (),
    )
    assert len(found.persons) == 3


def test_a_phone_that_was_sold_again_after_its_pause_has_two_epochs() -> None:
    evidence = [
        make_observation("phone:p", "member_id:M1", "anonymous_id:a1", strength=5, day=0),
        make_observation("phone:p", "member_id:M2", "anonymous_id:a2", strength=5, day=100),
        make_observation("phone:p", "anonymous_id:a3", strength=2, day=120),
    ]
    found = resolve(evidence, BUILT_IN)
    assert found.standings[identifier("phone:p")].epochs == ((100 * DAY_MS, "member_id:M2"),)
    assert together(found, "member_id:M1", "anonymous_id:a1")
    assert together(found, "member_id:M2", "anonymous_id:a2", "anonymous_id:a3", "phone:p")
    assert not together(found, "member_id:M1", "anonymous_id:a3")


def test_a_phone_proved_by_two_within_its_pause_is_shared() -> None:
    evidence = [make_observation("phone:p", f"member_id:M{n}", strength=5, day=60 * n) for n in range(2)]
    assert resolve(evidence, BUILT_IN).standings[identifier("phone:p")].state is State.SHARED


def test_the_number_given_at_a_login_with_wechat_is_the_members_whose_wechat_it_is() -> None:
    evidence = [
        make_observation("phone:p", "member_id:M1", strength=5, day=0),
        make_observation("phone:p", "wx_unionid:u", strength=5, day=30),
    ]
    assert together(resolve(evidence, BUILT_IN), "member_id:M1", "wx_unionid:u")


def test_different_outweighs_every_path_but_a_better_word_on_the_very_pair() -> None:
    seen = make_observation("member_id:M1", "phone:p", strength=5)
    other = make_observation("phone:p", "anonymous_id:a", strength=5)
    apart = make_observation("member_id:M1", "anonymous_id:a", strength=3, different=True)
    assert not together(resolve([seen, other, apart], BUILT_IN), "member_id:M1", "anonymous_id:a")
    word = make_observation("member_id:M1", "anonymous_id:a", strength=9)
    assert together(resolve([seen, other, apart, word], BUILT_IN), "member_id:M1", "anonymous_id:a")


def test_a_value_seen_with_more_others_than_a_person_can_have_is_a_hub() -> None:
    evidence = [make_observation("crm_id:import", f"lead_id:L{n}") for n in range(BUILT_IN.max_cluster + 1)]
    assert resolve(evidence, BUILT_IN).standings[identifier("crm_id:import")].state is State.HUB


def test_a_phone_that_staff_type_for_everybody_links_nobody() -> None:
    rows = [make_observation("phone:staff", f"crm_id:c{n}", f"name:customer {n}", strength=3) for n in range(6)]
    found = resolve(rows, BUILT_IN)
    assert found.standings[identifier("phone:staff")].state is State.HUB
    assert not together(found, "crm_id:c0", "crm_id:c1")


def test_a_phone_with_one_name_written_on_many_forms_still_links() -> None:
    rows = [make_observation("phone:p", "name:li", f"crm_id:c{n}", strength=3, day=n) for n in range(9)]
    assert together(resolve(rows, BUILT_IN), "phone:p", *(f"crm_id:c{n}" for n in range(9)))


def test_a_placeholder_number_links_nobody() -> None:
    found = resolve(
        [make_observation("phone:+8613800138000", f"anonymous_id:visitor-{n}", strength=2) for n in range(2)], BUILT_IN
    )
    assert found.standings[identifier("phone:+8613800138000")].state is State.BLOCKED
    assert persons(found) == {frozenset(identifiers(f"anonymous_id:visitor-{n}")) for n in range(2)}


def test_a_value_may_be_blocked_by_who_saw_it_in_the_clear() -> None:
    seen = [make_observation("phone:token", f"anonymous_id:visitor-{n}") for n in range(2)]
    assert together(resolve(seen, BUILT_IN), "anonymous_id:visitor-0", "anonymous_id:visitor-1")
    found = resolve(seen, BUILT_IN, blocked={identifier("phone:token"): "a placeholder"})
    assert not together(found, "anonymous_id:visitor-0", "anonymous_id:visitor-1")


def test_two_member_ids_in_one_event_keep_it_out_of_the_graph() -> None:
    both = make_observation("member_id:M1", "member_id:M2", "anonymous_id:a1", strength=4)
    found = resolve([both], BUILT_IN)
    assert found.contradictions == {both.id: "two values of member_id in one observation"}
    assert persons(found) == {frozenset([each]) for each in both.identifiers}


def test_two_openids_of_two_apps_are_no_contradiction() -> None:
    found = resolve([make_observation("wx_openid:wx1/o1", "wx_openid:wx2/o2")], BUILT_IN)
    assert together(found, "wx_openid:wx1/o1", "wx_openid:wx2/o2")
    assert not found.contradictions


def test_a_blocked_member_id_does_not_contradict_a_real_one() -> None:
    found = resolve([make_observation("member_id:null", "member_id:M1", "anonymous_id:a1", strength=4)], BUILT_IN)
    assert together(found, "member_id:M1", "anonymous_id:a1")


def test_a_name_is_nobodys() -> None:
    found = resolve([make_observation("phone:p1", "name:li"), make_observation("phone:p2", "name:li")], BUILT_IN)
    assert persons(found) == {frozenset(identifiers("phone:p1")), frozenset(identifiers("phone:p2"))}
    assert found.standings[identifier("name:li")].state is State.EVIDENCE


def test_the_stronger_proof_wins_a_contested_cookie_whatever_came_first() -> None:
    evidence = [
        make_observation("anonymous_id:a", "member_id:M1", strength=3, day=1),
        make_observation("anonymous_id:a", "member_id:M2", strength=2, day=9),
    ]
    for order in (evidence, evidence[::-1]):
        assert who_is_who(*order) == {
            frozenset(identifiers("anonymous_id:a", "member_id:M1")),
            frozenset(identifiers("member_id:M2")),
        }


def test_two_members_with_one_address_keep_their_own_cookies() -> None:
    logins = [make_observation(f"anonymous_id:a{n}", "email:e", f"member_id:M{n}", strength=4, day=1) for n in (1, 2)]
    for order in (logins, logins[::-1]):
        first, second = sorted(who_is_who(*order), key=len, reverse=True)
        assert [sorted(each.value for each in who) for who in (first, second)] == [["M1", "a1", "e"], ["M2", "a2"]]


def test_an_old_proof_is_not_made_newer_by_a_weak_trace() -> None:
    found = resolve(
        [
            make_observation("device_id:d", "member_id:M1", strength=4, day=1),
            make_observation("device_id:d", "member_id:M2", strength=4, day=5),
            make_observation("device_id:d", "member_id:M1", strength=1, day=9),
        ],
        BUILT_IN,
    )
    assert together(found, "device_id:d", "member_id:M2")


def test_of_very_many_identifiers_in_one_event_the_strongest_count() -> None:
    many = [f"click_id:{n:02}" for n in range(30)]
    found = resolve([make_observation("member_id:M1", "phone:p", *many)], BUILT_IN)
    assert together(found, "member_id:M1", "phone:p")
    assert max(len(person) for person in found.persons) == MAX_IDENTIFIERS


observations = st.lists(
    st.builds(
        lambda texts, strength, day: make_observation(*texts, strength=strength, day=day),
        st.sets(st.builds("x:{}".format, st.integers(0, 25)), min_size=1, max_size=3),
        st.integers(1, 5),
        st.integers(0, 3),
    ),
    max_size=30,
)


@given(evidence=observations)
def test_without_limits_persons_are_what_networkx_finds_connected(evidence: list[Observation]) -> None:
    graph = networkx.Graph()
    for each in evidence:
        graph.add_nodes_from(each.identifiers)
        networkx.add_path(graph, each.identifiers)
    found = who_is_who(*evidence, policy=Policy(kinds={"x": Kind()}))
    assert found == {frozenset(component) for component in networkx.connected_components(graph)}
