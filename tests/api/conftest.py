"""A real system in a temporary folder behind the real app, and a client for each role."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.keys import ADMIN, KeyBook
from api.permissions import Role
from api.server import serve_api
from cdp.model import Source
from cdp.settings import Settings
from cdp.wiring import System, open_system
from tests.cdp.intake import Intake

ADMIN_KEY = "the-admin-key-of-tests"

ClientOf = Callable[[Role], httpx.Client]

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    opened = open_system(Settings(data_dir=tmp_path_factory.mktemp("data"), admin_key=ADMIN_KEY))
    yield opened
    opened.close()


@pytest.fixture(scope="package")
def intake(system: System) -> Iterator[Intake]:
    opened = Intake(system)
    yield opened
    opened.close()


@pytest.fixture(scope="package")
def app(system: System) -> FastAPI:
    return create_app(system)


class Server:
    """The real server in a thread."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.port = 0

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        closing = self._app.state.services.closing.set
        await serve_api(self._app, "127.0.0.1", 0, self._stop, self._listening, closing=closing)

    def _listening(self, port: int) -> None:
        self.port = port
        self._ready.set()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture(scope="package")
def nobody(app: FastAPI) -> Iterator[httpx.Client]:
    """Without a key."""
    with Server(app) as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        yield client


@pytest.fixture(scope="package")
def client_of(app: FastAPI, nobody: httpx.Client, system: System) -> Iterator[ClientOf]:
    """A client with a key of this role; the admin has the key of the settings."""
    book = KeyBook(system.records)
    secrets = {role: book.create(f"{role.value}-key", role)[1] for role in Role if role.value != ADMIN}
    app.state.services.keys.refresh()

    def made(role: Role) -> httpx.Client:
        headers = {"Authorization": f"Bearer {secrets.get(role, ADMIN_KEY)}"}
        return httpx.Client(base_url=nobody.base_url, headers=headers, timeout=30)

    clients = {role: made(role) for role in Role}
    yield clients.__getitem__
    for client in clients.values():
        client.close()


@pytest.fixture
def admin(client_of: ClientOf) -> httpx.Client:
    """May do everything and see everything."""
    return client_of(Role.ADMIN)


@pytest.fixture
def data(client_of: ClientOf) -> httpx.Client:
    """Sees personal values masked."""
    return client_of(Role.DATA)


@pytest.fixture
def source(intake: Intake) -> Source:
    return intake.source()


@pytest.fixture
def visitor() -> str:
    """An anonymous id that nobody else has."""
    return f"visitor-{next(_numbers)}"


@pytest.fixture
def phone() -> str:
    """A phone number that nobody else has."""
    return f"+8613{next(_numbers):04d}61789"


def shaped(body: Any, shape: type[Any]) -> Any:
    """The body, after making sure that it has just the fields of the shape, with their types."""

    class Strict(shape, forbid_unknown_fields=True):  # type: ignore[misc]
        pass

    msgspec.convert(body, Strict)
    assert set(body) == set(shape.__struct_fields__) or shape.__struct_config__.omit_defaults
    return body


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem that an answer is, after making sure that it is one."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body: dict[str, Any] = response.json()
    assert list(body) == ["type", "title", "status", "detail", "errors"]
    assert body["status"] == status
    assert all(list(each) == ["path", "expected", "got", "help"] for each in body["errors"])
    return body
