"""Similar records on sets whose truth is known, beside Splink 5 on the same rows in the same process.

    python -m bench.match

Ours has one default for all sets. Splink has the settings that its documentation gives for each set, and of the
thresholds of its clusters the one that is best by the truth, which nobody has outside of a benchmark. Seconds are the
median of three runs, from raw columns to clusters.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from identity.matching.match import match
from tests.matching.truth import KnownSet, Quality, fake_1000, febrl3, febrl4, historical, quality

RUNS = 3
THRESHOLDS = (0.5, 0.8, 0.95, 0.99)


@dataclass(frozen=True)
class Setting:
    """What the documentation of Splink says to do with a set."""

    blocking: Sequence[Any]
    comparisons: Sequence[Any]
    certain: Sequence[Any]
    recall: float
    training: Sequence[Any]


def _febrl3() -> Setting:
    import splink.comparison_library as cl
    from splink import block_on

    return Setting(
        blocking=[block_on(each) for each in ("soc_sec_id", "given_name", "surname", "date_of_birth", "postcode")],
        comparisons=[
            cl.NameComparison("given_name"),
            cl.NameComparison("surname"),
            cl.DateOfBirthComparison("date_of_birth", input_is_string=True, datetime_format="%Y%m%d"),
            cl.DamerauLevenshteinAtThresholds("soc_sec_id", [2]),
            cl.ExactMatch("street_number").configure(term_frequency_adjustments=True),
            cl.ExactMatch("postcode").configure(term_frequency_adjustments=True),
        ],
        certain=[block_on("soc_sec_id"), block_on("given_name", "surname", "date_of_birth"), SWAPPED_AND_BORN],
        recall=0.9,
        training=[block_on("date_of_birth"), block_on("postcode")],
    )


SWAPPED = "l.given_name = r.surname and l.surname = r.given_name"
SWAPPED_AND_BORN = f"{SWAPPED} and l.date_of_birth = r.date_of_birth"


def _febrl4() -> Setting:
    import splink.comparison_library as cl
    from splink import block_on

    return Setting(
        blocking=[
            block_on("given_name", "surname"),
            SWAPPED,
            block_on("date_of_birth"),
            block_on("soc_sec_id"),
            block_on("state", "address_1"),
            block_on("street_number", "address_1"),
            block_on("postcode"),
        ],
        comparisons=[
            cl.NameComparison("given_name").configure(term_frequency_adjustments=True),
            cl.NameComparison("surname").configure(term_frequency_adjustments=True),
            cl.DateOfBirthComparison(
                "date_of_birth", input_is_string=True, datetime_format="%Y%m%d", invalid_dates_as_null=True
            ),
            cl.DamerauLevenshteinAtThresholds("soc_sec_id", [1, 2]),
            cl.ExactMatch("street_number").configure(term_frequency_adjustments=True),
            cl.DamerauLevenshteinAtThresholds("postcode", [1, 2]).configure(term_frequency_adjustments=True),
        ],
        certain=[block_on("soc_sec_id"), block_on("given_name", "surname", "date_of_birth")],
        recall=0.8,
        training=[block_on("date_of_birth"), block_on("postcode")],
    )


def _fake_1000() -> Setting:
    import splink.comparison_library as cl
    from splink import block_on

    return Setting(
        blocking=[block_on(each) for each in ("first_name", "surname", "dob", "email")],
        comparisons=[
            cl.ForenameSurnameComparison("first_name", "surname"),
            cl.DateOfBirthComparison("dob", input_is_string=True),
            cl.ExactMatch("city").configure(term_frequency_adjustments=True),
            cl.EmailComparison("email"),
        ],
        certain=[
            "l.first_name = r.first_name and levenshtein(r.dob, l.dob) <= 1",
            "l.surname = r.surname and levenshtein(r.dob, l.dob) <= 1",
            "l.first_name = r.first_name and levenshtein(r.surname, l.surname) <= 2",
            "l.email = r.email",
        ],
        recall=0.7,
        training=[block_on("dob"), block_on("email"), block_on("first_name", "surname")],
    )


def _historical() -> Setting:
    """As for historical_50k, which the synthetic rows imitate."""
    import splink.comparison_library as cl
    from splink import block_on

    return Setting(
        blocking=[
            block_on("substr(first_name,1,3)", "substr(surname,1,4)"),
            block_on("surname", "dob"),
            block_on("first_name", "dob"),
            block_on("postcode_fake", "first_name"),
            block_on("postcode_fake", "surname"),
            block_on("dob", "birth_place"),
            block_on("substr(postcode_fake,1,3)", "dob"),
            block_on("substr(postcode_fake,1,3)", "first_name"),
            block_on("substr(postcode_fake,1,3)", "surname"),
            block_on("substr(first_name,1,2)", "substr(surname,1,2)", "substr(dob,1,4)"),
        ],
        comparisons=[
            cl.ForenameSurnameComparison("first_name", "surname", forename_surname_concat_col_name="both_names"),
            cl.DateOfBirthComparison("dob", input_is_string=True),
            cl.PostcodeComparison("postcode_fake"),
            cl.ExactMatch("birth_place").configure(term_frequency_adjustments=True),
            cl.ExactMatch("occupation").configure(term_frequency_adjustments=True),
        ],
        certain=[
            block_on("first_name", "surname", "dob"),
            block_on("substr(first_name,1,2)", "surname", "substr(postcode_fake,1,2)"),
            block_on("dob", "postcode_fake"),
        ],
        recall=0.6,
        training=[block_on("first_name", "surname"), block_on("dob")],
    )


def by_splink(known: KnownSet, setting: Setting) -> dict[float, Quality]:
    import pandas as pd
    from splink import DuckDBAPI, Linker, SettingsCreator

    key = known.columns.id
    frame = pd.DataFrame({name: list(values) for name, values in known.rows.items()}).replace("", None)
    if "first_name" in frame:
        frame["both_names"] = frame["first_name"] + " " + frame["surname"]
    frames = [part for _, part in frame.groupby("source")] if "source" in frame else [frame]
    database = DuckDBAPI()
    settings = SettingsCreator(
        unique_id_column_name=key,
        link_type="link_only" if len(frames) > 1 else "dedupe_only",
        blocking_rules_to_generate_predictions=list(setting.blocking),
        comparisons=list(setting.comparisons),
    )
    tables = [database.register(part.drop(columns="source", errors="ignore")) for part in frames]
    linker = Linker(tables if len(tables) > 1 else tables[0], settings)
    linker.training.estimate_probability_two_random_records_match(list(setting.certain), recall=setting.recall)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=2)
    for rule in setting.training:
        linker.training.estimate_parameters_using_expectation_maximisation(rule, estimate_without_term_frequencies=True)
    pairs = linker.inference.predict(threshold_match_probability=0.2)
    person = dict(zip(known.rows[key], known.truth, strict=True))
    found = {}
    for threshold in THRESHOLDS:
        clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(pairs, threshold).as_pandas_dataframe()
        found[threshold] = quality([person[each] for each in clusters[key]], clusters["cluster_id"].tolist())
    return found


def by_us(known: KnownSet) -> Quality:
    records = known.records()
    person = dict(zip(known.rows[known.columns.id], known.truth, strict=True))
    return quality([person[each] for each in records.ids.tolist()], match(records).clusters.tolist())


def timed(work: Callable[[], Any], runs: int = RUNS) -> tuple[Any, float]:
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - began)
    return found, statistics.median(seconds)


def row(name: str, found: Quality, seconds: float) -> str:
    return (
        f"{name:34} F1 {found.f1:.5f}  precision {found.precision:.5f}  recall {found.recall:.5f}"
        f"  B³ {found.b_cubed:.5f}  {seconds:6.2f} s"
    )


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    sets = [
        (febrl4(), _febrl4()),
        (febrl3(), _febrl3()),
        (fake_1000(), _fake_1000()),
        (historical(50_000), _historical()),
    ]
    for known, setting in sets:
        ours, seconds = timed(lambda known=known: by_us(known))  # type: ignore[misc]
        print(row(known.name, ours, seconds), flush=True)
        theirs, seconds = timed(lambda known=known, setting=setting: by_splink(known, setting), 1)  # type: ignore[misc]
        threshold = max(theirs, key=lambda each: theirs[each].f1)
        print(row(f"  Splink at its best, p ≥ {threshold}", theirs[threshold], seconds), flush=True)


if __name__ == "__main__":
    sys.exit(main())
