"""巨量引擎 (Ocean Engine): the leads that 飞鱼 pushes to an address of ours, one JSON object each.

Written after public descriptions and receivers; no request of the platform was captured. They agree on the fields
and on the headers Signature, Timestamp and Access-Token, but write the signed text and its encoding differently, so
each form that is described is tried (docs/ads.md).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from cdp.model import Millis, Page
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
from collectors.dialect import Answer, Request
from collectors.record import Scalar, path_of, text

_SEPARATORS = ("|", " ", "")


class _Ids(msgspec.Struct):
    """All of a lead that is read before its signature is known to be right."""

    id: Scalar = None
    clue_id: Scalar = None


_IDS = msgspec.json.Decoder(_Ids)


class OceanEngine(AdPlatform):
    """The dialect of leads of Ocean Engine."""

    name = "ocean_engine"
    path = "ocean-engine"

    def proven(self, request: Request, rows: Sequence[Raw], secret: str, now: Millis) -> bool:
        """The signature covers the first lead's id, the token and the time, not the body; so an id counts once."""
        signature = header(request.headers, "signature")
        timestamp = header(request.headers, "timestamp")
        token = header(request.headers, "access-token", "access_token")
        if not (signature and rows and lately(timestamp, now)):
            return False
        try:
            first = _IDS.decode(rows[0])
        except (msgspec.ValidationError, RecursionError):
            return False
        lead_id = text(first.id) or text(first.clue_id)
        # Without `any`, which would tell by its time how many were tried.
        return sum(same(signature, each) for each in _signatures(lead_id, token, timestamp, secret)) > 0

    def lead(self, row: dict[str, Any]) -> AdLead:
        lead_id = take(row, "id", "clue_id")
        province, city = _place(take(row, "location"))
        answers = take_answers(row, "remark_dict")
        told = {
            "name": take(row, "name"),
            "phone": take(row, "telphone", "telephone", "phone", "address.phone"),
            "email": take(row, "email"),
            "wechat": take(row, "weixin", "wechat", "address.wechat"),
            "dealer": take(row, "store_name"),
            "city": take(row, "city_name") or city or take(row, "city"),
            "note": take(row, "form_remark", "remark"),
        }
        about = given(
            lead_id=lead_id,
            advertiser_id=take(row, "adv_id", "advertiser_id"),
            advertiser_name=take(row, "adv_name"),
            campaign_id=take(row, "campaign_id"),
            campaign_name=take(row, "campaign_name"),
            ad_id=take(row, "promotion_id", "ad_id"),
            ad_name=take(row, "promotion_name", "ad_name"),
            creative_id=take(row, "cid", "creative_id"),
            province=take(row, "province_name") or province,
            app=take(row, "app_name"),
        )
        clicks = given(clickid=take(row, "click_id", "clickid"), req_id=take(row, "req_id"))
        url = take(row, "external_url")
        at = time_of(take(row, "create_time", "create_time_detail", "date"))
        return AdLead(
            id=lead_id,
            at=at,
            fields=fields_of(told, answers),
            campaign=self.campaign(about, clicks),
            identifiers=self.own_id(lead_id),
            page=Page(url=url, path=path_of(url), title=take(row, "site_name")),
            about=about | given(platform_fields=row),
        )

    def answer(self, status: int, message: str) -> Answer:
        told = {"code": 0 if status == 200 else status, "message": message or "success"}
        return Answer(status, msgspec.json.encode(told))


def _signatures(lead_id: str, token: str, timestamp: str, secret: str) -> Iterator[str]:
    """Every signature that a public description leads to: HMAC-SHA256 under the secret, or SHA-256 of a text that
    holds it; of three spellings of the text; as base64 of the hex digits, base64, or hex digits."""
    for separator in _SEPARATORS:
        signed = separator.join((lead_id, token, timestamp))
        yield from _encodings(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())
        yield from _encodings(hashlib.sha256(separator.join((lead_id, secret, timestamp)).encode()).digest())


def _encodings(digest: bytes) -> Iterator[str]:
    yield base64.b64encode(digest.hex().encode()).decode()
    yield base64.b64encode(digest).decode()
    yield digest.hex()


def _place(location: str) -> tuple[str, str]:
    """Province and city of 山东+济南."""
    province, plus, city = location.partition("+")
    return (province, city) if plus else ("", location)
