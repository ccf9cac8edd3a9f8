"""The policy as a file: whatever is wrong is one sentence, and what is written reads back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import ConfigurationError
from identity.kinds import BUILT_IN, Kind, Policy
from identity.policy_file import MOST, as_table, dump_policy, load_policy, policy_of

SMALL = """
max_cluster = 7
owner_strength = 5

[kinds.member]
priority = 100
max_per_person = 1
exclusive = true

[kinds.openid]
priority = 70
max_per_person = 1
exclusive = true
limit_per = "/"

[kinds.phone]
priority = 80
changes_hands = true
gap_days = 60
fan_out = { member = 3, name = 4 }
blocked = ["+8613800138000", '/^\\+1\\d{3}555/']
"""


def content(policy: Policy) -> tuple[Mapping[str, Kind], int, int]:
    return policy.kinds, policy.max_cluster, policy.owner_strength


def test_each_field_of_a_file_is_the_policys() -> None:
    assert content(load_policy(SMALL)) == (
        {
            "member": Kind(priority=100, max_per_person=1, exclusive=True),
            "openid": Kind(priority=70, max_per_person=1, exclusive=True, limit_per="/"),
            "phone": Kind(
                priority=80,
                changes_hands=True,
                gap_days=60,
                fan_out={"member": 3, "name": 4},
                blocked=("+8613800138000", r"/^\+1\d{3}555/"),
            ),
        },
        7,
        5,
    )


def test_a_file_is_the_whole_policy_and_kinds_it_leaves_out_link_nobody() -> None:
    policy = load_policy("[kinds.card]")
    assert policy.kind("card") == Kind()
    assert not policy.links("phone")
    assert (policy.max_cluster, policy.owner_strength) == (400, 4)


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    for start in (b"", b"\xef\xbb\xbf"):
        file.write_bytes(start + SMALL.encode())
        assert content(load_policy(file)) == content(load_policy(SMALL))


def test_the_built_in_policy_can_be_printed_and_given_back() -> None:
    assert content(load_policy(dump_policy(BUILT_IN))) == content(BUILT_IN)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "policy: kinds is missing; allowed is at least one table [kinds.NAME]."),
        ("kinds = 3", "policy: kinds is 3; allowed is at least one table [kinds.NAME]."),
        ("[kinds]\nphone = 1", "policy: kinds.phone is 1; allowed is a table with the rules of the kind."),
        (
            "max_clusters = 7\n[kinds.a]",
            "policy: max_clusters is set; allowed is max_cluster, owner_strength, kinds.",
        ),
        (
            "max_cluster = 0\n[kinds.a]",
            "policy: max_cluster is 0; allowed is a whole number from 1 to 1,000,000,000.",
        ),
        ("owner_strength = 10\n[kinds.a]", "policy: owner_strength is 10; allowed is a whole number from 1 to 9."),
        (
            "[kinds.a]\npriority = -1",
            "policy: kinds.a.priority is -1; allowed is a whole number from 0 to 1,000,000,000.",
        ),
        (
            "[kinds.a]\npriority = true",
            "policy: kinds.a.priority is true; allowed is a whole number from 0 to 1,000,000,000.",
        ),
        (
            "[kinds.a]\ngap_days = 1.5",
            "policy: kinds.a.gap_days is 1.5; allowed is a whole number from 0 to 1,000,000,000.",
        ),
        (
            '[kinds.a]\nmax_per_person = "3"',
            'policy: kinds.a.max_per_person is "3"; allowed is a whole number from 1 to 1,000,000,000.',
        ),
        ("[kinds.a]\nexclusive = 1", "policy: kinds.a.exclusive is 1; allowed is true or false."),
        ("[kinds.a]\nchanges_hands = []", "policy: kinds.a.changes_hands is []; allowed is true or false."),
        ("[kinds.a]\nlimit_per = 1979-05-27", 'policy: kinds.a.limit_per is "1979-05-27"; allowed is a text.'),
        ("[kinds.a]\nfan_out = 3", "policy: kinds.a.fan_out is 3; allowed is a table such as { member_id = 3 }."),
        (
            "[kinds.a]\nfan_out = { a = -3 }",
            "policy: kinds.a.fan_out.a is -3; allowed is a whole number from 0 to 1,000,000,000.",
        ),
        ("[kinds.a]\nblocked = '0'", 'policy: kinds.a.blocked is "0"; allowed is a list of values or /patterns/.'),
        ("[kinds.a]\nblocked = ['0', 0]", "policy: kinds.a.blocked[1] is 0; allowed is a text."),
        (
            "[kinds.a]\nblocked = ['/(/']",
            (
                'policy: kinds.a.blocked[0] is "/(/" (missing ), unterminated subpattern at position 0); allowed is '
                "a value, or a regular expression between slashes."
            ),
        ),
        (
            '[kinds."a b"]\nprio = 1',
            (
                'policy: kinds."a b": prio is set; allowed is priority, max_per_person, exclusive, changes_hands, '
                "gap_days, fan_out, evidence_only, blocked, limit_per."
            ),
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_key_what_came_and_what_is_allowed(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_policy(text)
    assert str(refused.value) == sentence


def test_a_kind_that_nobody_knows_cannot_be_counted() -> None:
    with pytest.raises(ConfigurationError, match=r"fan_out\.memebr is of a kind that nobody knows; allowed is .*phone"):
        load_policy("[kinds.phone]\nfan_out = { memebr = 3 }")


@pytest.mark.parametrize(
    "text",
    [
        "[kinds",
        "a = " + "[" * 100_000,
        "a = " + "9" * 5_000,
        "[kinds.a]\npriority = 0x" + "f" * 5_000,
        "\0",
        "[kinds.a]\r",
    ],
    ids=["cut off", "nested", "many digits", "many more digits", "NUL", "a lone return"],
)
def test_what_is_no_policy_at_all_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_policy(text)
    assert len(str(refused.value)) < 300


def test_a_pattern_that_the_next_python_may_read_otherwise_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nested set"):
        load_policy("[kinds.a]\nblocked = ['/[[a]/']")


def test_a_file_that_is_not_there_or_no_text_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not readable"):
        load_policy(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigurationError, match="not readable"):
        load_policy(tmp_path)
    file = tmp_path / "policy.toml"
    file.write_bytes(b"# \xd2\xd2")
    with pytest.raises(ConfigurationError, match=r"^policy\.toml is no TOML"):
        load_policy(file)


# Properties

NAMES = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["phone", "member_id", "a.b", ""])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda text: text.count("/") < 2)
NUMBERS = st.integers(0, MOST)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    kind = st.builds(
        Kind,
        priority=NUMBERS,
        max_per_person=st.none() | st.integers(1, MOST),
        exclusive=st.booleans(),
        changes_hands=st.booleans(),
        gap_days=NUMBERS,
        fan_out=st.dictionaries(st.sampled_from(names), NUMBERS),
        evidence_only=st.booleans(),
        blocked=st.lists(TEXTS | st.sampled_from([r"/^\d+$/", "/'/", "/无/"]), max_size=3).map(tuple),
        limit_per=st.sampled_from(["", "/", "'", "\\", "::"]),
    )
    kinds = {name: draw(kind) for name in names}
    return Policy(kinds, max_cluster=draw(st.integers(1, MOST)), owner_strength=draw(st.integers(1, 9)))


@given(policies())
def test_any_policy_reads_back_as_it_was_written(policy: Policy) -> None:
    for again in (load_policy(dump_policy(policy)), policy_of(as_table(policy))):
        assert content(again) == content(policy)
        assert again.name == policy.name


@given(st.text(max_size=60) | st.text("[]{}=\"'\\#.,\nkindsblocked019/- ", max_size=80))
def test_no_text_is_met_with_anything_but_a_policy_or_a_sentence(text: str) -> None:
    with suppress(ConfigurationError):
        load_policy(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KIND = st.dictionaries(st.sampled_from([*Kind.__slots__, "other"]), JSON, max_size=3)


@given(st.fixed_dictionaries({"kinds": st.dictionaries(st.sampled_from("ab"), KIND | JSON, max_size=2) | JSON}))
def test_no_table_is_met_with_anything_but_a_policy_or_a_sentence(table: dict[str, Any]) -> None:
    with suppress(ConfigurationError):
        policy_of(table)
