"""A person whose every value can be recognised, among others, and where to look for what is left of her."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cdp.api_client import ApiClient
from cdp.moments import rfc3339
from tests.files import contents

START = 1_790_000_000_000
"""When the first of it happened; each event a minute after the one before."""

PHONE, COOKIE, MEMBER = "13755550199", "cookie-planted-7731", "MEMBER-PLANTED-7731"
TABLET = "tablet-of-the-showroom"
HER = {
    "phone": PHONE,
    "e-mail": "planted.person@example.com",
    "member id": MEMBER,
    "openid": "oPlantedOpenid77",
    "cookie": COOKIE,
    "another cookie": "cookie-planted-8842",
    "name": "植小苗",
    "free text": "planted-free-text-9911",
    "note": "planted-note-of-the-lead",
    "title": "planted-title-5512",
    "another phone": "13755550177",
    "VIN": "LSVAA49J132047371",
    "lead's id at its sender": "planted-external-77",
    "WeChat number": "wx-planted-person",
}
"""What must not be found anywhere when she is erased, in clear."""

Event = dict[str, Any]


def _timed(events: Iterable[Event], name: str, *, start: int) -> list[Event]:
    timed = []
    for n, event in enumerate(events):
        timed.append(event | {"messageId": f"{name}-{n}", "timestamp": rfc3339(start + n * 60_000)})
    return timed


def her_events(*, start: int = START, name: str = "her") -> list[Event]:
    """What she did on the site; each call gives the very same."""
    text = {"text": HER["free text"], "call": HER["another phone"], "car": HER["VIN"]}
    form = {"phone": PHONE, "name": HER["name"], "note": HER["note"]}
    traits = {"phone": PHONE, "email": HER["e-mail"], "name": HER["name"]}
    return _timed(
        [
            {"type": "page", "name": HER["title"], "anonymousId": COOKIE, "properties": {"title": HER["title"]}},
            {"type": "track", "event": "seat_viewed", "anonymousId": COOKIE, "properties": text},
            {"type": "identify", "anonymousId": COOKIE, "userId": MEMBER, "traits": traits},
            {"type": "track", "event": "video_played", "userId": MEMBER, "properties": {"times": 3}},
            {"type": "identify", "anonymousId": TABLET, "userId": MEMBER, "traits": {"visits": 1}},
            {"type": "track", "event": "lead_submitted", "anonymousId": HER["another cookie"], "properties": form},
        ],
        name,
        start=start,
    )


def others_events() -> list[Event]:
    """What four others did, one of whom used the tablet that she used too."""
    events: list[Event] = []
    for n in range(4):
        member, cookie = f"other-member-{n}", TABLET if n == 0 else f"other-cookie-{n}"
        phone, name = f"1390000{n:04d}", f"王{n}"
        form = {"phone": phone, "name": name, "remark": f"call {HER['VIN'] if n == 3 else phone}"}
        events += [
            {"type": "page", "name": "seats", "anonymousId": cookie, "userId": member},
            {"type": "identify", "anonymousId": cookie, "userId": member, "traits": {"phone": phone, "name": name}},
            {"type": "track", "event": "lead_submitted", "userId": member, "properties": form},
        ]
    return _timed(events, "other", start=START)


def her_lead() -> dict[str, Any]:
    """An enquiry that she left with a dealer."""
    return {
        "source": "dealer",
        "external_id": HER["lead's id at its sender"],
        "contact": {"name": HER["name"], "phone": PHONE, "wechat": HER["WeChat number"]},
        "identifiers": [{"kind": "wx_openid", "value": f"wxapp/{HER['openid']}"}],
        "interest": {"series": "X9", "note": HER["note"]},
        "consent": {"purposes": ["sales_contact"], "text_version": "1", "at": "2026-01-01T00:00:00Z"},
    }


def in_files(folder: Path, values: Iterable[str]) -> list[tuple[str, str]]:
    """Each file in which a value stands, every byte of every file looked at."""
    wanted = list(_as_bytes(values))
    found = []
    for path, content in contents(folder).items():
        found += [(value, path.relative_to(folder).as_posix()) for value, some in wanted if some in content]
    return found


def _as_bytes(values: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for value in values:
        yield value, value.encode()
        if not value.isascii():
            yield value, value.encode("unicode_escape")


def in_answers(client: ApiClient, hits: Iterable[str], values: Iterable[str]) -> list[str]:
    """The values that stand in any answer of the API that tells of anybody."""
    told = json.dumps(_all_answers(client, hits), ensure_ascii=False)
    return [value for value in values if value in told]


def _all_answers(client: ApiClient, hits: Iterable[str]) -> list[Any]:
    events = client.all("/events", "events")
    leads = client.all("/leads", "leads")
    answers = [events, leads, client.get("/accounting"), client.get("/sources")]
    answers += [client.get(f"/hits/{hit}") for hit in hits]
    answers += [client.get(f"/events/{event['id']}") for event in events]
    answers += [client.get(f"/leads/{lead['id']}") for lead in leads]
    for person in {lead["person"] for lead in leads if lead["person"]}:
        parts = ("", "/trail", "/leads", "/history", "/export")
        answers += [client.get(f"/persons/{person}{part}") for part in parts]
    return answers


MOMENTARY = frozenset(
    {"history", "hit", "received_at", "created_at", "frozen_at", "graph_version", "version", "waited_ms", "score"}
)
"""Fields that tell when or where something came in, which is never the same twice; and what has happened to persons
meanwhile, which goes on being true without any value in it."""


def told_of_others(client: ApiClient) -> list[Any]:
    """What the API tells of each other person, without what is never the same twice."""
    told = []
    for n in range(4):
        who = client.post("/persons/lookup", {"kind": "member_id", "value": f"other-member-{n}"})
        parts = ("", "/trail", "/leads", "/history", "/export")
        answers = [client.get(f"/persons/{who['id']}{part}") for part in parts]
        leads = [client.get(f"/leads/{lead['id']}") for lead in answers[2]["leads"]]
        told.append(_lasting([*answers, leads]))
    return told


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in MOMENTARY}
    return [_lasting(each) for each in value] if isinstance(value, list) else value
