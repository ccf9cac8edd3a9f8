"""One page's track call, with the same content in every dialect, packed as the vendor's browser SDK packs it.

Names of fields are the vendors' own; the values are those of `event`, so the figures can be compared.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

import msgspec

KEY = "bench-key"
EVENT_BYTES = 700
VISITORS = 1000
AT_MS = 1_772_439_330_123
AT_ISO = "2026-03-02T08:15:30.123Z"
SENT_MS = AT_MS + 200
URL = "https://www.example.com/models/x7"
REFERRER = "https://www.example.com/"
TITLE = "X7 空间"
NAME = "vehicle_viewed"
OWN = {"series": "X7", "model": "X7 Max 2026", "space_mm": 2980, "video": "rear_seat", "seconds": 41, "note": "x" * 60}
BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15"

_json = msgspec.json.encode


class Sent(NamedTuple):
    """A request as bytes: `headers` are lines without their end."""

    method: str
    target: str
    headers: tuple[str, ...]
    body: bytes


Maker = Callable[[Sequence[int]], Sent]
"""Makes one request with an event for each number."""


def event(number: int) -> bytes:
    """A page's track call as analytics-next builds it, of exactly 700 bytes."""
    visitor = number % VISITORS
    body = {
        "timestamp": "2026-03-02T08:15:30.123Z",
        "integrations": {},
        "event": "vehicle_viewed",
        "type": "track",
        "properties": {"series": "X7", "model": "X7 Max 2026", "space_mm": 2980, "video": "rear_seat", "seconds": 41},
        "context": {
            "page": {
                "path": "/models/x7",
                "referrer": "https://www.example.com/",
                "title": "X7 空间",
                "url": "https://www.example.com/models/x7",
            },
            "userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15",
            "locale": "zh-CN",
            "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
        },
        "messageId": f"ajs-next-{number:020d}-{visitor:08x}",
        "anonymousId": f"5b0c6f7e-4a53-4f37-9a6e-{visitor:012x}",
        "sentAt": "2026-03-02T08:15:30.323Z",
    }
    body["properties"]["note"] = "x" * (EVENT_BYTES - len(msgspec.json.encode(body)) - len(',"note":""'))  # type: ignore[index]
    return msgspec.json.encode(body)


def _visitor(number: int) -> str:
    return f"5b0c6f7e-4a53-4f37-9a6e-{number % VISITORS:012x}"


def segment(numbers: Sequence[int]) -> Sent:
    body = b'{"writeKey":"%b","batch":[%b],"sentAt":"2026-03-02T08:15:30.323Z"}' % (
        KEY.encode(),
        b",".join(event(number) for number in numbers),
    )
    return Sent("POST", "/v1/batch", ("Content-Type: text/plain",), body)


def jitsu(numbers: Sequence[int]) -> Sent:
    return Sent("POST", "/api/s/track", (f"X-Write-Key: {KEY}", "Content-Type: application/json"), event(numbers[0]))


def sensors(numbers: Sequence[int]) -> Sent:
    records = [
        {
            "type": "track",
            "event": NAME,
            "time": AT_MS,
            "_track_id": number,
            "_flush_time": SENT_MS,
            "distinct_id": _visitor(number),
            "anonymous_id": _visitor(number),
            "identities": {"$identity_cookie_id": _visitor(number)},
            "lib": {"$lib": "js", "$lib_method": "code", "$lib_version": "1.26.17"},
            "properties": {
                **OWN,
                "$url": URL,
                "$url_path": "/models/x7",
                "$title": TITLE,
                "$referrer": REFERRER,
                "$referrer_host": "www.example.com",
                "$latest_traffic_source_type": "自然搜索流量",
                "$timezone_offset": -480,
                "$is_first_day": False,
            },
        }
        for number in numbers
    ]
    body = b"data_list=" + quote(base64.b64encode(_json(records)), safe="").encode()
    return Sent("POST", f"/sa.gif?project={KEY}", ("Content-Type: application/x-www-form-urlencoded",), body)


def posthog(numbers: Sequence[int]) -> Sent:
    events = [
        {
            "uuid": f"019432a1-0000-7000-8000-{number:012x}",
            "event": NAME,
            "properties": {
                **OWN,
                "token": KEY,
                "distinct_id": _visitor(number),
                "$device_id": _visitor(number),
                "$is_identified": False,
                "$os": "iOS",
                "$browser": "Mobile Safari",
                "$device_type": "Mobile",
                "$current_url": URL,
                "$host": "www.example.com",
                "$pathname": "/models/x7",
                "$lib": "web",
                "$lib_version": "1.449.2",
                "$session_id": "019432a1-7c8a-7b8e-9d30-6f1e2a3b4c5d",
                "$referrer": REFERRER,
                "title": TITLE,
            },
            "timestamp": AT_ISO,
        }
        for number in numbers
    ]
    return Sent("POST", "/e/?ip=0&ver=1.449.2", ("Content-Type: text/plain",), gzip.compress(_json(events), 6))


