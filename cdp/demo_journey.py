"""Ms. Li's journey (`demo.toml`) as the hits in which her browser and her WeChat would deliver it.

The site speaks the Segment dialect, the mini-program the Sensors dialect; a visit is one hit.
"""

from __future__ import annotations

import base64
import gzip
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from cdp.model import Millis
from cdp.moments import rfc3339

STORY = Path(__file__).with_name("demo.toml")

_BROWSER = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36"
)
_WECHAT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.49(0x1800312d) NetType/WIFI Language/zh_CN"
)
_MINI_SDK = {"$lib": "MiniProgram", "$lib_method": "code", "$lib_version": "1.17.9"}
_NOT_PROPERTIES = frozenset({"after", "event", "path", "launch", "login", "page"})

Step = Mapping[str, Any]


class HitToSend(NamedTuple):
    """A POST to a collector."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Visit:
    """Steps on one end (`site`, `mini_program`), each `after` so many seconds from `began`.

    From the step `member_from` on she is signed in.
    """

    number: int
    end: str
    began: Millis
    steps: tuple[Step, ...]
    member_from: int
    query: str = ""

    def at(self, step: Step) -> Millis:
        return self.began + 1000 * int(step["after"])


def site_name() -> str:
    """The source of the invented maker's site."""
    return str(_story()["site"]["name"])


def _story() -> Mapping[str, Any]:
    return tomllib.loads(STORY.read_text(encoding="utf-8"))


class Journey:
    """The story, told as of `now` in the calendar of `zone`."""

    def __init__(self, *, now: Millis, zone: tzinfo) -> None:
        self.story = _story()
        self.li: Mapping[str, str] = self.story["li"]
        self.now = now
        self._zone = zone

    def sources(self) -> dict[str, dict[str, str]]:
        """By end: the name and kind of its source."""
        return {end: {name: self.story[end][name] for name in ("name", "kind")} for end in ("site", "mini_program")}

    def visits(self) -> Iterator[Visit]:
        """The three weeks, oldest first."""
        members: set[str] = set()
        for number, told in enumerate(self.story["visits"]):
            steps, end = _on_pages(told["steps"]), told["end"]
            logins = [index for index, step in enumerate(steps) if step.get("login")]
            member_from = 0 if end in members else logins[0] if logins else len(steps)
            members.update(end for _ in logins)
            yield Visit(number, end, self._began(told), steps, member_from, told.get("query", ""))

    def form(self) -> Visit:
        """The visit at the motor show, which ends with the form."""
        told = self.story["form"]
        scan, *others = told["steps"]
        consent = {"purposes": ["sales_contact"], "text_version": "2026-01", "at": rfc3339(self.now)}
        form = told["submit"] | {"name": self.li["name"], "phone": self.li["phone"], "consent": consent}
        steps = _on_pages([scan | told["campaign"], *others, form])
        return Visit(len(self.story["visits"]), told["end"], self.now - 60_000 * told["minutes_ago"], steps, 0)

    def hit(self, visit: Visit, key: str) -> HitToSend:
        """What the SDK of that end sends with this write key."""
        return _segment(self, visit, key) if visit.end == "site" else _sensors(self, visit, key)

    def _began(self, told: Mapping[str, Any]) -> Millis:
        today = datetime.fromtimestamp(self.now / 1000, self._zone)
        hour, minute = map(int, told["at"].split(":"))
        day = today - timedelta(days=told["days_ago"])
        return int(day.replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp() * 1000)


def _on_pages(steps: list[dict[str, Any]]) -> tuple[Step, ...]:
    """The steps, each with the `page` on which it is taken."""
    page, placed = "", []
    for step in steps:
        page = step.get("path", page)
        placed.append(step | {"page": page})
    return tuple(placed)


def _properties(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step.items() if name not in _NOT_PROPERTIES}


def _segment(journey: Journey, visit: Visit, key: str) -> HitToSend:
    calls = [_call(journey, visit, index, step) for index, step in enumerate(visit.steps)]
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        "Content-Type": "application/json",
        "User-Agent": _BROWSER,
    }
    return HitToSend("/v1/batch", headers, json.dumps({"batch": calls, "sentAt": rfc3339(journey.now)}).encode())


def _call(journey: Journey, visit: Visit, index: int, step: Step) -> dict[str, Any]:
    url = journey.story["site"]["url"] + step["page"] + (visit.query if index == 0 else "")
    call: dict[str, Any] = {
        "messageId": f"demo-{visit.number}-{index}",
        "anonymousId": journey.li["anonymous_id"],
        "timestamp": rfc3339(visit.at(step)),
        "context": {
            "library": {"name": "analytics.js", "version": "2.11.1"},
            "page": {"url": url, "path": step["page"], "title": step.get("title", "")},
            "locale": "zh-CN",
        },
    }
    if index >= visit.member_from:
        call["userId"] = journey.li["member_id"]
    if step.get("login"):
        return call | {"type": "identify", "traits": {"city": journey.li["city"]}}
    if "event" in step:
        return call | {"type": "track", "event": step["event"], "properties": _properties(step)}
    return call | {"type": "page"}


def _sensors(journey: Journey, visit: Visit, key: str) -> HitToSend:
    records = [_record(journey, visit, index, step) for index, step in enumerate(visit.steps)]
    packed = base64.b64encode(gzip.compress(json.dumps(records).encode())).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": _WECHAT}
    return HitToSend(
        f"/sa?project={quote(key, safe='')}", headers, f"data_list={quote(packed, safe='')}&gzip=1".encode()
    )


def _record(journey: Journey, visit: Visit, index: int, step: Step) -> dict[str, Any]:
    li = journey.li
    who = {"distinct_id": li["mp_id"], "anonymous_id": li["mp_id"]}
    identities = {
        "$identity_mp_id": li["mp_id"],
        f"$identity_mp_{li['appid']}_openid": li["openid"],
        "$identity_mp_unionid": li["unionid"],
    }
    if index >= visit.member_from:
        who |= {"distinct_id": li["member_id"], "login_id": li["member_id"]}
        identities["$identity_login_id"] = li["member_id"]
    kind = {"type": "track_signup", "original_id": li["mp_id"]} if step.get("login") else {"type": "track"}
    return {
        **kind,
        **who,
        "event": _sensors_name(step),
        "time": visit.at(step),
        "identities": identities,
        "lib": _MINI_SDK,
        "properties": {"$os": "iOS", "$model": "iPhone 15", "$app_id": li["appid"], **_sensors_properties(step)},
        "_track_id": 100_000 * (visit.number + 1) + index,
        "_flush_time": journey.now,
    }


def _sensors_name(step: Step) -> str:
    if step.get("login"):
        return "$SignUp"
    return "$MPLaunch" if "launch" in step else step.get("event", "$MPViewScreen")


def _sensors_properties(step: Step) -> dict[str, Any]:
    own = {"$url_path": step["page"], **_properties(step)}
    if "launch" in step:
        return own | {"$scene": step["launch"]}
    return own | {"$title": own.pop("title")} if "path" in step else own
