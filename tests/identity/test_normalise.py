"""One way to write each value; nothing that may be real is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.kinds import BUILT_IN
from identity.normalise import MAX_LENGTH, doubtful, normalise


@pytest.mark.parametrize(
    ("kind", "written", "normal"),
    [
        ("phone", "13812345678", "+8613812345678"),
        ("phone", "+86 138-1234-5678", "+8613812345678"),
        ("phone", "008613812345678", "+8613812345678"),
        ("phone", "８６１３８１２３４５６７８", "+8613812345678"),
        ("phone", "\u202d13812345678\u202c", "+8613812345678"),
        ("phone", "021-62345678", "+862162345678"),
        ("phone", "+1 650 253 0000", "+16502530000"),
        ("phone", "ask my wife", None),
        ("phone", "12", None),
        ("email", " Li.Na@Example.COM ", "li.na@example.com"),
        ("email", "ｌｉ＠example.com", "li@example.com"),
        ("email", "li at example", None),
        ("vin", "lsvau2180c2123456", "LSVAU2180C2123456"),
        ("vin", "LSVAU2180C212345O", None),
        ("vin", "LSVAU2180", None),
        ("id_card", "11010519491231002x", "11010519491231002X"),
        ("id_card", "110105491231002", "11010519491231002X"),
        ("id_card", "1101054912", None),
        ("plate", "京a·d12345", "京AD12345"),
        ("plate", "沪A 12B45", "沪A12B45"),
        ("wx_openid", "wxa1b2/oAbc", "wxa1b2/oAbc"),
        ("wx_openid", "oAbc", "-/oAbc"),
        ("wx_openid", "wxa1b2/", None),
        ("name", "王 伟", "王伟"),
        ("name", " Anna  LI", "anna li"),
        ("member_id", "  M-77 ", "M-77"),
        ("member_id", "   ", None),
        ("member_id", "a\x00b", None),
        ("member_id", "\ud800", None),
        ("member_id", "x" * (MAX_LENGTH + 1), None),
        ("loyalty_card", " 7 ", "7"),
    ],
)
def test_each_value_has_one_way_to_be_written(kind: str, written: str, normal: str | None) -> None:
    assert normalise(kind, written) == normal


def test_a_bare_number_is_read_by_the_plan_of_the_region() -> None:
    assert normalise("phone", "(650) 253-0000", region="US") == "+16502530000"
    assert normalise("phone", "13812345678", region="GB") != "+8613812345678"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "+8612345678901"),
        ("vin", "LSVAU2180C2123457"),
        ("id_card", "110105194912310021"),
        ("plate", "ABC1234"),
    ],
)
def test_a_value_that_looks_wrong_is_kept_and_called_doubtful(kind: str, value: str) -> None:
    assert normalise(kind, value) == value
    assert doubtful(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "+8613812345678"),
        ("vin", "1M8GDM9AXKP042788"),
        ("id_card", "11010519491231002X"),
        ("plate", "京AD12345"),
        ("member_id", "7"),
    ],
)
def test_a_value_that_is_as_it_should_be_is_not_doubtful(kind: str, value: str) -> None:
    assert doubtful(kind, value) is None


@given(kind=st.sampled_from(sorted(BUILT_IN.kinds)), value=st.text(max_size=40))
def test_normalising_twice_changes_nothing(kind: str, value: str) -> None:
    once = normalise(kind, value)
    if once is not None:
        assert normalise(kind, once) == once


@given(digits=st.text("0123456789+- ()xX", max_size=24))
def test_a_phone_number_normalised_is_the_same_for_ever(digits: str) -> None:
    once = normalise("phone", digits)
    if once is not None:
        assert once.startswith("+")
        assert normalise("phone", once) == once
