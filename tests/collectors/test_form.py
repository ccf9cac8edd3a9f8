"""Forms: what is read of each spelling, what is answered, and what is no lead."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from cdp.errors import MalformedHit, Refused, TooLarge
from cdp.model import Dropped, DropReason, Event, Hit, Source, SourceKind, Trust
from collectors.dialect import Answer, Request, Unreadable
from collectors.form import Form
from collectors.form_page import safe_redirect
from leads.contact import consent_of, contact_of, fields_of
from leads.lead import INTEREST_FIELDS

NOW = 1_795_320_000_000
PAGE = "https://www.example.com/x9?utm_source=auto-shanghai&utm_medium=qr&utm_content=stand-a"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "referer": PAGE, "origin": "https://www.example.com"}
SOURCE = Source(id="show", kind=SourceKind.FORM, keys=("form-key",))
FORM = Form()
DOCUMENTED = Path(__file__).parents[2] / "docs" / "forms.md"


def post(body: Any, **headers: str) -> Request:
    """A dict is sent as a browser sends a form, bytes as they are, JSON by `sent_as_json`."""
    raw = body if isinstance(body, bytes) else urlencode(body, doseq=True).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "/f/form-key", "/f/form-key", "", named, raw, "203.0.113.7")


def answered(request: Request, *, source: Source = SOURCE, now: int = NOW) -> Answer:
    assert FORM.handles(request.method, request.path)
    envelope = FORM.read(request)
    return FORM.accepted(request, FORM.checked(request, envelope, source, now))


def translated(request: Request, *, source: Source = SOURCE, now: int = NOW) -> Event | Dropped:
    kept = {name: value for name, value in request.headers.items() if name in ("referer", "user-agent")}
    hit = Hit(
        received_at=now, source=source.id, dialect="form", method="POST", target=request.target, headers=kept,
        client_ip=request.client_ip, body=request.body,
    )  # fmt: skip
    (found,) = FORM.translate(hit, "0-7", {"form-key": source}.get)
    return found


def event(request: Request, **more: Any) -> Event:
    found = translated(request, **more)
    assert isinstance(found, Event)
    return found


def lead_of(request: Request, **more: Any) -> str:
    return str(json.loads(answered(request, **more).body)["lead"])


TYPED = {"姓名": "李女士", "mobile": "138 1234 5678", "意向车系": "X9", "budget": "20万", "remark": "周末\n下午"}


def multipart(fields: dict[str, str]) -> bytes:
    parts = "".join(
        f'--b0\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    )
    picture = '--b0\r\nContent-Disposition: form-data; name="car"; filename="car.png"\r\n\r\n\x01\x02\r\n'
    return f"{parts}{picture}--b0--\r\n".encode()


@pytest.mark.parametrize(
    "body",
    [
        urlencode(TYPED).encode(),
        urlencode(TYPED, encoding="gb18030").encode(),
        multipart(TYPED),
        json.dumps(TYPED).encode(),
        json.dumps({"contact": {"name": "李女士", "phone": "138 1234 5678"}, "interest": {"series": "X9"},
                    "properties": {"budget": "20万", "remark": "周末\n下午"}}).encode(),
    ],
    ids=["url", "gbk", "multipart", "json", "ours"],
)  # fmt: skip
def test_each_way_to_send_a_form_says_the_same(body: bytes) -> None:
    found = event(post(body, referer=PAGE))
    properties = msgspec.json.decode(found.properties)
    assert contact_of(properties) == {"name": "李女士", "phone": "138 1234 5678"}
    assert {name: fields_of(properties)[name] for name in ("series", "note")} == {"series": "X9", "note": "周末\n下午"}
    assert properties["budget"] == "20万"
    assert (found.name, found.page.url, found.page.path, found.platform) == ("lead_submitted", PAGE, "/x9", "web")
    assert (found.campaign.source, found.campaign.medium, found.campaign.content) == ("auto-shanghai", "qr", "stand-a")


def test_the_example_of_the_documentation_is_read_whole() -> None:
    example = re.findall(r"```json\n(.+?)```", DOCUMENTED.read_text(encoding="utf-8"), re.DOTALL)[0]
    found = event(post(example.encode()))
    properties = msgspec.json.decode(found.properties)
    assert contact_of(properties) == json.loads(example)["contact"]
    assert consent_of(properties) == json.loads(example)["consent"]
    assert {name: fields_of(properties)[name] for name in INTEREST_FIELDS} == json.loads(example)["interest"]
    # Everything else has its place in the event; what is left is what the page added.
    assert properties.keys() == {"contact", "consent", "interest", "channel", "budget"}
    assert msgspec.to_builtins(found.campaign) == {
        field: value for field, value in json.loads(example)["campaign"].items() if value
    }


def test_a_tracker_says_who_is_there_and_when() -> None:
    told = {
        "messageId": "m1", "anonymousId": "v-1", "userId": "YQ1", "contact": {"wechat": "li_2026"},
        "identifiers": [{"kind": "wx_openid", "value": "wxa/o1"}, {"kind": "shoe_size", "value": "38"}],
        "campaign": {"source": "show", "clickIds": {"gclid": "g1"}}, "channel": "motor_show",
        "context": {"page": {"url": PAGE, "title": "X9"}, "sessionId": 17, "locale": "zh-CN"},
        "timestamp": "2026-11-22T03:10:38.120Z", "sentAt": "2026-11-22T03:10:38.500Z",
    }  # fmt: skip
    found = event(post(json.dumps(told).encode(), user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"))
    assert [f"{each.kind}:{each.value}" for each in found.identifiers] == [
        "member_id:YQ1", "wx_openid:wxa/o1", "anonymous_id:v-1",
    ]  # fmt: skip
    assert found.client_id == "m1"
    # The sender's clock is wrong by a day and a half; what it says of itself is 380 ms before it sent.
    assert found.occurred_at == NOW - 380
    assert (found.session, found.page.title, found.locale, found.device.os) == ("17", "X9", "zh-CN", "iOS")
    assert (found.campaign.source, found.campaign.medium, found.campaign.click_ids) == ("show", "qr", {"gclid": "g1"})
    properties = msgspec.json.decode(found.properties)
    assert properties["channel"] == "motor_show"
    assert properties["unknown_identifiers"] == [{"kind": "shoe_size", "value": "38"}]


def test_the_fields_of_a_plain_form_say_the_same_as_json() -> None:
    told = {
        "phone": "13812345678", "xunji_id": "m1", "xunji_anonymous_id": "v-1", "xunji_page": PAGE, "xunji_title": "X9",
        "xunji_identifiers": '[{"kind":"device_id","value":"d1"}]', "xunji_campaign": "autumn", "utm_term": "suv",
    }  # fmt: skip
    found = event(post(told, referer="https://www.example.com/"))
    assert [f"{each.kind}:{each.value}" for each in found.identifiers] == ["device_id:d1", "anonymous_id:v-1"]
    assert (found.client_id, found.page.url, found.page.title) == ("m1", PAGE, "X9")
    assert (found.campaign.name, found.campaign.term, found.campaign.medium) == ("autumn", "suv", "qr")


def test_a_form_in_a_mini_program_says_whose_program_it_is() -> None:
    found = event(post({"phone": "13812345678"}, referer="https://servicewechat.com/wxa1b2/12/page-frame.html"))
    # What WeChat calls the page is no page of anybody's.
    assert (found.platform, found.app.id, found.page.url) == ("mini_program", "wxa1b2", "")


def test_the_second_phone_of_a_form_is_kept_and_is_not_the_contact() -> None:
    found = event(post({"phone": "13812345678", "电话": "13900001111", "contact[name]": "李"}))
    properties = msgspec.json.decode(found.properties)
    assert contact_of(properties) == {"phone": "13812345678", "name": "李"}
    assert properties["also"] == {"电话": "13900001111"}


def test_who_leaves_a_wechat_number_alone_is_somebody_by_the_lead() -> None:
    request = post({"微信": "li_2026"})
    assert [f"{each.kind}:{each.value}" for each in event(request).identifiers] == [f"lead_id:{lead_of(request)}"]
    assert event(post({"wechat": "li_2026", "phone": "13812345678"})).identifiers == ()


@pytest.mark.parametrize(
    ("fields", "purposes"),
    [
        ({"consent": "on"}, ["sales_contact"]),
        ({"agree": "同意"}, ["sales_contact"]),
        ({"consent": ["sales_contact", "marketing"]}, ["sales_contact", "marketing"]),
        ({"consent": "false"}, None),
        ({}, None),
    ],
)
def test_a_checkbox_is_a_consent_and_its_absence_is_none(fields: dict[str, Any], purposes: list[str] | None) -> None:
    request = post({"phone": "13812345678", "xunji_consent_version": "2026-01", **fields})
    told = consent_of(msgspec.json.decode(event(request).properties))
    expected = purposes and {"purposes": purposes, "text_version": "2026-01", "at": "2026-11-22T04:00:00.000Z"}
    assert told == expected


# One lead, or two


def test_a_double_click_is_one_lead_and_the_same_wish_next_week_another() -> None:
    first = post({"phone": "13812345678", "series": "X9"}, referer=PAGE)
    again = lead_of(first, now=NOW + 400)
    assert lead_of(first) == again == lead_of(first, now=NOW + 3_600_000)
    assert lead_of(first, now=NOW + 7 * 86_400_000) != again
    assert lead_of(post({"phone": "13812345678", "series": "X7"}, referer=PAGE)) != again


def test_one_showing_of_the_form_is_one_lead_however_late_it_comes_again() -> None:
    sent = {"phone": "13812345678", "xunji_at": str(NOW - 60_000)}
    assert lead_of(post(sent)) == lead_of(post({**sent, "xunji_sent_at": str(NOW)}), now=NOW + 9 * 86_400_000)
    assert lead_of(post(sent)) != lead_of(post({**sent, "xunji_at": str(NOW - 50_000)}))


def test_an_id_makes_a_repeat_whatever_else_came_with_it() -> None:
    assert lead_of(post({"phone": "13812345678", "xunji_id": "s1"})) == lead_of(
        post(b'{"messageId": "s1", "contact": {"phone": "+8613812345678"}, "sentAt": "2026-11-22T04:00:00Z"}'),
        now=NOW + 9,
    )


# Answers


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": "李"}, "contact"),
        ({"phone": "138123"}, "contact.phone"),
        ({"email": "li", "phone": "13812345678"}, "contact.email"),
    ],
)
def test_who_could_not_be_reached_is_asked_to_correct_it_in_both_languages(fields: dict[str, str], path: str) -> None:
    request = post(fields, **BROWSER, accept_language="en-GB,en;q=0.9,zh;q=0.8")
    with pytest.raises(Refused) as refused:
        answered(request)
    assert [each["path"] for each in refused.value.errors] == [path]
    page = FORM.refused(request, refused.value)
    assert page is not None
    assert page.status == 422
    assert page.body.index(b"not sent") < page.body.index("没有提交成功".encode())
    for value in fields.values():
        assert value.encode() not in page.body
    assert FORM.refused(post(json.dumps(fields).encode(), accept="*/*"), refused.value) is None


def test_a_browser_without_script_sees_thanks_or_goes_to_its_own_page() -> None:
    thanks = answered(post({"phone": "13812345678"}, **BROWSER, accept_language="zh-CN,zh;q=0.9"))
    assert (thanks.status, thanks.content_type) == (200, "text/html; charset=utf-8")
    assert thanks.body.index("谢谢".encode()) < thanks.body.index(b"Thank you")
    assert f'<a href="{PAGE.replace("&", "&amp;")}">'.encode() in thanks.body
    stranger = {**BROWSER, "referer": "https://evil.example/", "origin": "https://evil.example"}
    assert b"<a " not in answered(post({"phone": "13812345678", "xunji_page": PAGE}, **stranger)).body
    sent_on = answered(post({"phone": "13812345678", "xunji_redirect": "/thanks.html?from=x9"}, **BROWSER))
    assert (sent_on.status, sent_on.headers["Location"]) == (303, "https://www.example.com/thanks.html?from=x9")


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example/", "\\\\evil.example",
        "javascript:alert(1)", "https://www.example.com@evil.example/", "https://www.example.com.evil.example/",
        "/a\r\nSet-Cookie: x=1", "\thttps://evil.example", "https://www.example.com:8443/", "data:text/html,x",
        "http://[::1", "/" + "a" * 3_000,
    ],
)  # fmt: skip
def test_no_form_leads_to_a_site_that_is_not_its_own(wanted: str) -> None:
    assert safe_redirect(wanted, BROWSER, PAGE, ()) == ""
    assert safe_redirect(wanted, {}, "", ("https://shop.example.com",)) == ""


def test_a_form_may_lead_to_an_origin_of_its_source_and_a_path_counts_from_the_page() -> None:
    told = {"referer": "https://www.example.com/"}
    page = "https://www.example.com/cars/x9"
    assert safe_redirect("thanks", told, page, ()) == "https://www.example.com/cars/thanks"
    assert safe_redirect("/谢谢", told, "https://evil.example/", ()) == "https://www.example.com/%E8%B0%A2%E8%B0%A2"
    assert safe_redirect("https:evil.example", told, page, ()).startswith("https://www.example.com/")
    shop = "https://shop.example.com/ok"
    assert safe_redirect(shop, told, page, ("https://shop.example.com",)) == shop


# What is no lead


@pytest.mark.parametrize(
    ("fields", "agent"),
    [
        ({"xunji_website": "http://spam.example"}, ""),
        ({"xunji_at": str(NOW - 300)}, ""),
        ({}, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
    ],
    ids=["trap", "haste", "name"],
)
def test_a_robot_is_answered_like_a_success_and_counted(fields: dict[str, str], agent: str) -> None:
    request = post({"phone": "13812345678", **fields}, accept="*/*", user_agent=agent)
    assert json.loads(answered(request).body)["ok"] is True
    found = translated(request)
    assert isinstance(found, Dropped)
    assert (found.reason, found.source) == (DropReason.BOT, "show")
    assert "13812345678" not in found.detail


def test_our_own_json_has_the_trap_too_and_a_form_may_ask_for_a_website() -> None:
    ours = json.dumps({"contact": {"phone": "13812345678"}, "website": "http://spam.example"}).encode()
    assert isinstance(translated(post(ours)), Dropped)
    asked = event(post({"phone": "13812345678", "website": "http://dealer.example"}))
    assert msgspec.json.decode(asked.properties)["website"] == "http://dealer.example"


def test_a_wrong_clock_or_a_servers_library_is_no_robot() -> None:
    assert isinstance(translated(post({"phone": "13812345678", "xunji_at": str(NOW + 90_000)})), Event)
    server = replace_trust(SOURCE)
    found = event(post({"phone": "13812345678"}, user_agent="Googlebot/2.1"), source=server)
    # Its address and its program say nothing of the person.
    assert (found.ip, found.device.kind, found.platform) == ("", "", "server")


def replace_trust(source: Source) -> Source:
    return msgspec.structs.replace(source, trust=Trust.SERVER, kind=SourceKind.SERVER)


@pytest.mark.parametrize("body", [b"", b"abc", b"{", b"--b0\r\nContent-Disposition", b'{"a":' * 99 + b"1" + b"}" * 99])
def test_what_cannot_be_read_is_said_of_the_key_it_came_with(body: bytes) -> None:
    with pytest.raises(Unreadable) as unreadable:
        FORM.read(post(body))
    assert unreadable.value.key == "form-key"
    with pytest.raises(MalformedHit):
        translated(post(body))


def test_a_form_over_64_kb_is_too_large() -> None:
    with pytest.raises(TooLarge):
        FORM.read(post({"phone": "13812345678", "note": "a" * 70_000}))
