"""Who is let in, and what they read when they are not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.errors import problem_of
from api.gate import PREFIX, May
from api.keys import KeyBook
from api.permissions import GRANTS, Permission, Role
from cdp import errors
from cdp.errors import ConfigurationError, Rejected, Retryable, Superseded, XunjiError
from cdp.wiring import System
from tests.api.conftest import ClientOf, problem

CALLS = {
    ("POST", "/sources"): Permission.MANAGE_SOURCES,
    ("GET", "/sources"): Permission.READ_SOURCES,
    ("GET", "/sources/x"): Permission.READ_SOURCES,
    ("PATCH", "/sources/x"): Permission.MANAGE_SOURCES,
    ("GET", "/accounting"): Permission.READ_ACCOUNTING,
    ("GET", "/hits/0-0"): Permission.READ_HITS,
    ("GET", "/events"): Permission.READ_EVENTS,
    ("GET", "/events/live"): Permission.READ_EVENTS,
    ("GET", "/events/x"): Permission.READ_EVENTS,
    ("POST", "/persons/lookup"): Permission.READ_PERSONS,
    ("GET", "/persons/x"): Permission.READ_PERSONS,
    ("GET", "/persons/x/trail"): Permission.READ_PERSONS,
    ("GET", "/persons/x/leads"): Permission.READ_LEADS,
    ("GET", "/persons/x/history"): Permission.READ_PERSONS,
    ("GET", "/persons/x/export"): Permission.EXPORT_PERSONS,
    ("POST", "/persons/x/erase"): Permission.ERASE_PERSONS,
    ("GET", "/persons/erasures/x"): Permission.ERASE_PERSONS,
    ("POST", "/identity/explain"): Permission.READ_PERSONS,
    ("GET", "/identity/policy"): Permission.READ_PERSONS,
    ("POST", "/identity/what-if"): Permission.DECIDE_IDENTITY,
    ("POST", "/identity/rebuild"): Permission.REBUILD_IDENTITY,
    ("POST", "/identity/decisions"): Permission.DECIDE_IDENTITY,
    ("GET", "/identity/decisions"): Permission.READ_PERSONS,
    ("DELETE", "/identity/decisions/x"): Permission.DECIDE_IDENTITY,
    ("POST", "/identity/retractions"): Permission.DECIDE_IDENTITY,
    ("GET", "/identity/reviews"): Permission.READ_PERSONS,
    ("POST", "/identity/reviews/x"): Permission.DECIDE_IDENTITY,
    ("POST", "/leads"): Permission.WRITE_LEADS,
    ("GET", "/leads"): Permission.READ_LEADS,
    ("GET", "/leads/x"): Permission.READ_LEADS,
    ("POST", "/leads/lookup"): Permission.READ_LEADS,
    ("POST", "/segments/check"): Permission.READ_SEGMENTS,
    ("POST", "/segments/preview"): Permission.READ_SEGMENTS,
    ("POST", "/segments/overlap"): Permission.READ_SEGMENTS,
    ("GET", "/segments/templates"): Permission.READ_SEGMENTS,
    ("GET", "/segments/schema"): Permission.READ_SEGMENTS,
    ("POST", "/segments"): Permission.MANAGE_SEGMENTS,
    ("GET", "/segments"): Permission.READ_SEGMENTS,
    ("GET", "/segments/x"): Permission.READ_SEGMENTS,
    ("PATCH", "/segments/x"): Permission.MANAGE_SEGMENTS,
    ("DELETE", "/segments/x"): Permission.MANAGE_SEGMENTS,
    ("GET", "/segments/x/members"): Permission.READ_SEGMENTS,
    ("GET", "/segments/x/changes"): Permission.READ_SEGMENTS,
    ("GET", "/segments/x/explain"): Permission.READ_SEGMENTS,
    ("GET", "/segments/x/export"): Permission.READ_SEGMENTS,
    ("POST", "/qr"): Permission.DRAW_CODES,
    ("POST", "/log/replays"): Permission.REPLAY,
    ("GET", "/log/replays/x"): Permission.REPLAY,
    ("POST", "/imports"): Permission.IMPORT,
    ("GET", "/imports"): Permission.IMPORT,
    ("GET", "/imports/x"): Permission.IMPORT,
    ("POST", "/imports/x/confirm"): Permission.IMPORT,
    ("POST", "/imports/x/cancel"): Permission.IMPORT,
    ("POST", "/imports/x/undo"): Permission.IMPORT,
    ("GET", "/imports/x/report"): Permission.IMPORT,
    ("POST", "/keys"): Permission.MANAGE_KEYS,
    ("GET", "/keys"): Permission.MANAGE_KEYS,
    ("DELETE", "/keys/x"): Permission.MANAGE_KEYS,
}


def routes_of(app: FastAPI) -> list[APIRoute]:
    found = []
    for route in app.routes:
        inner = getattr(route, "original_router", None)
        found += inner.routes if inner is not None else [route]
    return [route for route in found if isinstance(route, APIRoute) and route.path.startswith(PREFIX)]


def permissions_of(route: APIRoute) -> list[Permission]:
    return [each.call.permission for each in route.dependant.dependencies if isinstance(each.call, May)]


def test_every_call_asks_for_one_permission(app: FastAPI) -> None:
    asked = {
        (method, route.path): permissions_of(route)
        for route in routes_of(app)
        for method in route.methods
        if route.include_in_schema
    }
    assert len(asked) == len(CALLS)
    assert all(len(permissions) == 1 for permissions in asked.values())
    assert sorted(each for [each] in asked.values()) == sorted(CALLS.values())


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_the_table_grants_and_nothing_else(client_of: ClientOf, role: Role) -> None:
    client = client_of(role)
    for (method, path), permission in CALLS.items():
        if path == "/events/live" and permission in GRANTS[role]:
            continue
        answer = client.request(method, PREFIX + path, json={} if method in ("POST", "PATCH") else None)
        assert (answer.status_code == 403) == (permission not in GRANTS[role]), (method, path)
        if answer.status_code == 403:
            assert permission.value in problem(answer, 403)["detail"]


def test_only_those_who_care_for_data_or_answer_for_privacy_decide_who_is_who() -> None:
    deciding = {role for role in Role if Permission.DECIDE_IDENTITY in GRANTS[role]}
    assert deciding == {Role.ADMIN, Role.DATA, Role.PRIVACY}
    assert [role for role in Role if Permission.REBUILD_IDENTITY in GRANTS[role]] == [Role.ADMIN]


def test_only_those_who_call_people_or_guard_privacy_see_clear_values() -> None:
    seeing = {role for role in Role if Permission.SEE_CLEAR in GRANTS[role]}
    assert seeing == {Role.ADMIN, Role.SALES, Role.PRIVACY}


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic dXNlcjpwdw==", "Bearer \xff"])
def test_without_a_valid_key_nothing_is_answered(
    nobody: httpx.Client, header: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever guesses waits, at each call.
    monkeypatch.setattr("api.keys.LOOK_S", 0)
    for method, path in CALLS:
        headers = {} if header is None else {"Authorization": header.encode("latin-1")}
        answer = nobody.request(method, PREFIX + path, headers=headers)
        assert "cdp key create" in problem(answer, 401)["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_opens_until_it_is_revoked(nobody: httpx.Client, admin: httpx.Client) -> None:
    made = admin.post("/api/v1/keys", json={"name": "temporary", "role": "tester"}).json()
    headers = {"Authorization": f"bearer {made['key']}"}
    assert nobody.get("/api/v1/events", headers=headers).status_code == 200
    assert admin.delete("/api/v1/keys/temporary").json()["revoked_at"] is not None
    problem(nobody.get("/api/v1/events", headers=headers), 401)


def test_the_key_itself_is_nowhere_but_in_the_first_answer(admin: httpx.Client) -> None:
    made = admin.post("/api/v1/keys", json={"name": "shown once", "role": "sales"})
    assert made.status_code == 201
    assert set(made.json()) == {"name", "role", "created_at", "revoked_at", "key"}
    assert made.json()["key"] not in admin.get("/api/v1/keys").text


def test_the_name_of_a_key_is_used_once_for_ever(admin: httpx.Client) -> None:
    body = {"name": "of/ever", "role": "sales"}
    assert admin.post("/api/v1/keys", json=body).status_code == 201
    assert admin.delete("/api/v1/keys/of%2Fever").status_code == 200
    problem(admin.post("/api/v1/keys", json=body), 409)
    problem(admin.post("/api/v1/keys", json={"name": "admin", "role": "sales"}), 409)
    problem(admin.delete("/api/v1/keys/nobody"), 404)


def made_of(kind: type[XunjiError]) -> XunjiError:
    arguments: dict[str, dict[str, Any]] = {
        "StoreUnavailable": {"store": "graph", "cause": "it is away"},
        "GraphConflict": {"seq": 7},
        "Overtaken": {"partition": 3},
        "LeaseLost": {"name": "identity"},
        "LogFull": {"cause": "no space"},
        "ConfigurationError": {"setting": "XUNJI_TZ", "came": "x", "allowed": "y"},
        "MalformedHit": {"expected": "x", "got": "y"},
        "TooLarge": {"what": "it", "limit": 1, "unit": "bytes"},
        "TooManyRequests": {"retry_after_s": 7},
        "Forbidden": {"role": "sales", "permission": "manage keys"},
        "NotFound": {"what": "person", "which": "x"},
        "Conflict": {"detail": "no"},
        "Refused": {"detail": "no"},
        "Rejected": {"detail": "no"},
    }
    return kind(**arguments.get(kind.__name__, {}))


EVERY_ERROR = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, XunjiError)]


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_every_error_has_an_answer_that_says_what_to_do(kind: type[XunjiError]) -> None:
    error = made_of(kind) if kind not in (XunjiError, Retryable) else kind("what to do")
    answer = problem_of(error)
    assert answer.media_type == "application/problem+json"
    if isinstance(error, Rejected):
        assert answer.status_code == error.status
    else:
        assert answer.status_code == (503 if isinstance(error, (Retryable, Superseded)) else 500)
    assert ("retry-after" in answer.headers) == (answer.status_code in (429, 503))
    assert (answer.status_code == 500) == (kind in (XunjiError, ConfigurationError))


def test_paths_and_methods_of_nobody_are_problems_too(admin: httpx.Client) -> None:
    problem(admin.get("/api/v1/nothing"), 404)
    problem(admin.get("/nothing"), 404)
    refused = admin.put("/api/v1/sources")
    assert "GET" in problem(refused, 405)["detail"]
    assert set(refused.headers["allow"].split(", ")) <= {"GET", "POST"}


def test_an_unreadable_body_is_400_and_a_wrong_one_422(admin: httpx.Client) -> None:
    json = {"Content-Type": "application/json"}
    for path in ("/api/v1/sources", "/api/v1/persons/lookup", "/api/v1/leads"):
        problem(admin.post(path, content=b"{", headers=json), 400)
        problem(admin.post(path, content=b"\xff", headers=json), 400)
        problem(admin.post(path, content=b"[]", headers=json), 422)
        problem(admin.post(path, content=b"{}", headers=json), 422)


def test_unknown_fields_and_parameters_are_refused_by_name(admin: httpx.Client) -> None:
    body = {"name": "x", "kind": "site", "colour": "red"}
    [wrong] = problem(admin.post("/api/v1/sources", json=body), 422)["errors"]
    assert wrong == {
        "path": "colour",
        "expected": "no such field",
        "got": '"red"',
        "help": "Take the field out; it would be ignored.",
    }
    [wrong] = problem(admin.get("/api/v1/events?colour=red"), 422)["errors"]
    assert wrong["path"] == "colour"
    [wrong] = problem(admin.post("/api/v1/persons/lookup?kind=phone", json={"kind": "phone", "value": "1"}), 422)[
        "errors"
    ]
    assert wrong["path"] == "kind"


def test_each_wrong_field_is_named_with_what_was_expected(admin: httpx.Client) -> None:
    found = problem(admin.post("/api/v1/sources", json={"kind": "car", "rate_limit": -1}), 422)["errors"]
    assert {each["path"] for each in found} == {"name", "kind", "rate_limit"}
    assert "mini_program" in next(each for each in found if each["path"] == "kind")["expected"]


def test_a_body_over_the_limit_is_413(admin: httpx.Client) -> None:
    problem(admin.post("/api/v1/persons/lookup", json={"kind": "phone", "value": "1" * 5_000_000}), 413)


def test_a_fault_of_ours_is_500_without_a_trace(
    system: System,
    admin: httpx.Client,
    phone: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(phone)

    monkeypatch.setattr(system.events, "recent", fail)
    answer = admin.get("/api/v1/events")
    assert "RuntimeError" not in problem(answer, 500)["detail"]
    assert phone not in answer.text + "".join(capsys.readouterr())


def test_a_store_that_is_away_is_503_with_retry_after(
    system: System, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise errors.StoreUnavailable("events", "it is away")

    monkeypatch.setattr(system.events, "recent", fail)
    answer = admin.get("/api/v1/events")
    assert "events store" in problem(answer, 503)["detail"]
    assert int(answer.headers["retry-after"]) >= 1


def test_a_key_that_another_process_made_opens_at_once(system: System, admin: httpx.Client) -> None:
    for n in range(3):
        _, secret = KeyBook(system.records).create(f"made elsewhere {n}", Role.ADMIN)
        answer = admin.get("/api/v1/sources", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 200
    problem(admin.get("/api/v1/sources", headers={"Authorization": "Bearer xk_guessed"}), 401)
