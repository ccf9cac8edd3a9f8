"""Registering senders."""

from __future__ import annotations

import json
import os
import threading

import httpx
import pytest

from api import shapes
from cdp.wiring import System
from collectors.sources import announce
from tests.api.conftest import problem, shaped


def test_a_new_source_answers_with_its_key_and_once_with_its_secret(admin: httpx.Client) -> None:
    made = admin.post("/api/v1/sources", json={"name": "new shop", "kind": "site", "key": "wk-new"})
    assert made.status_code == 201
    body = shaped(made.json(), shapes.MadeSource)
    secret = body.pop("secret")
    assert len(secret) == 64
    assert body == {
        "id": "new shop",
        "name": "new shop",
        "kind": "site",
        "keys": ["wk-new"],
        "key": "wk-new",
        "trust": "public",
        "origins": [],
        "enabled": True,
        "rate_limit": 0,
        "client_limit": 60,
        "appid": "",
    }
    assert admin.get("/api/v1/sources/new%20shop").json() == body
    assert secret not in admin.get("/api/v1/sources").text


def test_a_secret_that_a_platform_issued_is_taken_and_never_shown(admin: httpx.Client, system: System) -> None:
    admin.post("/api/v1/sources", json={"name": "ocean", "kind": "ads", "key": "ocean-key"})
    changed = admin.patch("/api/v1/sources/ocean", json={"secret": "issued-elsewhere"})
    assert changed.status_code == 200
    source = system.sources.by_key("ocean-key")
    assert source is not None
    assert source.secret == "issued-elsewhere"
    assert "issued-elsewhere" not in changed.text + admin.get("/api/v1/sources/ocean").text
    refused = problem(admin.patch("/api/v1/sources/ocean", json={"secret": "sp ace here"}), 422)
    assert "sp ace" not in json.dumps(refused)


def test_the_key_of_a_new_source_is_known_at_once(admin: httpx.Client, system: System) -> None:
    made = admin.post("/api/v1/sources", json={"name": "crm", "kind": "server", "rate_limit": 5, "origins": ["a.cn"]})
    source = system.sources.by_key(made.json()["key"])
    assert source is not None
    assert (source.id, source.trust, source.rate_limit, source.origins) == ("crm", "server", 5, ("a.cn",))


def test_it_answers_only_when_every_living_collector_knows_the_source(admin: httpx.Client, system: System) -> None:
    announce(system.run_folder, 0, system.book.version())
    version = system.book.version() + 1
    late = threading.Timer(0.3, lambda: announce(system.run_folder, 0, version))
    late.start()
    assert admin.post("/api/v1/sources", json={"name": "waited for", "kind": "site"}).status_code == 201
    said = json.loads((system.run_folder / "collector-0.json").read_text())
    assert said == {"pid": os.getpid(), "version": version}
    late.join()
    (system.run_folder / "collector-0.json").unlink()


def test_a_change_replaces_what_is_given_and_leaves_the_rest(admin: httpx.Client, system: System) -> None:
    before = admin.post("/api/v1/sources", json={"name": "changing", "kind": "app", "key": "old"}).json()
    change = {"keys": ["new", "old"], "enabled": False, "origins": ["b.cn"], "rate_limit": 9, "appid": "wx1"}
    after = admin.patch("/api/v1/sources/changing", json=change)
    before.pop("secret")
    assert after.json() == before | change | {"key": "new"}
    assert system.sources.by_key("old") is None
    assert admin.patch("/api/v1/sources/changing", json={"enabled": True}).json() == before | change | {
        "key": "new",
        "enabled": True,
    }
    assert system.sources.by_key("old") is not None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "taken", "kind": "site"}, 409),
        ({"name": "another", "kind": "site", "key": "taken-key"}, 409),
        ({"name": "another", "kind": "site", "key": ""}, 422),
        ({"name": "another", "kind": "site", "key": "x" * 129}, 422),
        ({"name": "another", "kind": "site", "key": "钥匙"}, 422),
        ({"name": "", "kind": "site"}, 422),
        ({"name": "another", "kind": "toaster"}, 422),
    ],
)
def test_what_cannot_be_a_source_is_refused(admin: httpx.Client, body: dict[str, str], status: int) -> None:
    admin.post("/api/v1/sources", json={"name": "taken", "kind": "site", "key": "taken-key"})
    problem(admin.post("/api/v1/sources", json=body), status)


def test_a_source_that_is_not_there_cannot_be_changed(admin: httpx.Client) -> None:
    problem(admin.patch("/api/v1/sources/nobody", json={"enabled": True}), 404)
    problem(admin.get("/api/v1/sources/nobody"), 404)


def test_the_list_is_by_name_and_pages_neither_skip_nor_repeat(admin: httpx.Client) -> None:
    for name in ("p3", "p1", "p2"):
        admin.post("/api/v1/sources", json={"name": name, "kind": "site"})
    whole = shaped(admin.get("/api/v1/sources?limit=1000").json(), shapes.Sources)
    found, cursor = [], ""
    while cursor is not None:
        page = admin.get("/api/v1/sources", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += page["sources"]
        cursor = page["next"]
    assert found == whole["sources"]
    assert [each["name"] for each in found] == sorted(each["name"] for each in found)


@pytest.mark.parametrize(
    "body", ['{"name": "\\ud800", "kind": "site"}', '"\\ud800"', '{"\\ud800": 1, "name": "a", "kind": "site"}']
)
def test_text_that_utf_8_cannot_hold_is_refused_and_shown_as_it_came(admin: httpx.Client, body: str) -> None:
    answer = admin.post("/api/v1/sources", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 422)
    assert "\\\\ud800" in answer.text or answer.json()["errors"][0]["path"] == ""
