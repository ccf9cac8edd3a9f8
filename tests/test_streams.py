"""The made-up stream is always the same and holds the whole zoo; the score is what a count of pairs gives."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.model import Identifier
from cdp.moments import parse_rfc3339
from identity.kinds import BUILT_IN
from identity.observation import Observation, ObservationId
from identity.resolve import resolve
from tests import streams
from tests.buyers import DAYS, START, Creature, Number, Stream, World
from tests.identity.makers import make_observation
from tests.score import Persons, Score, attributed, ceiling, connected, score
from tests.streams import car_buyers

AT_LEAST = {
    Creature.SHOWROOM_TABLET: 900,
    Creature.STAFF_PHONE: 300,
    Creature.PLACEHOLDER: 200,
    Creature.NO_AD_ID: 300,
    Creature.SLIP: 100,
    Creature.FAMILY_DEVICE: 700,
    Creature.SECOND_ACCOUNT: 300,
    Creature.RECYCLED_NUMBER: 150,
    Creature.SOLD_HANDSET: 400,
    Creature.REKEYED_ROW: 600,
    Creature.ATTACKED_PHONE: 100,
}
"""Observations among those of 5,000 people."""

OF_TWO_PEOPLE = set(Creature) - {Creature.REKEYED_ROW, Creature.SECOND_ACCOUNT}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return car_buyers(5_000, seed=1, zoo=2)


def test_a_seed_gives_one_stream_and_another_seed_another() -> None:
    assert car_buyers(200, seed=7) == car_buyers(200, seed=7)
    assert car_buyers(200, seed=7) != car_buyers(200, seed=8)


def test_it_is_about_sixty_thousand_observations_of_five_thousand_people_in_two_years(stream: Stream) -> None:
    assert 50_000 < len(stream.observations) < 70_000
    assert set(stream.truth.values()) == set(range(5_000))
    assert len(stream.truth) == len(stream.observations), "ids are unique"
    times = [each.occurred_at for each in stream.observations]
    assert times == sorted(times)
    assert times[0] >= START
    assert times[-1] < START + DAYS * 86_400_000


def test_a_few_people_make_much_of_the_stream(stream: Stream) -> None:
    counts = sorted(_groups(stream.truth).values(), key=len, reverse=True)
    assert 0.2 < sum(map(len, counts[:250])) / len(stream.observations) < 0.5


@pytest.mark.parametrize("creature", Creature)
def test_the_zoo_is_complete(stream: Stream, creature: Creature) -> None:
    found = stream.of(creature)
    assert len(found) >= AT_LEAST[creature]
    people: dict[object, set[int]] = {}
    for each in found:
        for value in each.identifiers:
            if stream.creatures.get(value) is creature:
                people.setdefault(value, set()).add(stream.truth[each.id])
    shared = sum(len(some) > 1 for some in people.values())
    assert shared or creature not in OF_TWO_PEOPLE


def test_an_attacker_claims_no_more_than_a_public_key_may(stream: Stream) -> None:
    claims = [each for each in stream.observations if [v.kind for v in each.identifiers] == ["member_id", "phone"]]
    assert len(claims) > 60
    assert {each.strength for each in claims} == {4}
    per_attacker = Counter(each.identifiers[0] for each in claims)
    assert max(per_attacker.values()) > 60, "one goes through a list"
    assert min(per_attacker.values()) < 3, "others want somebody's"


def test_a_number_is_frozen_for_sixty_days_before_it_is_another_persons() -> None:
    world = World(1_000, seed=1, zoo=2)
    streams.recycled_numbers(world)
    spans: dict[object, list[Number]] = {}
    for person in world.people:
        for number in person.numbers:
            spans.setdefault(number.phone, []).append(number)
    sold = [sorted(each, key=lambda number: number.since) for each in spans.values() if len(each) > 1]
    assert len(sold) > 20
    assert all(later.since - earlier.until >= 60 for earlier, later in sold)


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 3)), max_size=12))
def test_the_score_is_what_counting_pairs_gives(people: list[tuple[int, int | None]]) -> None:
    truth = {ObservationId(n): person for n, (person, _) in enumerate(people)}
    found = {ObservationId(n): person for n, (_, person) in enumerate(people)}
    pairs = list(combinations(truth, 2))
    true = {pair for pair in pairs if truth[pair[0]] == truth[pair[1]]}
    claimed = {pair for pair in pairs if found[pair[0]] is not None and found[pair[0]] == found[pair[1]]}
    right = len(true & claimed)
    assert score(found, truth) == Score(
        right / len(claimed) if claimed else 1.0,
        right / len(true) if true else 1.0,
        2 * right / (len(claimed) + len(true)) if claimed or true else 1.0,
    )


def test_the_oracle_joins_one_persons_observations_by_chains_of_usable_values() -> None:
    first = make_observation("anonymous_id:c", "phone:+8613912345678")
    second = make_observation("phone:+8613912345678", "member_id:m")
    third = make_observation("member_id:m")
    other = make_observation("member_id:m", day=1)
    blocked = [make_observation("phone:+8613800138000", "name:li", day=day) for day in (1, 2)]
    everything = [first, second, third, other, *blocked]
    truth = {each.id: "somebody else" if each is other else "li" for each in everything}
    best = ceiling(everything, truth, BUILT_IN)
    assert best[first.id] == best[second.id] == best[third.id] != best[other.id]
    assert [best[each.id] for each in blocked] == [None, None]


def test_the_oracle_never_joins_two_people_and_nobody_is_better(stream: Stream) -> None:
    def f1(persons: Persons) -> float:
        return score(persons, stream.truth).f1

    best = ceiling(stream.observations, stream.truth, BUILT_IN)
    assert score(best, stream.truth).precision == 1
    resolved = attributed(stream.observations, resolve(stream.observations, BUILT_IN), BUILT_IN)
    assert f1(best) > f1(resolved) > f1(connected(stream.observations, BUILT_IN))
    assert f1(best) > f1(dict.fromkeys(stream.truth, "one for all"))
    assert f1(best) > f1({key: key for key in stream.truth})


def test_it_is_written_as_identity_resolve_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, truth = tmp_path / "out.jsonl", tmp_path / "truth.csv"
    monkeypatch.setattr(sys, "argv", ["streams", str(out), "--truth", str(truth), "--people", "50", "--seed", "3"])
    streams.main()
    stream = car_buyers(50, seed=3)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [_observation(line) for line in lines] == list(stream.observations)
    with truth.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["observation", "person"]
    assert {ObservationId(int(key)): int(person) for key, person in rows[1:]} == stream.truth


def _observation(line: dict[str, Any]) -> Observation:
    assert line.keys() == {"id", "occurred_at", "strength", "identifiers"}
    identifiers = tuple(Identifier(**each) for each in line["identifiers"])
    return Observation(
        ObservationId(int(line["id"])), identifiers, line["strength"], parse_rfc3339(line["occurred_at"])
    )


def _groups(truth: Persons) -> dict[object, list[ObservationId]]:
    groups: dict[object, list[ObservationId]] = {}
    for key, person in truth.items():
        groups.setdefault(person, []).append(key)
    return groups
