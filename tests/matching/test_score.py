"""Scores against a table of weights that is worked by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from identity.matching.columns import ColumnType
from identity.matching.compare import level_names
from identity.matching.match import Candidate, candidates
from identity.matching.model import ColumnModel, Frequencies, Model, dump_model, load_model
from identity.matching.score import probability

FLAT = Frequencies({}, unseen=0.01, collision=0.01)


def column(
    name: str,
    kind: ColumnType,
    m: Mapping[str, float],
    u: Mapping[str, float],
    *,
    values: Frequencies = FLAT,
    surnames: Frequencies | None = None,
    related: tuple[float, ...] | None = None,
) -> ColumnModel:
    """Levels that are not named have m = u, and so a weight of zero."""
    names = level_names(kind)[1:]
    m_row, u_row = (1.0, *(m.get(each, 0.1) for each in names)), (1.0, *(u.get(each, 0.1) for each in names))
    return ColumnModel(name, kind, (), (m_row,), (u_row,), related, values, surnames)


def weight(model: Model, left: Mapping[str, str], right: Mapping[str, str]) -> float:
    """The evidence in bits, without the prior."""
    (found,) = candidates(left, [right], model)
    return (
        math.log(found.probability / (1 - found.probability)) - math.log(model.prior / (1 - model.prior))
    ) / math.log(2)


# name   equal  m .8  u .01 -> log2 80      = 6.32      phone  equal  m .6  u .0001 -> 12.55
#        other  m .05 u .95 -> log2 (1/19)  = -4.25            slip   m .1  u .001  ->  6.64
# city   equal  m .9  u .1  -> log2 9       = 3.17             other  m .2  u .99   -> -2.31
#        other  m .1  u .9  -> log2 (1/9)   = -3.17
MODEL = Model(
    columns=(
        column("name", ColumnType.SURNAME, {"equal": 0.8, "other": 0.05}, {"equal": 0.01, "other": 0.95}),
        column("city", ColumnType.CATEGORY, {"equal": 0.9, "other": 0.1}, {"equal": 0.1, "other": 0.9}),
        column(
            "phone",
            ColumnType.PHONE,
            {"equal": 0.6, "slip": 0.1, "other": 0.2},
            {"equal": 0.0001, "slip": 0.001, "other": 0.99},
        ),
    ),
    prior=0.001,
)
ANNA = {"name": "Anna", "city": "York", "phone": "13812345678"}


@pytest.mark.parametrize(
    ("other", "bits"),
    [
        (ANNA, 6.32 + 3.17 + 12.55),
        (ANNA | {"city": "Hull"}, 6.32 - 3.17 + 12.55),
        (ANNA | {"city": ""}, 6.32 + 12.55),
        (ANNA | {"phone": "13812345687"}, 6.32 + 3.17 + 6.64),
        (ANNA | {"phone": "15900001111"}, 6.32 + 3.17 - 2.31),
        ({"name": "Zoltan", "city": "Hull", "phone": "15900001111"}, -4.25 - 3.17 - 2.31),
    ],
)
def test_weights_are_those_of_the_hand_worked_table(other: Mapping[str, str], bits: float) -> None:
    assert weight(MODEL, ANNA, other) == pytest.approx(bits, abs=0.01)


def test_a_phone_with_one_slip_counts_nothing_alone() -> None:
    other = {"name": "Zoltan", "city": "Hull", "phone": "13812345687"}

    assert weight(MODEL, ANNA, other) == pytest.approx(-4.25 - 3.17, abs=0.01)


def test_a_rare_value_tells_more_than_a_common_one() -> None:
    values = Frequencies({"smith": 0.08, "zuckerman": 0.0005}, unseen=0.0001, collision=0.01)
    model = Model((column("name", ColumnType.SURNAME, {"equal": 0.8}, {"equal": 0.01}, values=values),), 0.001)

    # log2 (0.8 / 0.08) and log2 (0.8 / 0.0005), since u of a value is its share.
    assert weight(model, {"name": "Smith"}, {"name": "Smith"}) == pytest.approx(3.32, abs=0.01)
    assert weight(model, {"name": "Zuckerman"}, {"name": "Zuckerman"}) == pytest.approx(10.64, abs=0.01)


def test_a_rare_chinese_surname_tells_more_where_the_rest_of_the_name_differs() -> None:
    surnames = Frequencies({"王": 0.1, "欧阳": 0.001}, unseen=0.0005, collision=0.02)
    table = {"surname": 0.05}, {"surname": 0.02}
    model = Model((column("name", ColumnType.NAME_ZH, *table, surnames=surnames),), 0.001)

    common = weight(model, {"name": "王丽"}, {"name": "王建国"})
    rare = weight(model, {"name": "欧阳丽"}, {"name": "欧阳建国"})

    assert rare - common == pytest.approx(math.log2(0.1 / 0.001), abs=0.01)


def test_what_the_parent_has_told_is_not_told_again() -> None:
    town = column("town", ColumnType.CATEGORY, {"equal": 0.9, "other": 0.1}, {"equal": 0.1, "other": 0.9})
    rows = lambda missing, equal, other: ((1.0, *missing), (1.0, *equal), (1.0, *other))  # noqa: E731
    region = ColumnModel(
        "region",
        ColumnType.CATEGORY,
        (0,),
        rows((0.9, 0.1), (0.99, 0.01), (0.5, 0.5)),
        rows((0.2, 0.8), (0.99, 0.01), (0.1, 0.9)),
        None,
        FLAT,
        None,
    )
    model = Model((town, region), 0.001)

    both = weight(model, {"town": "York", "region": "North"}, {"town": "York", "region": "North"})
    alone = weight(model, {"region": "North"}, {"region": "North"})

    assert both == pytest.approx(math.log2(9), abs=0.01)
    assert alone == pytest.approx(math.log2(4.5), abs=0.01)


def test_what_relatives_share_makes_nobody_one_person() -> None:
    town = {"equal": 0.99, "other": 0.01}, {"equal": 0.0001, "other": 0.9999}
    home = column("town", ColumnType.CATEGORY, *town, related=(1.0, 0.9, 0.1))
    first = column("first", ColumnType.GIVEN_NAME, {"equal": 0.8, "other": 0.2}, {"equal": 0.01, "other": 0.9})
    model = Model((home, first), prior=0.001, related_prior=0.01)

    ((same_home,), (same_both,)) = (
        candidates({"town": "York", "first": "Ann"}, [{"town": "York", "first": first}], model)
        for first in ("Zoltan", "Ann")
    )

    # One in a thousand is one person, one in a hundred a relative: at home .001 * .99 stands against .01 * .9.
    assert same_home.probability == pytest.approx(0.11 * 0.22 / (1 + 0.11 * 0.22), rel=0.02)
    assert same_both.probability == pytest.approx(0.11 * 80 / (1 + 0.11 * 80), rel=0.02)


def test_candidates_come_likeliest_first_and_say_what_contradicts() -> None:
    model = Model(
        (
            *MODEL.columns,
            column("born", ColumnType.DATE, {"equal": 0.9, "other": 0.02}, {"equal": 0.0001, "other": 0.97}),
        ),
        0.001,
    )
    among = [ANNA | {"born": "1990-02-03"}, {"name": "Zoltan"}, ANNA | {"born": "1948-11-30"}]

    found = candidates(ANNA | {"born": "1990-02-03"}, among, model)

    assert [each.place for each in found] == [0, 2, 1]
    assert [each.contradicted for each in found] == [False, True, False]
    assert found[0].probability > 0.999 > found[2].probability


def test_a_score_depends_on_nothing_but_the_two_records_and_the_model() -> None:
    among = [ANNA, {"name": "Anne", "city": "York"}, {"name": "Hannah"}]

    together = {found.place: found.probability for found in candidates(ANNA, among, MODEL)}
    apart = [candidates(ANNA, [other], MODEL)[0].probability for other in among]

    assert [together[place] for place in range(3)] == apart


def test_against_nobody_there_are_no_candidates() -> None:
    none: Sequence[Candidate] = []
    assert candidates(ANNA, [], MODEL) == none


def test_a_model_is_the_same_after_saving_and_loading() -> None:
    loaded = load_model(dump_model(MODEL))

    assert loaded == MODEL
    assert loaded.version == MODEL.version


def test_a_model_that_differs_has_another_version() -> None:
    assert Model(MODEL.columns, 0.002).version != MODEL.version


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 1}', '{"format": 1, "prior": 0.1, "columns": [{}]}', "no"])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        load_model(text)


def test_probabilities_of_extreme_odds_are_no_overflow() -> None:
    assert probability(np.array([-1e6, 0.0, 1e6])).tolist() == [0.0, 0.5, 1.0]
