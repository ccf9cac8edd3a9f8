"""The reader of observations: what a line may say, and that no bytes at all break it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import ConfigurationError
from cdp.model import DAY_MS, Identifier
from identity.observation import observation_id
from identity.observation_file import Evidence, read_observations
from tests.identity.makers import identifiers


def make_line(**changes: Any) -> dict[str, Any]:
    """A good line, with changes; a field that is changed to ... is left out."""
    whole = {
        "id": "o1",
        "occurred_at": "2026-11-22T03:10:39.879Z",
        "strength": 4,
        "identifiers": [{"kind": "member_id", "value": "M1"}, {"kind": "phone", "value": "138 1234 5678"}],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def read(*lines: dict[str, Any] | bytes, skip_bad: bool = False) -> Evidence:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return read_observations([text + b"\n" for text in texts], name="FILE", skip_bad=skip_bad, told=lambda read: None)


def reason(line: dict[str, Any] | bytes) -> str:
    """Why this line cannot be read."""
    with pytest.raises(ConfigurationError) as refused:
        read(line)
    return str(refused.value)


def test_a_line_is_an_observation_with_normalised_values() -> None:
    (observation,) = read(make_line()).live
    assert observation.id == observation_id("o1")
    assert observation.identifiers == identifiers("member_id:M1", "phone:+8613812345678")
    assert (observation.strength, observation.different) == (4, False)
    assert observation.occurred_at == 1_795_317_039_879


@pytest.mark.parametrize(
    ("at", "millis"),
    [
        (0, 0),
        (20_000, 20_000 * DAY_MS),
        (-1, -DAY_MS),
        (1.5, DAY_MS + DAY_MS // 2),
        ("1970-01-01T08:00:00+08:00", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_a_time_is_text_with_a_zone_or_a_day_number(at: Any, millis: int) -> None:
    (observation,) = read(make_line(occurred_at=at)).live
    assert observation.occurred_at == millis


def test_numbers_stand_for_their_digits() -> None:
    line = make_line(id=7, identifiers=[{"kind": "phone", "value": 13812345678}])
    assert read(line).observations["7"].identifiers == identifiers("phone:+8613812345678")


def test_a_value_that_cannot_be_of_its_kind_is_unusable_and_one_of_an_unknown_kind_is_taken_as_it_is() -> None:
    values = [("phone", "call me"), ("email", ""), ("loyalty", " L 1 "), ("loyalty", "")]
    evidence = read(make_line(identifiers=[{"kind": kind, "value": value} for kind, value in values]))
    assert evidence.unusable == {
        Identifier("phone", "call me"): "cannot be a value of phone",
        Identifier("email", ""): "cannot be a value of email",
        Identifier("loyalty", ""): "cannot be a value of loyalty",
    }
    (observation,) = evidence.live
    assert Identifier("loyalty", " L 1 ") in observation.identifiers


def test_a_bare_number_is_read_by_the_plan_of_the_region() -> None:
    line = json.dumps(make_line(identifiers=[{"kind": "phone", "value": "030 901820"}])).encode()
    evidence = read_observations([line], name="FILE", region="DE", told=lambda read: None)
    assert evidence.observations["o1"].identifiers == identifiers("phone:+4930901820")


def test_a_verdict_is_an_observation_that_turns_it_round() -> None:
    (observation,) = read(make_line(verdict="different", strength=9)).live
    assert observation.different


def test_a_retraction_takes_an_observation_away_wherever_it_stands() -> None:
    taken, kept, away = make_line(), make_line(id="o2"), {"id": "r1", "retract": "o1"}
    for lines in ([taken, kept, away], [away, kept, taken], [{"retract": "o1"}, taken, kept]):
        evidence = read(*lines)
        assert [each.id for each in evidence.live] == [observation_id("o2")]
        assert set(evidence.observations) == {"o1", "o2"}


def test_a_retraction_of_nothing_and_one_that_says_more_change_nothing() -> None:
    evidence = read(make_line(id="r1", retract="nowhere"), {"id": "r2", "retract": "r1"}, make_line(id="o2"))
    assert set(evidence.observations) == {"o2"}
    assert len(list(evidence.live)) == 1


def test_an_id_that_comes_twice_with_one_content_is_one_observation() -> None:
    other_order = [{"value": "+8613812345678", "kind": "phone"}, {"kind": "member_id", "value": " M1"}]
    evidence = read(make_line(), make_line(occurred_at="2026-11-22T11:10:39.879+08:00", identifiers=other_order))
    assert len(evidence.observations) == 1


def test_an_id_with_two_contents_is_an_error_that_names_both_lines() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(make_line(), make_line(id="o2"), make_line(strength=5))
    assert str(refused.value) == (
        "FILE, line 3 is unreadable: its id is that of line 1, with other content; allowed is one observation as JSON."
    )


def test_all_lines_of_an_id_with_two_contents_are_set_aside() -> None:
    lines = [make_line(), make_line(id="o2"), make_line(strength=5), make_line()]
    evidence = read(*lines, skip_bad=True)
    assert set(evidence.observations) == {"o2"}
    assert evidence.rejected == dict.fromkeys((1, 3, 4), "lines 1, 3, 4 have one id and not one content")


def test_a_retraction_whose_id_is_an_observations_too_is_none() -> None:
    evidence = read(make_line(), {"id": "o1", "retract": "o2"}, make_line(id="o2"), skip_bad=True)
    assert set(evidence.observations) == {"o2"}
    assert not evidence.retracted


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "no JSON (Input data was truncated)"),
        (b"[]", "Expected `object`, got `array`"),
        (b"\xff", "no JSON"),
        (b'{"id": "\xff"}', "no UTF-8"),
        (b'{"id": "\\ud800"}', "no JSON"),
        (b"[" * 200_000, "Expected `object`, got `array`"),
        (b'{"x": ' + b"[" * 200_000, "nested too deeply"),
        (b"\0", "no JSON"),
        (b'{"id": ' + b"9" * 5_000 + b"}", "Integer value out of range"),
        (b'{"id": NaN}', "no JSON"),
        (make_line(id=...), "id is missing"),
        (make_line(id=""), "id is missing"),
        (make_line(id=None), "id is missing"),
        (make_line(id=["o1"]), "Expected `int | str | null`, got `array` - at `$.id`"),
        (make_line(occurred_at=...), "occurred_at is missing"),
        (make_line(occurred_at="2026-11-22"), "occurred_at is no time with a zone"),
        (make_line(occurred_at="yesterday"), "occurred_at is no time with a zone"),
        (make_line(occurred_at=1_795_317_039_879), "occurred_at is no day number"),
        (make_line(occurred_at=-1e300), "occurred_at is no day number"),
        (make_line(occurred_at=True), "got `bool` - at `$.occurred_at`"),
        (make_line(strength=...), "strength is missing"),
        (make_line(strength=0), "strength is 0, not 1 to 9"),
        (make_line(strength=10), "strength is 10, not 1 to 9"),
        (make_line(strength="4"), "got `str` - at `$.strength`"),
        (make_line(identifiers=...), "identifiers is missing"),
        (make_line(identifiers={}), "got `object` - at `$.identifiers`"),
        (make_line(identifiers=["M1"]), "got `str` - at `$.identifiers[0]`"),
        (make_line(identifiers=[{"kind": "phone"}]), "missing required field `value` - at `$.identifiers[0]`"),
        (make_line(identifiers=[{"kind": "", "value": "x"}]), "an identifier has an empty kind"),
        (make_line(identifiers=[{"kind": "phone", "value": 1.5}]), "at `$.identifiers[0].value`"),
        (make_line(verdict="same"), "at `$.verdict`"),
        (make_line(retract=["o1"]), "at `$.retract`"),
    ],
    ids=lambda each: str(each)[:50],
)
def test_a_line_that_cannot_be_read_is_named_with_its_reason(line: dict[str, Any] | bytes, why: str) -> None:
    sentence = reason(line)
    assert sentence.startswith("FILE, line 1 is unreadable: ")
    assert why in sentence


def test_a_reason_repeats_no_personal_value() -> None:
    for field in make_line():
        assert "13912345678" not in reason(make_line(**{field: {"13912345678": "13912345678"}}))


def test_empty_lines_returns_and_a_byte_order_mark_are_passed_over() -> None:
    text = json.dumps(make_line()).encode()
    assert set(read(b"\xef\xbb\xbf" + text + b"\r", b"", b" \t\r", b"\r").observations) == {"o1"}
    assert not read().observations
    with pytest.raises(ConfigurationError, match="line 3 "):
        read(b"", b"\r", b"{")


# No bytes break it

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["id", "occurred_at", "strength", "identifiers", "verdict", "retract", "other"]
MADE = st.builds(
    lambda changes: json.dumps(make_line(**changes)).encode(),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2),
)
SPOILT = st.builds(
    lambda line, at, byte: line[:at] + byte + line[at:], MADE, st.integers(0, 200), st.binary(min_size=1, max_size=2)
)
LINES = st.lists(
    MADE | SPOILT | VALUES.map(lambda each: json.dumps(each).encode()) | st.binary(max_size=40), max_size=6
)


@given(LINES)
def test_any_bytes_are_read_or_set_aside(lines: list[bytes]) -> None:
    evidence = read(*lines, skip_bad=True)
    for name, observation in evidence.observations.items():
        assert name
        assert 1 <= observation.strength <= 9
        (name + "".join(each.kind + each.value for each in observation.identifiers)).encode()
    assert all(0 < number <= len(lines) for number in evidence.rejected)


@given(LINES)
def test_what_is_not_set_aside_is_what_is_read_without_the_bad_lines(lines: list[bytes]) -> None:
    skipped = read(*lines, skip_bad=True)
    good = [b"" if number in skipped.rejected else line for number, line in enumerate(lines, 1)]
    again = read(*good)
    assert (again.observations, again.retracted) == (skipped.observations, skipped.retracted)
    if skipped.rejected:
        with pytest.raises(ConfigurationError):
            read(*lines)