def growingio(numbers: Sequence[int]) -> Sent:
    events = [
        {
            "eventType": "CUSTOM",
            "eventName": NAME,
            "attributes": {name: str(value) for name, value in OWN.items()},
            "deviceId": _visitor(number),
            "sessionId": "e1f7f4bc-8d8e-4a58-9a36-2f1b0f0e6a11",
            "dataSourceId": "a1b2c3d4e5f60718",
            "domain": "www.example.com",
            "path": "/models/x7",
            "query": "",
            "title": TITLE,
            "referralPage": REFERRER,
            "protocolType": "https",
            "platform": "web",
            "timestamp": AT_MS,
            "timezoneOffset": "-480",
            "eventSequenceId": number,
            "screenWidth": 390,
            "screenHeight": 844,
            "language": "zh-cn",
            "sdkVersion": "4.3.1",
        }
        for number in numbers
    ]
    target = f"/v3/projects/{KEY}/collect?stm={SENT_MS}&compress=0"
    return Sent("POST", target, ("Content-Type: text/plain;charset=UTF-8",), _json(events))


def snowplow(numbers: Sequence[int]) -> Sent:
    data = [
        {
            "e": "ue",
            "eid": f"d5aa50a1-af4d-4ca7-9370-{number:012x}",
            "ue_pr": _json(
                {
                    "schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0",
                    "data": {"schema": f"iglu:com.example/{NAME}/jsonschema/1-0-0", "data": OWN},
                }
            ).decode(),
            "tv": "js-4.10.1",
            "tna": "sp",
            "aid": KEY,
            "p": "web",
            "url": URL,
            "page": TITLE,
            "refr": REFERRER,
            "duid": _visitor(number),
            "sid": "0b6f2a4c-6f0e-4d8f-9a55-0e3c1f4f2b10",
            "lang": "zh-CN",
            "tz": "Asia/Shanghai",
            "res": "390x844",
            "dtm": str(AT_MS),
            "stm": str(SENT_MS),
        }
        for number in numbers
    ]
    schema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
    headers = ("Content-Type: application/json; charset=UTF-8",)
    return Sent("POST", "/com.snowplowanalytics.snowplow/tp2", headers, _json({"schema": schema, "data": data}))


def thinkingdata(numbers: Sequence[int]) -> Sent:
    records = [
        {
            "#type": "track",
            "#time": "2026-03-02 16:15:30.123",
            "#zone_offset": 8,
            "#distinct_id": _visitor(number),
            "#event_name": NAME,
            "#uuid": f"8f8053c6-73bf-41d2-9331-{number:012x}",
            "properties": {"#lib": "node", "#lib_version": "1.5.0", "#url": URL, "#title": TITLE, **OWN},
        }
        for number in numbers
    ]
    headers = (f"appid: {KEY}", "compress: gzip", "Content-Type: application/plaintext")
    return Sent("POST", "/sync_server", headers, gzip.compress(_json(records), 6))


def ga4(numbers: Sequence[int]) -> Sent:
    shared = {"v": "2", "tid": KEY, "cid": _visitor(numbers[0]), "sid": "1772439000", "ul": "zh-cn", "sr": "390x844"}
    page = {"dl": URL, "dt": TITLE, "dr": REFERRER, "_p": "8751611509262498"}
    lines = [
        urlencode({"en": NAME, "_et": number, **{f"ep.{name}": value for name, value in OWN.items()}})
        for number in numbers
    ]
    target = "/g/collect?" + urlencode({**shared, **page})
    return Sent("POST", target, ("Content-Type: text/plain;charset=UTF-8",), "\r\n".join(lines).encode())


MAKERS: dict[str, Maker] = {
    "segment": segment,
    "jitsu": jitsu,
    "sensors": sensors,
    "posthog": posthog,
    "growingio": growingio,
    "snowplow": snowplow,
    "thinkingdata": thinkingdata,
    "ga4": ga4,
}
ALONE = frozenset({"jitsu"})
"""Dialects without batches."""


def wire(sent: Sent) -> bytes:
    """The bytes of the request on a connection that stays open."""
    lines = [f"{sent.method} {sent.target} HTTP/1.1", "Host: 127.0.0.1", f"User-Agent: {BROWSER}", *sent.headers]
    return "\r\n".join([*lines, f"Content-Length: {len(sent.body)}", "", ""]).encode() + sent.body
