"""`Idempotency-Key`: a write that is sent again is done once."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from api.kept import CLAIMED_MS, KEPT_MS, Kept, OnceBook
from cdp.errors import Conflict
from cdp.records import metadata, open_engine
from tests.api.conftest import problem


def test_a_write_sent_again_is_done_once_and_answered_the_same(admin: httpx.Client, data: httpx.Client) -> None:
    headers, body = {"Idempotency-Key": "a"}, {"name": "made once", "kind": "site"}
    first = admin.post("/api/v1/sources", json=body, headers=headers)
    again = admin.post("/api/v1/sources", json=body, headers=headers)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    problem(admin.post("/api/v1/sources", json=body), 409)
    problem(data.post("/api/v1/sources", json=body, headers=headers), 409)


def test_the_same_key_with_another_request_is_refused(admin: httpx.Client) -> None:
    headers = {"Idempotency-Key": "b"}
    admin.post("/api/v1/sources", json={"name": "first of b", "kind": "site"}, headers=headers)
    problem(admin.post("/api/v1/sources", json={"name": "second of b", "kind": "site"}, headers=headers), 422)
    problem(admin.post("/api/v1/keys", json={"name": "of b", "role": "sales"}, headers=headers), 422)


def test_a_refusal_is_not_kept_because_nothing_was_done(admin: httpx.Client) -> None:
    headers = {"Idempotency-Key": "c"}
    problem(admin.post("/api/v1/sources", json={"name": "c", "kind": "wrong"}, headers=headers), 422)
    assert admin.post("/api/v1/sources", json={"name": "c", "kind": "site"}, headers=headers).status_code == 201


def test_a_key_that_cannot_be_is_refused(admin: httpx.Client) -> None:
    body = {"name": "never made", "kind": "site"}
    problem(admin.post("/api/v1/sources", json=body, headers={"Idempotency-Key": "x" * 201}), 422)
    problem(admin.post("/api/v1/sources", json=body, headers={"Idempotency-Key": ""}), 422)


def test_an_answer_is_kept_sealed_and_for_a_day(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'records.db'}")
    metadata.create_all(engine)
    now = 1_790_000_000_000
    book = OnceBook(engine, bytes(32), clock=lambda: now)
    kept = Kept(b"asked", 201, b'{"key": "xk_secret"}')
    book.keep("anna", "1", kept)
    assert book.find("anna", "1") == kept
    assert book.find("ben", "1") is None
    engine.dispose()
    assert all(b"xk_secret" not in path.read_bytes() for path in tmp_path.iterdir())
    now += KEPT_MS
    assert book.find("anna", "1") is None
    book.keep("anna", "1", Kept(b"other", 202, b"{}"))
    assert book.find("anna", "1") == Kept(b"other", 202, b"{}")
    engine.dispose()


def test_while_one_process_answers_another_does_not(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'records.db'}")
    metadata.create_all(engine)
    now = 1_790_000_000_000
    one, two = (OnceBook(engine, bytes(32), clock=lambda: now, claims=True) for _ in range(2))
    assert one.begin("anna", "1", b"asked") is None
    with pytest.raises(Conflict):
        two.begin("anna", "1", b"asked")
    assert two.begin("ben", "1", b"asked") is None
    assert two.find("anna", "1") is None
    two.forget(["lead"])

    kept = Kept(b"asked", 201, b"{}")
    one.keep("anna", "1", kept)
    assert two.begin("anna", "1", b"asked") == kept

    assert one.begin("anna", "2", b"asked") is None
    one.drop("anna", "2")
    assert two.begin("anna", "2", b"asked") is None, "nothing was made"
    now += CLAIMED_MS
    assert one.begin("anna", "2", b"asked") is None, "its process died"
    now += KEPT_MS
    assert two.begin("anna", "1", b"asked") is None, "it is forgotten"
    engine.dispose()
