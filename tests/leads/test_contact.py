"""A contact is found in an event's properties however the form names its fields, and nothing typed is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.contact import check_contact, consent_of, contact_of, fields_of


@pytest.mark.parametrize(
    ("properties", "contact"),
    [
        ({"phone": "13812345678"}, {"phone": "13812345678"}),
        ({"mobile": 13812345678}, {"phone": "13812345678"}),
        ({"tel": 13812345678.0}, {"phone": "13812345678"}),
        ({"手机号": "138 1234 5678", "姓名": "李晓梅"}, {"phone": "138 1234 5678", "name": "李晓梅"}),
        ({"phoneNumber": "1"}, {"phone": "1"}),
        ({"phone_number": "1", "user_name": "Li"}, {"phone": "1", "name": "Li"}),
        ({"contact": {"phone": "1", "name": "Li"}}, {"phone": "1", "name": "Li"}),
        ({"phone": "", "mobile": "2"}, {"phone": "2"}),
        ({"phone": "1", "contact": {"phone": "2"}}, {"phone": "1"}),
        ({"wxid": "li-x"}, {"wechat": "li-x"}),
        ({"Email": " a@b.cn "}, {"email": "a@b.cn"}),
    ],
)
def test_common_spellings_are_understood(properties: dict[str, Any], contact: dict[str, str]) -> None:
    assert contact_of(properties) == contact


@pytest.mark.parametrize(
    "properties", [{}, {"name": "Li"}, {"phone": None}, {"phone": True}, {"phone": ["1"]}, {"contact": "1"}]
)
def test_properties_by_which_nobody_can_be_reached_hold_no_contact(properties: dict[str, Any]) -> None:
    assert contact_of(properties) == {}


def test_interest_and_channel_are_found_too() -> None:
    found = fields_of({"车系": "L7", "interest": {"city": "上海"}, "channel": "store", "remark": "周末"})
    assert found == {"series": "L7", "city": "上海", "channel": "store", "note": "周末"}


def test_an_invalid_phone_is_kept_as_typed_and_marked() -> None:
    checked = check_contact({"phone": "不方便", "email": "a@b.cn"}, region="CN")
    assert checked.values == {"phone": "不方便", "email": "a@b.cn"}
    assert checked.doubtful == ("contact.phone",)
    assert [each.kind for each in checked.identifiers] == ["email"]


def test_a_number_that_is_too_short_identifies_nobody() -> None:
    checked = check_contact({"phone": "138"}, region="CN")
    assert (checked.identifiers, checked.doubtful) == ((), ("contact.phone",))


def test_a_consent_of_another_shape_is_no_consent() -> None:
    told = {"purposes": ["call"], "text_version": "v1", "at": "2026-11-22T03:10:39Z"}
    assert consent_of({"consent": told}) == told
    for other in (True, "yes", {"purposes": "call"}, told | {"at": 1}):
        assert consent_of({"consent": other}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["phone", "mobile", "email", "wechat", "name", "contact", "interest", "consent"]) | st.text()


@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_no_properties_break_the_search_for_a_contact(properties: dict[str, Any]) -> None:
    contact = contact_of(properties)
    checked = check_contact(contact, region="CN")
    assert set(checked.values) == set(contact)
    assert consent_of(properties) is None or isinstance(properties["consent"], dict)
