"""Nothing is left of a person who was erased, nothing comes back, and everybody else is as if she had never been."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.app import create_app
from cdp.api_client import IN_PROCESS, ApiClient, Declined, client_of
from cdp.audit import audit_rows
from cdp.model import Identifier, Position
from cdp.moments import now_ms, rfc3339
from cdp.records import reading
from cdp.settings import Settings
from cdp.vault import vault_rows
from cdp.wiring import System, open_system
from tests.cdp.intake import Intake
from tests.cdp.planted import (
    COOKIE,
    HER,
    MEMBER,
    PHONE,
    START,
    TABLET,
    her_events,
    her_lead,
    in_answers,
    in_files,
    others_events,
    told_of_others,
)

ADMIN_KEY = "the-admin-key-of-tests"
SECRET = base64.b64encode(bytes(32)).decode()
"""The same for two systems, so that they give the same tokens."""


class Stage:
    """A system in a folder of its own, with the writing end of its log and its API."""

    def __init__(self, system: System, intake: Intake, client: ApiClient) -> None:
        self.system, self.intake, self.client = system, intake, client
        self.hits: list[str] = []

    @property
    def folder(self) -> Path:
        return self.system.settings.data

    def take(self, *events: dict[str, Any], received_at: int = START) -> list[Position]:
        positions = self.intake.take("site", *events, received_at=received_at)
        self.hits += [each.hit_id for each in positions]
        return positions

    def play(self, *, with_her: bool) -> None:
        """What happened: the others before her and after her, and copies of some of it."""
        self.intake.source("site")
        others = others_events()
        self.take(*others[:6])
        if with_her:
            self.take(*her_events())
            self.take(*her_events()[:2])
        self.take(*others[6:], others[0])
        if with_her:
            self.client.post("/leads", her_lead())

    def person(self, value: str = PHONE, kind: str = "phone") -> str:
        return str(self.client.post("/persons/lookup", {"kind": kind, "value": value})["id"])

    def erase(self, value: str = PHONE, kind: str = "phone", reason: str = "asked for") -> dict[str, Any]:
        """Erase and give the receipt."""
        job = self.client.post(f"/persons/{self.person(value, kind)}/erase", {"reason": reason})
        self.system.eraser.drain()
        receipt: dict[str, Any] = self.client.get(f"/persons/erasures/{job['id']}")["receipt"]
        return receipt

    def tokens(self) -> set[str]:
        with reading(self.system.records) as connection:
            return set(connection.execute(select(vault_rows.c.token)).scalars())


@contextmanager
def a_stage(folder: Path, **settings: str) -> Iterator[Stage]:
    system = open_system(Settings(data_dir=folder, admin_key=ADMIN_KEY, secret=SECRET, **settings))
    intake = Intake(system)
    try:
        with client_of(IN_PROCESS, ADMIN_KEY, transport=httpx.ASGITransport(create_app(system))) as client:
            yield Stage(system, intake, client)
    finally:
        intake.close()
        system.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with a_stage(tmp_path / "data") as made:
        yield made


def test_nothing_is_left_of_her_and_nothing_comes_back(stage: Stage) -> None:
    stage.play(with_her=True)
    assert set(in_answers(stage.client, stage.hits, HER.values())) == set(HER.values())
    person = stage.person()
    receipt = stage.erase()
    assert {name: receipt[name] for name in ("identifiers", "events", "traits", "leads", "hits", "hits_of_others")} == {
        "identifiers": {"anonymous_id": 2, "email": 1, "member_id": 1, "phone": 1, "wx_openid": 1},
        "events": 6,
        "traits": 4,
        "leads": 2,
        "hits": 8,
        "hits_of_others": 0,
    }
    assert {each["store"] for each in receipt["stores"] if each["overwritten"]} == {"log", "events", "graph", "records"}
    assert_gone(stage, person)

    # Late copies, the same once more under new names, and every kept hit translated again.
    stage.take(*her_events(), received_at=now_ms())
    stage.take(*her_events(name="sent again"), received_at=now_ms())
    stage.system.eraser.drain()
    for _ in range(2):
        stage.system.replays.request(0)
        stage.system.replaying.drain()
        stage.system.eraser.drain()
    assert_gone(stage, person)
    account = stage.client.get("/accounting")
    assert account["balanced"]
    assert sum(row["events"]["dropped"].get("ERASED", 0) for row in account["rows"]) == 12


def assert_gone(stage: Stage, person: str) -> None:
    # A VIN that another person wrote too is still that person's.
    hers = [value for name, value in HER.items() if name != "VIN"]
    assert in_answers(stage.client, stage.hits, hers) == []
    assert in_files(stage.folder, HER.values()) == []
    for value, kind in ((PHONE, "phone"), (MEMBER, "member_id"), (COOKIE, "anonymous_id")):
        with pytest.raises(Declined, match="no person"):
            stage.person(value, kind)
    for part in ("", "/trail", "/leads", "/history", "/export"):
        with pytest.raises(Declined, match="no person"):
            stage.client.get(f"/persons/{person}{part}")
    vault = stage.system.vault
    phones = {vault.token("phone", f"+86{each}") for each in (PHONE, HER["another phone"])}
    names = {vault.token("name", HER["name"]), vault.token("email", HER["e-mail"])}
    assert stage.tokens().isdisjoint(phones | names)
    assert vault.token("vin", HER["VIN"]) in stage.tokens()


def test_all_others_are_as_if_she_had_never_been(tmp_path: Path) -> None:
    with a_stage(tmp_path / "with") as stage:
        stage.play(with_her=True)
        before = told_of_others(stage.client)
        stage.erase()
        after = told_of_others(stage.client)
    with a_stage(tmp_path / "without") as stage:
        stage.play(with_her=False)
        never = told_of_others(stage.client)
    assert after == never
    # It was her evidence that kept the tablet from being somebody's.
    assert before != never


def test_what_she_does_afterwards_is_a_new_acquaintance(stage: Stage) -> None:
    stage.play(with_her=True)
    stage.erase()
    stage.take(*her_events(start=now_ms(), name="new")[:4], received_at=now_ms())
    person = stage.person()
    assert len(stage.client.get(f"/persons/{person}/trail")["events"]) == 4
    assert stage.client.get(f"/persons/{person}")["traits"]["name"]["value"] == HER["name"]
    again = stage.erase()
    assert (again["events"], again["leads"], again["hits"]) == (4, 0, 4)
    assert in_files(stage.folder, HER.values()) == []


def test_an_enquiry_that_is_sent_again_finds_the_shell_and_is_not_taken(stage: Stage) -> None:
    stage.play(with_her=True)
    leads = {lead["id"]: lead for lead in stage.client.all("/leads", "leads")}
    stage.erase()
    again = stage.client.post("/leads", her_lead())
    assert (again["erased"], again["contact"], again["trail"]["events"], again["person"]) == (True, {}, [], None)
    now = {lead["id"]: lead for lead in stage.client.all("/leads", "leads")}
    kept = ("id", "source", "stage", "created_at")
    assert [[each[name] for name in kept] for each in now.values()] == [
        [each[name] for name in kept] for each in leads.values()
    ]
    assert sum(each["erased"] for each in now.values()) == 2
    assert PHONE not in json.dumps(again)


def test_a_phone_that_was_sold_again_is_forgotten_only_in_her_time(stage: Stage) -> None:
    day = 86_400_000
    stage.intake.source("shop", trust="server")

    def logs_in(member: str, at: int, name: str) -> dict[str, Any]:
        return {
            "type": "identify",
            "userId": member,
            "messageId": name,
            "timestamp": rfc3339(at),
            "traits": {"phone": PHONE},
        }

    first, then = START - 400 * day, START
    stage.intake.take("shop", logs_in(MEMBER, first, "one"), logs_in("next-owner", then, "two"), received_at=START)
    receipt = stage.erase(MEMBER, "member_id")
    assert receipt["identifiers"] == {"member_id": 1}
    stage.intake.take("shop", logs_in(MEMBER, first, "three"), received_at=now_ms())
    stage.intake.take("shop", logs_in("next-owner", then + day, "four"), received_at=now_ms())
    owner = stage.person()
    assert owner == stage.person("next-owner", "member_id")
    assert len(stage.client.get(f"/persons/{owner}/trail")["events"]) == 2


def test_an_answer_that_is_kept_for_a_repeat_goes_too(stage: Stage) -> None:
    from api.kept import Kept, OnceBook

    stage.play(with_her=True)
    book = OnceBook(stage.system.records, stage.system.settings.secret_bytes)
    lead = next(each["id"] for each in stage.client.all("/leads", "leads") if each["source"] == "dealer")
    book.keep("dealer", "key-1", Kept(b"asked", 201, json.dumps({"id": lead, "name": HER["name"]}).encode()))
    book.keep("dealer", "key-2", Kept(b"asked", 201, b'{"id": "ld_of_somebody_else"}'))
    stage.erase()
    assert book.find("dealer", "key-1") is None
    assert book.find("dealer", "key-2") is not None


def test_asking_twice_is_one_job_and_each_leaves_its_mark_in_the_audit(stage: Stage) -> None:
    stage.play(with_her=True)
    person = stage.person()
    stage.client.get(f"/persons/{person}/export")
    one, two = (stage.client.post(f"/persons/{person}/erase", {"reason": f"by {PHONE}"}) for _ in range(2))
    assert one == two
    assert (one["state"], one["receipt"]) == ("waiting", None)
    assert PHONE not in one["reason"]
    stage.system.eraser.drain()
    with reading(stage.system.records) as connection:
        done = select(audit_rows.c.action, audit_rows.c.subject).where(audit_rows.c.action != "show")
        assert [tuple(row) for row in connection.execute(done)] == [("export", person), ("erase", person)]


def test_an_export_has_all_that_is_known_of_her(stage: Stage) -> None:
    stage.play(with_her=True)
    told = stage.client.get(f"/persons/{stage.person()}/export")
    assert list(told) == ["person", "events", "leads", "history", "observations"]
    text = json.dumps(told, ensure_ascii=False)
    assert [name for name, value in HER.items() if value not in text] == []
    assert len(told["events"]) == 6
    assert [each["occurred_at"] for each in told["events"]] == sorted(each["occurred_at"] for each in told["events"])
    assert told["observations"]


def test_whoever_was_taken_for_her_loses_her_events_from_the_trail_of_the_lead(stage: Stage) -> None:
    stage.intake.source("site")
    seen = her_events()[1] | {"anonymousId": "borrowed"}
    stage.take(seen)
    form = {"phone": "13900005555", "name": "借用"}
    lead = her_events()[5] | {"anonymousId": "borrowed", "messageId": "form", "properties": form}
    stage.take(lead)
    [lead] = stage.client.all("/leads", "leads")
    assert len(stage.client.get(f"/leads/{lead['id']}")["trail"]["events"]) == 2
    # Somebody splits them: what was seen was hers.
    observations = stage.system.identity.graph.every_observation()
    stage.system.identity.retract({each.id: "mistaken" for each in list(observations)})
    stage.take(her_events()[2] | {"anonymousId": "borrowed"})
    receipt = stage.erase(MEMBER, "member_id")
    assert receipt["trails_of_others"] == 1
    [left] = stage.client.get(f"/leads/{lead['id']}")["trail"]["events"] or [None]
    assert left is None or left["name"] == "lead_submitted"
    assert HER["free text"] not in json.dumps(stage.client.get(f"/leads/{lead['id']}"))


def test_tombstones_are_asked_by_identifiers_as_they_are_stored(stage: Stage) -> None:
    stage.play(with_her=True)
    stage.erase()
    tombstones = stage.system.worker._tools.tombstones
    assert tombstones.of([Identifier("member_id", MEMBER)], 0)  # type: ignore[arg-type]
    assert tombstones.of([Identifier("phone", stage.system.vault.token("phone", f"+86{PHONE}"))], 0)  # type: ignore[arg-type]
    assert not tombstones.of([Identifier("member_id", "other-member-1")], 0)  # type: ignore[arg-type]


def test_on_a_shared_tablet_only_what_happened_in_her_session_goes(stage: Stage) -> None:
    hour = 3_600_000
    stage.intake.source("site")

    def on_the_tablet(name: str, at: int, **more: Any) -> dict[str, Any]:
        device = {"context": {"device": {"id": TABLET}}}
        return {"type": "track", "event": name, "messageId": name, "timestamp": rfc3339(at)} | device | more

    hers = [
        on_the_tablet("her login", START, type="identify", userId=MEMBER),
        on_the_tablet("her look", START + 60_000),
    ]
    his = [
        on_the_tablet("his login", START + hour, type="identify", userId="other-member-0"),
        on_the_tablet("his look", START + hour + 60_000),
        on_the_tablet("nobody's look", START + 5 * hour),
    ]
    stage.take(*hers, *his, received_at=START + 10 * hour)
    receipt = stage.erase(MEMBER, "member_id")
    assert (receipt["identifiers"], receipt["events"], receipt["hits"]) == ({"member_id": 1}, 2, 2)
    for _ in range(2):
        stage.take(*hers, received_at=now_ms())
        stage.take(*(each | {"messageId": "again " + each["messageId"]} for each in hers), received_at=now_ms())
        stage.system.replays.request(0)
        stage.system.replaying.drain()
        stage.system.eraser.drain()
    left = {event["original_name"] or event["name"] for event in stage.client.all("/events", "events")}
    assert not {"her login", "her look"} & left
    assert {"his look", "nobody's look"} <= left
    assert stage.client.get("/accounting")["balanced"]
