"""Which values never link under the built-in policy, and which of the same look do."""

from __future__ import annotations

import pytest

from identity.kinds import BUILT_IN, Kind, Policy, blocked


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "+8613800138000"),
        ("phone", "+8613888888888"),
        ("phone", "+8611111111111"),
        ("phone", "+8612345678901"),
        ("phone", "+16505550123"),
        ("device_id", "00000000-0000-0000-0000-000000000000"),
        ("device_id", "000000000000000"),
        ("device_id", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        ("device_id", "9774d56d682e549c"),
        ("device_id", "123456789012345"),
        ("device_id", "Unknown"),
        ("anonymous_id", "undefined"),
        ("member_id", "null"),
        ("member_id", "NULL"),
        ("member_id", "0"),
        ("member_id", "-1"),
        ("member_id", "未知"),
        ("member_id", "未取到"),
        ("member_id", "loyalty/未取到值"),
        ("member_id", "[]"),
        ("anonymous_id", "取值异常"),
        ("wx_openid", "wxa1b2/未取到"),
        ("wx_openid", "wxa1b2/undefined"),
        ("wx_openid", "-/0"),
        ("wx_unionid", "null"),
        ("email", "test@test.com"),
        ("email", "null@null.com"),
        ("vin", "11111111111111111"),
        ("id_card", "000000000000000000"),
        ("plate", "京A00000"),
    ],
)
def test_a_placeholder_is_blocked(kind: str, value: str) -> None:
    reason = blocked(kind, value)
    assert reason
    assert value not in reason, "a reason is kept in the clear"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "+8613812345678"),
        ("phone", "+8618888886666"),
        ("phone", "+862162345678"),
        ("device_id", "6f1c2a00-0000-4000-8000-00000000a001"),
        ("anonymous_id", "a-li-77"),
        ("member_id", "10"),
        ("member_id", "M-1001"),
        ("member_id", "nullmann"),
        ("member_id", "111111"),
        ("wx_openid", "wxa1b2/oAbc"),
        ("email", "li@example.com"),
        ("email", "test.pilot@example.com"),
        ("vin", "LSVAU2180C2123456"),
        ("id_card", "11010519491231002X"),
        ("plate", "京A88888"),
        ("loyalty_card", "null"),
    ],
)
def test_a_value_of_a_real_person_is_not(kind: str, value: str) -> None:
    assert blocked(kind, value) is None


def test_a_limit_holds_per_appid_or_for_all_values_that_have_none() -> None:
    assert BUILT_IN.group("wx_openid", "wx1/o1") == ("wx_openid", "wx1")
    assert BUILT_IN.group("wx_unionid", "u1") == ("wx_unionid", "")
    assert BUILT_IN.group("phone", "a/b") == ("phone", "")


def test_a_kind_that_no_policy_names_is_counted_but_never_links() -> None:
    assert not BUILT_IN.links("shoe_size")
    assert not BUILT_IN.counts("shoe_size")


def test_evidence_counts_only_where_a_limit_asks_for_it() -> None:
    assert BUILT_IN.counts("name")
    assert not BUILT_IN.counts("ip")


def test_a_policy_blocks_by_value_and_by_pattern() -> None:
    policy = Policy(kinds={"card": Kind(blocked=("/^X/", r"/(\d)\1/", "7"))})
    assert [value for value in ("X1", "aX", "7", "70", "11") if policy.blocked("card", value)] == ["X1", "7", "11"]
