"""What the grouping promises whatever the records: order, sources, bands, and what speaks against."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching.blocking import STRONG_CAP, candidate_pairs
from identity.matching.cluster import contract
from identity.matching.columns import Columns, ColumnType, Mode
from identity.matching.match import Confidence, Matched, match
from identity.matching.model import dump_model
from identity.matching.pairs import compare_pairs
from identity.matching.records import Records, build_records
from identity.matching.score import score_pairs
from tests.matching.truth import columns_of, fake_1000, febrl4, historical, typed

PERSON = {"name": "name_zh", "phone": "phone", "born": "date", "card": "id_number", "city": "place"}


def grouped(matched: Matched, records: Records) -> dict[str, tuple[str, Confidence]]:
    ids = records.ids.tolist()
    return {
        ids[row]: (ids[head], band)
        for row, (head, band) in enumerate(zip(matched.clusters.tolist(), matched.confidence, strict=True))
    }


def shuffled(rows: Mapping[str, Sequence[str]], seed: int) -> dict[str, list[str]]:
    order = list(range(len(next(iter(rows.values())))))
    random.Random(seed).shuffle(order)
    return {name: [values[place] for place in order] for name, values in rows.items()}


@pytest.mark.parametrize("known", [fake_1000(), historical(3_000)])
def test_the_order_of_rows_changes_nothing(known: object) -> None:
    assert hasattr(known, "rows")
    results = []
    for rows in (known.rows, shuffled(known.rows, 1), shuffled(known.rows, 2)):
        records = build_records(rows, known.columns)
        matched = match(records)
        assert matched.model is not None
        results.append((grouped(matched, records), dump_model(matched.model)))

    assert results[0] == results[1] == results[2]


def test_linking_joins_all_records_of_a_person_through_the_other_source() -> None:
    known = febrl4()
    # The second source has each record twice; the copies are never compared, and meet in the first source's record.
    twice = {name: list(values) + list(values[9_000:]) for name, values in known.rows.items()}
    twice["rec_id"][10_000:] = [f"{name}-again" for name in twice["rec_id"][10_000:]]
    records = build_records(twice, known.columns, sources=twice["source"])

    matched = match(records)

    cluster = dict(zip(records.ids, matched.clusters.tolist(), strict=True))
    copies = [name for name in cluster if name.endswith("-again")]
    assert sum(cluster[name] == cluster[name.removesuffix("-again")] for name in copies) / len(copies) > 0.99


def test_a_source_is_not_looked_at_where_duplicates_are_sought() -> None:
    known = fake_1000()
    rows = {**known.rows, "system": ["same"] * 1_000}
    columns = Columns("unique_id", known.columns.types, source="system")

    records = build_records(rows, columns, sources=rows["system"])

    assert records.sources is None


# Bands


def people(count: int = 300) -> list[dict[str, str]]:
    """Different persons, one row each, but for what a test adds."""
    draw = random.Random(5)
    given_names, surnames = "伟芳娜秀敏静强磊洋艳勇军杰涛明超霞平刚", "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗"
    return [
        {
            "id": f"p{number:03}",
            "name": draw.choice(surnames) + "".join(draw.sample(given_names, 2)),
            "phone": f"138{draw.randrange(10**8):08}",
            "born": f"{draw.randint(1950, 2000)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
            "card": f"{draw.randrange(10**17):017}X",
            "city": draw.choice(("上海", "北京", "广州", "成都")),
        }
        for number in range(count)
    ]


def bands(extra: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, Confidence]]:
    """The result for some rows among persons of whom a third has a second row with a slip."""
    rows = people()
    rows += [{**row, "id": f"{row['id']}-2", "phone": row["phone"][:-1] + "0"} for row in rows[200:]]
    rows += [dict(each) for each in extra]
    records = build_records(columns_of(rows), Columns("id", typed(PERSON)))
    return grouped(match(records), records)


def test_a_row_of_which_nothing_differs_is_exact() -> None:
    found = bands([{**people()[0], "id": "p000-copy"}])

    assert found["p000-copy"] == found["p000"] == ("p000", Confidence.EXACT)


def test_a_row_alone_is_exact() -> None:
    assert bands([])["p001"] == ("p001", Confidence.EXACT)


def test_a_row_that_differs_by_a_slip_is_strict() -> None:
    found = bands([{**people()[0], "id": "p000-copy", "born": "1901-01-01"[:0] + people()[0]["born"][:-1] + "9"}])

    assert found["p000-copy"] == ("p000", Confidence.STRICT)
    assert found["p000"] == ("p000", Confidence.STRICT)


def test_another_id_number_keeps_a_row_out_of_the_strict_band() -> None:
    found = bands([{**people()[0], "id": "p000-copy", "card": "990101188001019999"}])

    assert found["p000-copy"][1] is not Confidence.STRICT
    assert found["p000-copy"][1] is not Confidence.EXACT or found["p000-copy"][0] == "p000-copy"


def test_another_birth_date_keeps_a_row_out_of_the_strict_band() -> None:
    found = bands([{**people()[0], "id": "p000-copy", "born": "1911-11-30"}])

    assert found["p000-copy"] in {("p000", Confidence.LOOSE), ("p000-copy", Confidence.EXACT)}


def test_a_common_name_and_a_city_make_nobody_one_person() -> None:
    different = [
        {**row, "id": f"{row['id']}-namesake", "name": "王伟", "card": "", "city": "上海"} for row in people(20)
    ]
    for row, other in zip(different, reversed(people()), strict=False):
        row |= {"phone": other["phone"][::-1], "born": other["born"]}
    unknown = [
        {"id": f"n{number}", "name": "王伟", "city": "上海", "phone": "", "born": "", "card": ""} for number in range(2)
    ]

    found = bands([*different, *unknown])

    assert (found["n0"][0], found["n1"][0]) == ("n0", "n1")


# Pieces


def test_a_block_above_its_cap_proposes_no_pair() -> None:
    rows = [{"id": f"{number:04}", "phone": "13800138000"} for number in range(STRONG_CAP + 1)]
    columns = Columns("id", {"phone": ColumnType.PHONE})

    above, _ = candidate_pairs(build_records(columns_of(rows), columns))
    at_cap, _ = candidate_pairs(build_records(columns_of(rows[:-1]), columns))

    assert len(above) == 0
    assert len(at_cap) == STRONG_CAP * (STRONG_CAP - 1) // 2


def test_linking_proposes_pairs_between_sources_only() -> None:
    rows = [{"id": f"{number:04}", "phone": "13811112222", "from": "ab"[number % 2]} for number in range(10)]
    columns = Columns("id", {"phone": ColumnType.PHONE}, source="from", mode=Mode.LINK)
    records = build_records(columns_of(rows), columns, sources=[row["from"] for row in rows])

    left, right = candidate_pairs(records)

    assert len(left) == 25
    assert all((one - other) % 2 for one, other in zip(left.tolist(), right.tolist(), strict=True))


def joined(scores: Mapping[tuple[int, int], float], count: int, least: float = 1.0) -> list[int]:
    pairs = np.array(list(scores), np.int64).reshape(-1, 2)
    return contract(count, pairs[:, 0], pairs[:, 1], np.array(list(scores.values()), np.float64), least=least).tolist()


def test_a_chain_does_not_join_its_ends_against_the_evidence() -> None:
    assert joined({(0, 1): 5.0, (1, 2): 4.0, (0, 2): -8.0}, 3) == [0, 0, 2]


def test_weak_agreements_of_many_members_add_up() -> None:
    assert joined({(0, 1): 5.0, (0, 2): 0.8, (1, 2): 1.1}, 3) == [0, 0, 0]


def test_a_pair_never_compared_counts_a_little_against() -> None:
    assert joined({(0, 1): 5.0, (1, 2): 1.5}, 3) == [0, 0, 2]
    assert joined({(0, 1): 5.0, (1, 2): 3.0}, 3) == [0, 0, 0]


def test_ties_go_to_the_smaller_id() -> None:
    assert joined({(0, 1): 5.0, (1, 2): 5.0, (0, 2): -9.0}, 3) == [0, 0, 2]


@given(st.dictionaries(st.tuples(st.integers(0, 8), st.integers(0, 8)), st.floats(-6, 6), max_size=30))
@settings(max_examples=200, deadline=None)
def test_contraction_joins_only_what_sums_to_enough(drawn: dict[tuple[int, int], float]) -> None:
    """No two clusters are left that a pair above the bar asks to join, and whose pairs sum to more than the bar."""
    scores = {pair: score for pair, score in drawn.items() if pair[0] < pair[1]}
    clusters = joined(scores, 9)
    members = {head: [node for node in range(9) if clusters[node] == head] for head in set(clusters)}

    assert all(head == min(nodes) for head, nodes in members.items())
    for one in members:
        for other in members:
            if one < other:
                between = [tuple(sorted((a, b))) for a in members[one] for b in members[other]]
                compared = [scores[pair] for pair in between if pair in scores]
                asked = any(score > 1.0 for score in compared)
                assert not asked or sum(compared) - (len(between) - len(compared)) <= 1.0 + 1e-9


def test_scores_of_a_frozen_model_do_not_depend_on_the_other_records() -> None:
    known = fake_1000()
    records = build_records(known.rows, known.columns)
    model = match(records).model
    assert model is not None
    few = build_records({name: values[:40] for name, values in known.rows.items()}, known.columns)

    def scored(of: Records) -> list[float]:
        place = {name: number for number, name in enumerate(of.ids.tolist())}
        left, right = (np.array([place[name] for name in ids]) for ids in (["0", "4", "5"], ["1", "5", "9"]))
        return score_pairs(model, of, left, right, compare_pairs(of, left, right)).tolist()

    assert scored(records) == scored(few)


@pytest.mark.parametrize("count", [1, 2])
def test_a_handful_of_rows_is_grouped_too(count: int) -> None:
    records = build_records(columns_of(people(count)), Columns("id", typed(PERSON)))

    assert match(records).clusters.tolist() == list(range(count))
