"""The demo: Ms. Li's journey, sent over HTTP to the collectors that run, just as her browser and phone would.

The site speaks the Segment dialect, the mini-program the Sensors dialect. Three weeks of visits come first, then
the form of the motor show, which captures a lead. Everything after the collectors is the product at work.
"""

from __future__ import annotations

import base64
import gzip
import json
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from cdp.client import Client
from cdp.errors import XunjiError
from cdp.model import Millis
from cdp.moments import now_ms, rfc3339

JOURNEY = Path(__file__).with_suffix(".toml")
PATIENCE_S = 20.0
"""The longest wait for the pipeline, on a machine that has other things to do."""
POLL_S = 0.05

_BROWSER = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36"
)
_WECHAT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.49(0x1800312d) NetType/WIFI Language/zh_CN"
)
_LIB = {"$lib": "MiniProgram", "$lib_method": "code", "$lib_version": "1.17.9"}

Step = Mapping[str, Any]

T = TypeVar("T")


class DemoFailed(XunjiError):
    """The demo could not be played to its end; the text says where it stopped."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Steps on one end (`site` or `mini_program`), each `after` so many seconds from `began`."""

    number: int
    end: str
    began: Millis
    steps: tuple[Step, ...]
    member: bool
    query: str = ""

    def at(self, step: Step) -> Millis:
        return self.began + 1000 * int(step["after"])


class Journey:
    """The story in `demo.toml`, told as of `now`."""

    def __init__(self, *, now: Millis, zone: tzinfo) -> None:
        self._told = tomllib.loads(JOURNEY.read_text(encoding="utf-8"))
        self._now = now
        self._zone = zone
        self.li: Mapping[str, str] = self._told["li"]

    def sources(self) -> dict[str, dict[str, str]]:
        """By end: the name and kind of its source."""
        return {end: {name: self._told[end][name] for name in ("name", "kind")} for end in ("site", "mini_program")}

    def visits(self) -> Iterator[Visit]:
        """The three weeks, oldest first."""
        members = set()
        for number, visit in enumerate(self._told["visits"]):
            steps = tuple(visit["steps"])
            if any(step.get("login") for step in steps):
                members.add(visit["end"])
            yield Visit(
                number, visit["end"], self._began(visit), steps, visit["end"] in members, visit.get("query", "")
            )

    def form(self) -> Visit:
        """The visit at the motor show, which ends with the form."""
        form = self._told["form"]
        submitted = form["submit"] | {
            "name": self.li["name"],
            "phone": self.li["phone"],
            "consent": {"purposes": ["sales_contact"], "text_version": "2026-01", "at": rfc3339(self._now)},
        }
        launch, *others = form["steps"]
        launch = launch | {f"$utm_{name}": value for name, value in _utm(form["campaign"])}
        began = self._now - 60_000 * int(form["minutes_ago"])
        return Visit(len(self._told["visits"]), form["end"], began, (launch, *others, submitted), member=True)

    def _began(self, visit: Mapping[str, Any]) -> Millis:
        today = datetime.fromtimestamp(self._now / 1000, self._zone)
        hour, minute = map(int, visit["at"].split(":"))
        day = today - timedelta(days=visit["days_ago"])
        return int(day.replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp() * 1000)

    def request(self, visit: Visit, key: str) -> httpx.Request:
        """The hit in which the SDK of that end delivers a visit; path only, the collector's address is the sender's."""
        return self._segment(visit, key) if visit.end == "site" else self._sensors(visit, key)

    def _segment(self, visit: Visit, key: str) -> httpx.Request:
        batch = [self._call(visit, index, step) for index, step in enumerate(visit.steps)]
        credentials = base64.b64encode(f"{key}:".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "User-Agent": _BROWSER}
        return httpx.Request(
            "POST", "http://collector/v1/batch", headers=headers, json={"batch": batch, "sentAt": rfc3339(now_ms())}
        )

    def _call(self, visit: Visit, index: int, step: Step) -> dict[str, Any]:
        path = step.get("path", visit.steps[0]["path"])
        url = self._told["site"]["url"] + path + (visit.query if index == 0 else "")
        call: dict[str, Any] = {
            "messageId": f"demo-{visit.number}-{index}",
            "anonymousId": self.li["anonymous_id"],
            "timestamp": rfc3339(visit.at(step)),
            "context": {
                "library": {"name": "analytics.js", "version": "2.11.1"},
                "page": {"url": url, "path": path, "title": step.get("title", "")},
                "locale": "zh-CN",
                "userAgent": _BROWSER,
            },
        }
        if visit.member and self._signed_in(visit, index):
            call["userId"] = self.li["member_id"]
        if step.get("login"):
            return call | {"type": "identify", "traits": {"city": self.li["city"], "member_level": "探索会员"}}
        if "event" in step:
            return call | {"type": "track", "event": step["event"], "properties": _properties(step)}
        return call | {"type": "page"}

    def _sensors(self, visit: Visit, key: str) -> httpx.Request:
        records = [self._record(visit, index, step) for index, step in enumerate(visit.steps)]
        packed = base64.b64encode(gzip.compress(json.dumps(records, ensure_ascii=False).encode())).decode()
        query = urlencode({"project": key})
        headers = {"User-Agent": _WECHAT}
        return httpx.Request(
            "POST", f"http://collector/sa?{query}", headers=headers, data={"data_list": packed, "gzip": "1"}
        )

    def _record(self, visit: Visit, index: int, step: Step) -> dict[str, Any]:
        li = self.li
        identities = {
            "$identity_mp_id": li["mp_id"],
            f"$identity_mp_{li['appid']}_openid": li["openid"],
            "$identity_mp_unionid": li["unionid"],
        }
        record: dict[str, Any] = {
            "type": "track",
            "event": _sensors_name(step),
            "time": visit.at(step),
            "distinct_id": li["mp_id"],
            "anonymous_id": li["mp_id"],
            "lib": _LIB,
            "properties": _LIB | {"$os": "iOS", "$model": "iPhone 15", "$app_id": li["appid"]} | _preset(step),
            "_track_id": 100_000 * visit.number + index,
            "_flush_time": now_ms(),
        }
        if visit.member and self._signed_in(visit, index):
            identities["$identity_login_id"] = li["member_id"]
            record |= {"login_id": li["member_id"], "distinct_id": li["member_id"]}
        if step.get("login"):
            record |= {"type": "track_signup", "original_id": li["mp_id"]}
        return record | {"identities": identities}

    def _signed_in(self, visit: Visit, index: int) -> bool:
        """From the login on; all of a visit that has none."""
        logins = [place for place, step in enumerate(visit.steps) if step.get("login")]
        return not logins or index >= logins[0]


