"""Every pattern that the language takes, the engine runs: one that it refused would fail the query it is part of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.events_clickhouse_client import Client, open_client
from segments.pattern import fault_of
from segments.sql_values import pattern_of

SIGNS = "ab中()|*+?[]^-\\${}.: ,&~\"'_"
WORDS = [
    r"(?:",
    r"(?i)",
    r"(?i:",
    r"{2}",
    r"{1,3}",
    r"{3,}",
    r"[^",
    r"\d",
    r"\w",
    r"\b",
    r"\.",
    r"\-",
    r"\\",
    r"\pL",
    r"\p{Han}",
    r"\x41",
    r"\z",
    r"a-z",
]
PIECES = st.sampled_from([*SIGNS, *WORDS])
LARGE = [
    "a{1000}",
    "((a{10}){10}){10}",
    ".{1000}",
    "[^a]{300}",
    r"\pL{20}",
    r"(?i)\W{999}",
    "(?i)" + r"\pL" * 20,
    "[" + "".join(chr(0x4E00 + 7 * at) for at in range(400)) + "]{9}",
    "." * 500,
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = open_client(f"chdb://{tmp_path_factory.mktemp('engine')}", {})
    yield client
    client.close()


def run(engine: Client, pattern: str) -> None:
    engine.query("SELECT match(materialize('abc 中文'), {pattern:String})", parameters={"pattern": pattern_of(pattern)})


@pytest.mark.parametrize("pattern", LARGE)
def test_the_largest_patterns_that_are_taken_fit_into_the_engine(engine: Client, pattern: str) -> None:
    assert fault_of(pattern) is None
    run(engine, pattern)


@settings(deadline=None, max_examples=400)
@given(st.lists(PIECES, min_size=1, max_size=9).map("".join))
def test_what_is_taken_runs(engine: Client, pattern: str) -> None:
    if fault_of(pattern) is None:
        run(engine, pattern)
