"""Codes over the API."""

from __future__ import annotations

import io
import zipfile

import httpx

from api.permissions import Role
from tests.api.conftest import ClientOf, problem
from tests.scanner import scanned


def test_anybody_with_a_key_draws_a_code_for_each_stand(client_of: ClientOf) -> None:
    asked = {"url": "https://www.example.com/x9", "campaign": {"name": "autumn"}, "each": ["a", "b"], "scale": 3}
    answer = client_of(Role.MARKETER).post("/api/v1/qr", json=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as files:
        assert {name: scanned(files.read(name)) for name in files.namelist()} == {
            f"autumn-{stand}.png": f"https://www.example.com/x9?utm_medium=qr&utm_campaign=autumn&utm_content={stand}"
            for stand in ("a", "b")
        }


def test_a_code_with_a_phone_in_it_is_refused_and_nobody_without_a_key_gets_one(admin: httpx.Client) -> None:
    asked = {"url": "https://www.example.com/?tel=13812345678", "format": "svg"}
    assert "13812345678" not in problem(admin.post("/api/v1/qr", json=asked), 422)["detail"]
    assert httpx.post(f"{admin.base_url}/api/v1/qr", json=asked, trust_env=False).status_code == 401
