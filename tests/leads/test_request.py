"""What a caller sends is taken whole or refused with the names of the fields that are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from cdp.errors import Refused, Rejected
from cdp.model import Identifier
from identity.kinds import BUILT_IN
from leads.lead import Enquiry
from leads.request import enquiry_of, read_request

CONSENT = {"purposes": ["sales_call"], "text_version": "v3", "at": "2026-11-22T03:10:39Z"}
PHONE = "138 1234 5678"


def body(**changes: Any) -> dict[str, Any]:
    sent = {"source": "show", "contact": {"phone": PHONE}, "identifiers": [], "consent": CONSENT, **changes}
    return {name: value for name, value in sent.items() if value is not ...}


def read(**changes: Any) -> Enquiry:
    return enquiry_of(read_request(body(**changes)), region="CN", policy=BUILT_IN)


def refused_paths(**changes: Any) -> list[str]:
    with pytest.raises(Refused) as refusal:
        read(**changes)
    assert all(error["expected"] and error["help"] for error in refusal.value.errors)
    return [error["path"] for error in refusal.value.errors]


def test_a_lead_is_normalised() -> None:
    enquiry = read(contact={"name": " 李晓梅 ", "phone": PHONE, "email": "Li@Example.com"})
    assert enquiry.contact == {"name": "李晓梅", "phone": "+8613812345678", "email": "li@example.com"}
    assert enquiry.identifiers == (Identifier("phone", "+8613812345678"), Identifier("email", "li@example.com"))
    assert enquiry.doubtful == ()


@pytest.mark.parametrize("phone", ["12345", "138123456", "138123456789", "不告诉你"])
def test_a_phone_that_cannot_be_is_refused_by_its_path(phone: str) -> None:
    assert refused_paths(contact={"phone": phone}) == ["contact.phone"]


def test_all_wrong_values_are_named_at_once() -> None:
    wrong = {
        "contact": {"phone": "12345", "email": "nobody"},
        "identifiers": [
            {"kind": "phone", "value": PHONE},
            {"kind": "phone", "value": "1"},
            {"kind": "fax", "value": "1"},
        ],
        "consent": CONSENT | {"at": "yesterday"},
    }
    expected = ["consent.at", "contact.email", "contact.phone", "identifiers[1].value", "identifiers[2].kind"]
    assert sorted(refused_paths(**wrong)) == expected


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"telephone": "1"}, "telephone"),
        ({"contact": {"phone": PHONE, "fax": "1"}}, "contact.fax"),
        ({"interest": {"colour": "red"}}, "interest.colour"),
        ({"identifiers": [{"kind": "phone", "value": PHONE, "note": ""}]}, "identifiers[0].note"),
        ({"source": ...}, "source"),
        ({"consent": ...}, "consent"),
        ({"consent": {"purposes": []}}, "consent.text_version"),
        ({"contact": {"phone": 13812345678}}, "contact.phone"),
        ({"source": ""}, "source"),
        ({"campaign": []}, "campaign"),
        ({"campaign": {"x": "y" * 20_001}}, "campaign"),
        ({"consent": CONSENT | {"at": "2026-11-22T03:10:39"}}, "consent.at"),
    ],
)
def test_a_field_of_the_wrong_name_or_shape_is_refused_by_its_path(changes: dict[str, Any], path: str) -> None:
    assert refused_paths(**changes) == [path]


def test_a_lead_by_which_nobody_can_be_reached_is_refused() -> None:
    assert refused_paths(contact={"name": "李晓梅"}) == ["contact"]
    assert read(contact={}, identifiers=[{"kind": "member_id", "value": "m-1"}]).identifiers
    assert read(contact={"wechat": "lixiaomei"}).contact == {"wechat": "lixiaomei"}


def test_what_a_form_left_blank_counts_as_not_given() -> None:
    enquiry = read(contact={"phone": PHONE, "email": "", "name": " "}, external_id="", channel="")
    assert enquiry.contact == {"phone": "+8613812345678"}
    assert (enquiry.external_id, enquiry.channel) == (None, None)


@pytest.mark.parametrize("phone", ["13800138000", "15412345678"])
def test_a_placeholder_and_a_number_of_no_known_plan_are_taken_and_marked(phone: str) -> None:
    enquiry = read(contact={"phone": phone})
    assert enquiry.contact == {"phone": f"+86{phone}"}
    assert enquiry.doubtful == ("contact.phone",)


@pytest.mark.parametrize("text", [b"{", b"\xff", b""])
def test_a_body_that_is_no_json_is_unreadable(text: bytes) -> None:
    with pytest.raises(Rejected) as refusal:
        read_request(text)
    assert refusal.value.status == 400


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(Refused):
        read_request(b"[]")


def test_neither_a_request_nor_an_enquiry_shows_the_phone_in_a_log() -> None:
    assert "1234" not in repr(read_request(body()))
    assert "12345678" not in repr(read())
