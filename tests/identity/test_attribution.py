"""Whose an event is: sessions compared with asking, for each moment, which proof is nearest."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cdp.model import Identifier, Millis, PersonId
from identity.attribution import SESSION_MS, Sighting, goes_round, sessions, speaker, stretches, who_had_it
from identity.graph import SetMember
from identity.observation import Node
from identity.ownership import Epoch
from identity.resolve import State
from tests.identity.makers import SMALL, identifier

HALF = SESSION_MS // 2
LI, WANG, ZHAO = (identifier(f"member:{name}") for name in ("li", "wang", "zhao"))

# Moments that lie on, beside and between the edges of half hours, and often on each other.
moments = st.builds(
    lambda halves, beside: 1_000_000_000 + halves * HALF + beside, st.integers(0, 12), st.sampled_from([-1, 0, 0, 1])
)
proofs = st.lists(st.builds(Sighting, moments, st.sampled_from([LI, WANG, ZHAO])), max_size=12)


def nearest(seen: list[Sighting], at: Millis) -> Identifier | None:
    """The oracle: the last proof within half an hour before, else the next within half an hour after."""
    before = [each for each in seen if 0 <= at - each.at <= SESSION_MS]
    after = [each for each in seen if 0 < each.at - at <= SESSION_MS]
    return max(before).anchor if before else min(after).anchor if after else None


@given(proofs, st.lists(moments, min_size=1, max_size=20))
def test_a_moment_is_whose_proof_is_nearest_before_it_else_after_it(seen: list[Sighting], asked: list[Millis]) -> None:
    found = sessions(seen)
    edges = [edge + beside for window, _ in found for edge in window if edge is not None for beside in (-1, 0)]
    for at in [*asked, *edges]:
        assert who_had_it(found, at) == nearest(seen, at)


@given(proofs)
def test_sessions_are_in_order_do_not_overlap_and_none_is_empty(seen: list[Sighting]) -> None:
    windows = [window for window, _ in sessions(seen)]
    assert all(start is not None and end is not None and start < end for start, end in windows)
    assert all(one[1] <= other[0] for one, other in pairwise(windows))  # type: ignore[operator]


@given(proofs, st.randoms())
def test_the_order_in_which_proofs_come_and_repeats_change_no_session(seen: list[Sighting], chance: object) -> None:
    shuffled = [*seen, *seen[:3]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sessions(shuffled) == sessions(seen)


@given(proofs, st.builds(Sighting, moments, st.sampled_from([LI, WANG])), st.lists(moments, max_size=20))
def test_one_more_proof_moves_only_what_lies_within_half_an_hour_of_it(
    seen: list[Sighting], late: Sighting, asked: list[Millis]
) -> None:
    before, after = sessions(seen), sessions([*seen, late])
    for at in asked:
        if who_had_it(before, at) != who_had_it(after, at):
            assert abs(at - late.at) <= SESSION_MS
            assert who_had_it(after, at) == late.anchor, "and nobody but its owner gets anything"


def test_half_an_hour_is_counted_to_the_millisecond() -> None:
    [(window, anchor)] = sessions([Sighting(SESSION_MS, LI)])
    assert (window, anchor) == ((0, 2 * SESSION_MS + 1), LI)
    assert who_had_it([(window, anchor)], 0) == who_had_it([(window, anchor)], 2 * SESSION_MS) == LI
    assert who_had_it([(window, anchor)], -1) is who_had_it([(window, anchor)], 2 * SESSION_MS + 1) is None


def test_who_signs_in_takes_the_device_over_from_that_moment_on() -> None:
    found = sessions([Sighting(SESSION_MS, LI), Sighting(SESSION_MS + 5, WANG)])
    assert [who_had_it(found, SESSION_MS + n) for n in (-1, 0, 4, 5, 6)] == [LI, LI, LI, WANG, WANG]


def member(text: str, state: State = State.LINK, *epochs: Epoch) -> SetMember:
    return SetMember(identifier(text), state, epochs, PersonId(text))


def test_the_strongest_that_links_speaks_and_only_where_none_does_a_shared_one() -> None:
    tablet, phone, name = member("device:t", State.HUB), member("phone:p"), member("name:n", State.EVIDENCE)
    assert speaker([name, tablet, phone], SMALL) == phone
    assert speaker([name, tablet], SMALL) == tablet
    assert speaker([name, member("phone:q", State.BLOCKED)], SMALL) is None


def test_what_changes_hands_and_links_nobody_goes_round() -> None:
    assert goes_round(member("device:t", State.HUB), SMALL)
    assert goes_round(member("phone:p", State.SHARED), SMALL)
    assert not goes_round(member("device:t"), SMALL)
    assert not goes_round(member("openid:a/1", State.HUB), SMALL)


def test_a_value_that_changed_hands_speaks_for_each_owner_in_their_time() -> None:
    phone = member("phone:p", State.LINK, Epoch(5, "member:li"), Epoch(9, "member:wang"))
    assert [(stretch.window, stretch.node.owner) for stretch in stretches([phone], SMALL)] == [
        ((None, 5), ""),
        ((5, 9), "member:li"),
        ((9, None), "member:wang"),
    ]
    assert stretches([member("name:n", State.EVIDENCE)], SMALL) == []
    assert stretches([member("device:t", State.HUB)], SMALL)[0].node == Node(identifier("device:t"))