def _utm(campaign: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in campaign.items():
        yield {"name": "campaign"}.get(name, name), value


def _properties(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step.items() if name not in ("after", "event", "path", "launch", "login")}


def _sensors_name(step: Step) -> str:
    if step.get("login"):
        return "$SignUp"
    if "launch" in step:
        return "$MPLaunch"
    return str(step.get("event", "$MPViewScreen"))


def _preset(step: Step) -> dict[str, Any]:
    own = _properties(step)
    if "launch" in step:
        return own | {"$scene": step["launch"]}
    if "path" in step:
        return {"$url_path": step["path"], "$title": own.pop("title")} | own
    return own


def is_empty(client: Client) -> bool:
    """Whether nobody has sent anything or made a source, so that the demo may be played."""
    accepted = sum(part["accepted"] for part in client.get("/accounting")["partitions"])
    return not accepted and not client.all("/sources", "sources")


def newest_lead(client: Client) -> dict[str, Any] | None:
    """The newest lead with its trail, None where there is none."""
    found = client.get("/leads", limit=1)["leads"]
    return client.get(f"/leads/{found[0]['id']}") if found else None


def play(client: Client, collectors: str, *, zone: tzinfo) -> dict[str, Any]:
    """Send the journey to the collectors at this URL; the lead that it ends in. Raises DemoFailed."""
    journey = Journey(now=now_ms(), zone=zone)
    keys = {end: str(client.post("/sources", source)["key"]) for end, source in journey.sources().items()}
    with httpx.Client(base_url=collectors, timeout=PATIENCE_S) as sender:
        for visit in journey.visits():
            _send(sender, journey.request(visit, keys[visit.end]))
        # In life weeks lie between the visits and the form; here the pipeline gets the moment it needs.
        _until(lambda: _processed(client), "the visits were not processed")
        form = journey.form()
        _send(sender, journey.request(form, keys[form.end]))
    return _until(lambda: newest_lead(client), "no lead was captured; does XUNJI_CAPTURE_EVENTS name lead_submitted?")


def _send(sender: httpx.Client, request: httpx.Request) -> None:
    target = request.url.raw_path.decode()
    headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
    try:
        answer = sender.request(request.method, target, headers=headers, content=request.read())
    except httpx.TransportError as error:
        raise DemoFailed(f"The demo stopped: the collector does not answer ({error}).") from error
    if answer.status_code != 200:
        raise DemoFailed(
            f"The demo stopped: the collector answered {answer.status_code} to {target.partition('?')[0]}."
        )


def _processed(client: Client) -> bool:
    return all(part["pending"] == 0 for part in client.get("/accounting")["partitions"])


def _until(found: Callable[[], T | None], otherwise: str) -> T:
    end = time.monotonic() + PATIENCE_S
    while not (value := found()):
        if time.monotonic() > end:
            raise DemoFailed(f"The demo stopped: {otherwise} (waited {PATIENCE_S:.0f} s).")
        time.sleep(POLL_S)
    return value
