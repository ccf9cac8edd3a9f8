"""腾讯广告 (Tencent Ads): leads of its lead platform, pushed as JSON to an address of ours.

The fields are those of its public leads API; no request was captured. How a push is signed is described nowhere in
public, so it proves itself by the source's secret, which stands in the address that the platform is given: as
`?token=`, as the password of `https://xunji:SECRET@…`, or in a header Access-Token (docs/ads.md).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from cdp.model import Identifier, Millis, Page
from collectors.ads import (
    AdLead,
    AdPlatform,
    fields_of,
    given,
    header,
    lately,
    same,
    take,
    take_answers,
    time_of,
)
from collectors.body import query_value
from collectors.dialect import Answer, Request
from collectors.record import path_of

_OPENIDS = {"USER_TYPE_WX_OPENID": "wx_openid", "USER_TYPE_WX_UNIONID": "wx_unionid"}


class TencentAds(AdPlatform):
    """The dialect of leads of Tencent Ads."""

    name = "tencent_ads"
    path = "tencent"

    def proven(self, request: Request, rows: Sequence[Raw], secret: str, now: Millis) -> bool:
        told = (
            query_value(request.query, "token")
            or header(request.headers, "access-token", "access_token", "token")
            or _password(header(request.headers, "authorization"))
        )
        sent = query_value(request.query, "timestamp") or header(request.headers, "timestamp")
        return same(told, secret) and (not sent or lately(sent, now))

    def lead(self, row: dict[str, Any]) -> AdLead:
        lead_id = take(row, "leads_id", "outer_leads_id")
        answers = take_answers(row, "bundle") | take_answers(row, "custom_qa")
        told = {
            "name": take(row, "leads_name"),
            "phone": take(row, "leads_tel", "leads_telephone"),
            "email": take(row, "leads_email"),
            "wechat": take(row, "leads_wechat"),
            "dealer": take(row, "shop_name"),
            "city": take(row, "leads_area", "telephone_location", "tel_location"),
            "note": take(row, "memo"),
        }
        about = given(
            lead_id=lead_id,
            advertiser_id=take(row, "account_id"),
            campaign_id=take(row, "campaign_id"),
            campaign_name=take(row, "campaign_name"),
            ad_id=take(row, "adgroup_id", "ad_id"),
            ad_name=take(row, "adgroup_name", "ad_name"),
            creative_id=take(row, "dynamic_creative_id", "creative_id", "adcreative_id"),
            creative_name=take(row, "dynamic_creative_name", "creative_name", "adcreative_name"),
        )
        url = take(row, "page_url", "leads_page_url")
        openid = _openid(row)
        at = time_of(take(row, "leads_action_time", "leads_create_time"))
        return AdLead(
            id=lead_id,
            at=at,
            fields=fields_of(told, answers),
            campaign=self.campaign(about, given(click_id=take(row, "click_id"))),
            identifiers=(*openid, *self.own_id(lead_id)),
            page=Page(url=url, path=path_of(url), title=take(row, "page_name", "leads_page_name")),
            about=about | given(platform_fields=row),
        )

    def answer(self, status: int, message: str) -> Answer:
        told = {"code": 0 if status == 200 else status, "message": message, "message_cn": message}
        return Answer(status, msgspec.json.encode(told))


def _openid(row: dict[str, Any]) -> tuple[Identifier, ...]:
    kind = _OPENIDS.get(str(row.get("leads_user_type")))
    if kind is None:
        return ()
    value, appid = take(row, "leads_user_id"), take(row, "leads_user_wechat_appid", "wechat_appid")
    if not value:
        return ()
    return (Identifier(kind, f"{appid or '-'}/{value}" if kind == "wx_openid" else value),)


def _password(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
