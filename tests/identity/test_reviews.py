"""The queue of likely matches: each pair once, decided or open, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.errors import NotFound
from cdp.migrations import migrate
from cdp.model import Identifier
from cdp.records import open_engine
from identity.observation import ObservationId
from identity.reviews import Band, Candidate, Reason, Reviews, ReviewState, review_id

A, B, C = (Identifier("crm_id", value) for value in "abc")


class Clock:
    now = 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reviews(tmp_path: Path, clock: Clock) -> Iterator[Reviews]:
    engine = open_engine(f"sqlite:///{tmp_path}/records.db")
    migrate(engine, "records")
    yield Reviews(engine, clock=clock)
    engine.dispose()


def make_candidate(a: Identifier = A, b: Identifier = B, score: float = 0.9) -> Candidate:
    return Candidate(a, b, score, Band.LOOSE, (Reason("姓名相同", "the same name"),))


def test_an_offered_pair_waits_with_its_reasons(reviews: Reviews) -> None:
    assert reviews.offer([make_candidate(B, A)]) == 1
    [found] = reviews.page(limit=10, state=ReviewState.OPEN)
    assert found == reviews.one(review_id(A, B))
    assert (found.a, found.b, found.score, found.band, found.at) == (A, B, 0.9, Band.LOOSE, 1_000)
    assert found.reasons == (Reason("姓名相同", "the same name"),)
    assert (found.state, found.decision) == (ReviewState.OPEN, None)


def test_a_pair_is_one_whichever_way_round_and_however_often_it_is_offered(reviews: Reviews) -> None:
    assert reviews.offer([make_candidate(), make_candidate(B, A)]) == 1
    assert reviews.offer([make_candidate(B, A, 0.85), make_candidate(A, C)]) == 1
    assert [each.score for each in reviews.page(limit=10)] == [0.9, 0.9]


def test_a_value_is_no_match_of_itself(reviews: Reviews) -> None:
    assert reviews.offer([make_candidate(A, A)]) == 0


def test_a_decided_pair_that_is_offered_again_stays_decided(reviews: Reviews) -> None:
    reviews.offer([make_candidate()])
    reviews.decided(review_id(A, B), ReviewState.DIFFERENT, ObservationId(7))
    assert reviews.offer([make_candidate()]) == 0
    assert reviews.page(limit=10, state=ReviewState.OPEN) == []
    [found] = reviews.page(limit=10, state=ReviewState.DIFFERENT)
    assert found.decision == 7


def test_taking_the_decision_back_opens_the_pair_again(reviews: Reviews) -> None:
    reviews.offer([make_candidate(), make_candidate(A, C)])
    for number, other in enumerate((B, C)):
        reviews.decided(review_id(A, other), ReviewState.SAME, ObservationId(number))
    reviews.reopen(ObservationId(1))
    assert reviews.one(review_id(A, C)).state is ReviewState.OPEN
    assert reviews.one(review_id(A, B)).state is ReviewState.SAME


def test_pages_are_newest_first_and_neither_skip_nor_repeat(reviews: Reviews, clock: Clock) -> None:
    for n in range(7):
        clock.now = 1_000 + n // 3
        reviews.offer([make_candidate(A, Identifier("crm_id", f"other-{n}"))])
    whole = reviews.page(limit=10)
    assert [each.at for each in whole] == sorted((each.at for each in whole), reverse=True)
    found = reviews.page(limit=2)
    while more := reviews.page(limit=2, before=(found[-1].at, found[-1].id)):
        found += more
    assert found == whole


def test_a_pair_that_was_never_offered_is_not_found(reviews: Reviews) -> None:
    with pytest.raises(NotFound):
        reviews.one(review_id(A, B))
