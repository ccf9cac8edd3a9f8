"""Leads of ad platforms. The requests are after the public descriptions, not captured."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest

from cdp.errors import MalformedHit, TooLarge, TooManyRequests
from cdp.model import Dropped, DropReason, Event, Hit, Source, SourceKind, Trust
from collectors.ads import AdPlatform, Unproven
from collectors.dialect import Answer, Request
from collectors.ocean_engine import OceanEngine
from collectors.tencent_ads import TencentAds
from leads.contact import contact_of, fields_of

NOW = 1_795_320_000_000
SECRET = "platform-secret-1"
SOURCE = Source(id="ads", kind=SourceKind.ADS, keys=("ads-key",), trust=Trust.SERVER, secret=SECRET)

CLUE = {
    "id": "6805367880608123456",
    "adv_id": "3526901234",
    "adv_name": "某汽车",
    "ad_id": "16348673021",
    "ad_name": "秋季试驾",
    "cid": 0,
    "req_id": "202003181021430100140432190F1234",
    "clue_source": 1,
    "clue_convert_status": "广告预览",
    "name": "李女士",
    "telphone": "13812345678",
    "weixin": "",
    "gender": "女",
    "location": "山东+济南",
    "city": "山东,济南",
    "store_id": 0,
    "store_name": "",
    "external_url": "https://ad.example.com/tetris/page/66959/",
    "module_name": "表单组件",
    "remark_dict": {"意向车系": "X9", "预算": "20-30万"},
    "create_time": "1795319000",
    "app_name": "抖音",
}
LEADS = {
    "account_id": 25610,
    "leads_id": 10086001,
    "click_id": "wx0abc",
    "campaign_name": "朋友圈-试驾",
    "campaign_id": "77",
    "adgroup_id": "88",
    "adgroup_name": "华东",
    "dynamic_creative_id": "99",
    "leads_type": "LEADS_TYPE_FORM",
    "leads_name": "王先生",
    "leads_tel": "13900001111",
    "leads_email": "",
    "leads_wechat": "wang_1",
    "leads_area": "上海市",
    "page_url": "https://mp.example.com/p/1",
    "page_name": "X9 试驾",
    "bundle": '{"意向车系":"X9","购车时间":"三个月内"}',
    "leads_action_time": "2026-11-22 11:43:20",
    "leads_user_type": "USER_TYPE_WX_OPENID",
    "leads_user_id": "oAbc",
    "leads_user_wechat_appid": "wxa1b2",
}


def signed(lead_id: str, *, at: int = NOW // 1000, token: str = "tok", secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), f"{lead_id}|{token}|{at}".encode(), hashlib.sha256).hexdigest()
    return {"signature": base64.b64encode(digest.encode()).decode(), "timestamp": str(at), "access-token": token}


def pushed(
    platform: AdPlatform, body: Any, headers: dict[str, str] | None = None, *, query: str = ""
) -> tuple[Answer, list[Event | Dropped], str]:
    """The answer, what becomes of each row, and the target that is kept."""
    path = f"/ads/{platform.path}/ads-key"
    target = f"{path}?{query}" if query else path
    request = Request("POST", target, path, query, headers or {}, json.dumps(body).encode(), "203.0.113.9")
    assert platform.handles(request.method, request.path)
    envelope = platform.checked(request, platform.read(request), SOURCE, NOW)
    hit = Hit(
        received_at=NOW, source="ads", dialect=platform.name, method="POST", target=envelope.target, headers={},
        client_ip="203.0.113.9", body=request.body,
    )  # fmt: skip
    return platform.accepted(request, envelope), list(platform.translate(hit, "0-7", lambda _key: SOURCE)), hit.target


def test_a_clue_of_ocean_engine_says_who_asked_for_what_and_which_ad_led_there() -> None:
    answer, (event,), _ = pushed(OceanEngine(), CLUE, signed(CLUE["id"]))
    assert (answer.status, json.loads(answer.body)) == (200, {"code": 0, "message": "success"})
    assert isinstance(event, Event)
    assert (event.name, event.client_id, event.occurred_at) == ("lead_submitted", CLUE["id"], 1_795_319_000_000)
    assert (event.campaign.source, event.campaign.medium, event.campaign.name) == (
        "ocean_engine",
        "lead_ad",
        "秋季试驾",
    )
    assert event.campaign.click_ids == {"req_id": CLUE["req_id"]}
    properties = msgspec.json.decode(event.properties)
    assert contact_of(properties) == {"name": "李女士", "phone": "13812345678"}
    interest = {name: fields_of(properties)[name] for name in ("series", "city")}
    assert interest == {"series": "X9", "city": "济南"}
    assert (properties["advertiser_id"], properties["ad_id"]) == ("3526901234", "16348673021")
    assert (properties["预算"], properties["platform_fields"]["clue_convert_status"]) == ("20-30万", "广告预览")
    assert "creative_id" not in properties
    assert [f"{each.kind}:{each.value}" for each in event.identifiers] == [f"lead_id:ocean_engine/{CLUE['id']}"]


def test_a_lead_of_tencent_says_the_same() -> None:
    answer, (event,), target = pushed(TencentAds(), LEADS, query=f"token={SECRET}")
    assert json.loads(answer.body) == {"code": 0, "message": "", "message_cn": ""}
    # The secret that let it in is not kept.
    assert target == "/ads/tencent/ads-key"
    assert isinstance(event, Event)
    # 11:43:20 in China.
    assert (event.client_id, event.occurred_at) == ("10086001", 1_795_319_000_000)
    assert (event.campaign.source, event.campaign.name, event.campaign.content) == ("tencent_ads", "朋友圈-试驾", "99")
    assert event.campaign.click_ids == {"click_id": "wx0abc"}
    properties = msgspec.json.decode(event.properties)
    assert contact_of(properties) == {"name": "王先生", "phone": "13900001111", "wechat": "wang_1"}
    assert {name: fields_of(properties)[name] for name in ("series", "city")} == {"series": "X9", "city": "上海市"}
    assert properties["购车时间"] == "三个月内"
    assert [f"{each.kind}:{each.value}" for each in event.identifiers] == [
        "wx_openid:wxa1b2/oAbc", "lead_id:tencent_ads/10086001",
    ]  # fmt: skip


@pytest.mark.parametrize("wrapped", [lambda rows: rows, lambda rows: {"data": rows, "total": 3}], ids=["array", "data"])
def test_a_row_without_contact_is_dropped_and_the_others_go_on(wrapped: Any) -> None:
    nobody = {"leads_id": 2, "leads_name": "匿名"}
    _, rows, _ = pushed(TencentAds(), wrapped([LEADS, nobody, 17, {**LEADS, "leads_id": 3}]), query=f"token={SECRET}")
    assert [row.reason if isinstance(row, Dropped) else row.client_id for row in rows] == [
        "10086001", DropReason.MALFORMED_EVENT, DropReason.MALFORMED_EVENT, "3",
    ]  # fmt: skip


def test_a_second_delivery_is_the_same_event() -> None:
    _, (first,), _ = pushed(OceanEngine(), CLUE, signed(CLUE["id"]))
    _, (again,), _ = pushed(OceanEngine(), {**CLUE, "convert_status": 3}, signed(CLUE["id"], at=NOW // 1000 + 60))
    assert isinstance(first, Event)
    assert isinstance(again, Event)
    assert first.id == again.id


@pytest.mark.parametrize("separator", ["|", " ", ""])
@pytest.mark.parametrize("keyed", [True, False])
def test_each_signature_that_is_described_proves_the_same(separator: str, keyed: bool) -> None:
    at = str(NOW // 1000)
    digest = (
        hmac.new(SECRET.encode(), separator.join((CLUE["id"], "tok", at)).encode(), hashlib.sha256).digest()
        if keyed
        else hashlib.sha256(separator.join((CLUE["id"], SECRET, at)).encode()).digest()
    )
    headers = {"timestamp": at, "access_token": "tok"}
    pushed(OceanEngine(), CLUE, {**headers, "signature": base64.b64encode(digest).decode()})
    pushed(OceanEngine(), CLUE, {**headers, "signature": digest.hex()})


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, CLUE),
        (signed(CLUE["id"], secret="another-secret"), CLUE),
        (signed("another-lead"), CLUE),
        ({**signed(CLUE["id"]), "access-token": "another"}, CLUE),
        (signed(CLUE["id"], at=NOW // 1000 - 7_200), CLUE),
        ({**signed(CLUE["id"]), "timestamp": ""}, CLUE),
        ({**signed(CLUE["id"]), "signature": ""}, CLUE),
        (signed(""), [17]),
        (signed(""), []),
    ],
)
def test_what_does_not_prove_to_come_from_ocean_engine_is_not_kept(headers: dict[str, str], body: Any) -> None:
    with pytest.raises(Unproven) as refused:
        pushed(OceanEngine(), body, headers)
    told = OceanEngine().refused(Request("POST", "", "", "", {}, b""), refused.value)
    assert told is not None
    assert (told.status, json.loads(told.body)["code"]) == (401, 401)


@pytest.mark.parametrize(
    ("headers", "query", "good"),
    [
        ({"authorization": "Basic " + base64.b64encode(f"xunji:{SECRET}".encode()).decode()}, "", True),
        ({"access-token": SECRET}, f"timestamp={NOW // 1000}", True),
        ({"access-token": SECRET}, f"timestamp={NOW // 1000 - 7_200}", False),
        ({"authorization": "Basic x"}, "", False),
        ({}, "token=wrong", False),
        ({}, "token=", False),
    ],
)
def test_tencent_proves_itself_by_the_secret_in_its_address(headers: dict[str, str], query: str, good: bool) -> None:
    if good:
        pushed(TencentAds(), LEADS, headers, query=query)
        return
    with pytest.raises(Unproven):
        pushed(TencentAds(), LEADS, headers, query=query)


def test_an_answer_stands_beside_what_the_platform_knows_and_nothing_is_lost() -> None:
    answers = {"phone": "13700000003", "意向车系": "X9"}
    clue = {**CLUE, "phone": "13900000002", "location": {"code": 1}, "remark_dict": answers}
    _, (event,), _ = pushed(OceanEngine(), clue, signed(CLUE["id"]))
    assert isinstance(event, Event)
    told = msgspec.json.decode(event.properties)
    assert (told["contact"]["phone"], told["answer_phone"]) == ("13812345678", "13700000003")
    assert told["platform_fields"].items() >= {"phone": "13900000002", "location": {"code": 1}}.items()


def test_a_push_is_small() -> None:
    with pytest.raises(TooLarge):
        pushed(OceanEngine(), [{"id": "1", "note": "x" * 1024}] * 1_024)


def test_a_platform_is_told_in_its_own_shape_what_is_wrong_and_when_to_come_again() -> None:
    told = TencentAds().refused(Request("POST", "", "", "", {}, b""), TooManyRequests(7))
    assert told is not None
    assert (told.status, json.loads(told.body)["code"], told.headers) == (429, 429, {"Retry-After": "7"})
    # Not kept, for a body without rows proves nothing.
    with pytest.raises(MalformedHit):
        TencentAds().read(Request("POST", "", "/ads/tencent/ads-key", "", {}, b"leads_id=1"))
