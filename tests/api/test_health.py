"""Paths for machines and readers, without a key."""

from __future__ import annotations

import asyncio
import re
from typing import get_args

import httpx
import pytest
from fastapi import FastAPI

from api import shapes
from api.app import create_app
from api.documented import SHAPES, document
from api.gate import PREFIX
from api.health import REMEMBERED_S, Health
from cdp.errors import StoreUnavailable
from cdp.wiring import System
from tests.api.conftest import problem, shaped
from tests.api.test_access import routes_of
from tests.cdp.intake import Intake


def test_the_process_says_that_it_lives(nobody: httpx.Client) -> None:
    assert nobody.get("/healthz").json() == {"status": "ok"}


def test_ready_means_that_every_store_took_a_write_and_a_read(nobody: httpx.Client, intake: Intake) -> None:
    ready = nobody.get("/readyz")
    assert ready.status_code == 200
    assert set(shaped(ready.json(), shapes.Readiness)["stores"]) == {"records", "graph", "events", "log"}


@pytest.mark.parametrize("store", ["graph", "events"])
def test_a_store_that_fails_is_named(
    nobody: httpx.Client, system: System, intake: Intake, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise StoreUnavailable(store, "it is away")

    app = nobody_app(system, monkeypatch, store, fail)
    [wrong] = problem(app, 503)["errors"]
    assert (wrong["path"], "it is away" in wrong["got"]) == (store, True)
    assert app.headers["retry-after"] == "1"


def nobody_app(system: System, monkeypatch: pytest.MonkeyPatch, store: str, fail: object) -> httpx.Response:
    """The answer of a fresh app, which remembers no earlier one."""
    monkeypatch.setattr(getattr(system, store), "probe", fail)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(system))
        async with httpx.AsyncClient(transport=transport, base_url="http://in-process") as client:
            return await client.get("/readyz")

    return asyncio.run(ask())


def test_stores_are_not_tried_for_each_who_asks() -> None:
    tries: list[int] = []
    health = Health({"one": lambda: tries.append(1)})

    async def ask() -> None:
        await asyncio.gather(health.stores(), health.stores(), health.stores())

    asyncio.run(ask())
    assert len(tries) == 1
    assert REMEMBERED_S > 0


def test_metrics_are_prometheus_text_with_declared_paths_only(nobody: httpx.Client, admin: httpx.Client) -> None:
    admin.get("/api/v1/persons/some-person")
    text = nobody.get("/metrics").text
    assert 'xunji_api_seconds_count{method="GET",path="/api/v1/persons/{person}",status="404"}' in text
    assert "some-person" not in text


def test_every_call_is_documented(app: FastAPI) -> None:
    described = document(app)
    for route in routes_of(app):
        if not route.include_in_schema:
            continue
        for method in route.methods or ():
            operation = described["paths"][route.path_format][method.lower()]
            assert re.search(r"[\u4e00-\u9fff]", operation["summary"])
            assert "4XX" in operation["responses"]
            done = [status for status in operation["responses"] if status.startswith("2")]
            assert done
            for status in done:
                assert operation["responses"][status]["content"]
            assert (method in ("POST", "PATCH")) == ("requestBody" in operation)
    assert described["security"] == [{"key": []}]


def test_every_reference_of_the_document_leads_somewhere(app: FastAPI) -> None:
    text = str(document(app))
    wanted = set(re.findall(r"#/components/schemas/([\w.\-]+)", text))
    assert wanted <= set(document(app)["components"]["schemas"])
    assert {shape.__name__ for shape in SHAPES} <= set(document(app)["components"]["schemas"])


def test_no_two_shapes_of_the_document_have_one_name(app: FastAPI) -> None:
    annotations = [
        route.body_field.field_info.annotation
        for route in routes_of(app)
        if route.body_field is not None and route.body_field.field_info.annotation is not None
    ]
    # A body that may be left out is one of `X | None`.
    bodies = {kind.__name__ for each in annotations for kind in get_args(each) or (each,) if kind is not type(None)}
    assert len(bodies) > 10
    assert not bodies & {shape.__name__ for shape in SHAPES}


def test_the_pages_need_no_key_and_nothing_from_elsewhere(nobody: httpx.Client) -> None:
    assert nobody.get(f"{PREFIX}/openapi.json").json()["openapi"].startswith("3.")
    page = nobody.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text
