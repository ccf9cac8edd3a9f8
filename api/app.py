"""The management API, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import structlog
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, Response

from api import (
    accounting,
    decisions,
    erasures,
    events,
    hits,
    identity,
    imports,
    keyring,
    leads,
    persons,
    qr,
    replays,
    segments,
    sources,
)
from api.answer import answer
from api.auditing import Auditor
from api.demo_shop import demo_shop
from api.documented import REFUSALS, document
from api.errors import install
from api.gate import PREFIX, Gate, known_query
from api.health import Health, probes_of, router_of
from api.kept import OnceBook
from api.keys import KeyBook, LiveKeys
from api.once import Once
from api.people import People
from api.services import Services
from api.showing import Showing
from cdp.errors import StoreUnavailable
from cdp.records import is_shared
from cdp.wiring import System

log = structlog.get_logger()

KEYS_S = 2.0
"""How often keys are read again, for changes that another process made."""
DOCS_PAGE = Path(__file__).with_name("docs.html")

# The job of an erasure before the persons, one of whom could else be called "erasures".
ROUTERS = (
    sources,
    accounting,
    hits,
    events,
    erasures,
    persons,
    identity,
    decisions,
    leads,
    segments,
    qr,
    replays,
    imports,
    keyring,
)


def create_app(system: System, *, demo: bool = False) -> FastAPI:
    """The app for one running system, which it neither starts nor closes; with the demo shop if asked for."""
    keybook = KeyBook(system.records)
    keys = LiveKeys(keybook, system.settings.admin)
    kept = OnceBook(system.records, system.settings.secret_bytes, claims=is_shared(system.records))
    system.forget_answers.append(kept.forget)
    auditor = Auditor(system.records)
    showing = Showing(system.vault, auditor)
    app = FastAPI(
        title="Xunji 寻迹",
        version=version("xunji"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(known_query)],
        responses=REFUSALS,
        lifespan=_lifespan,
    )
    app.state.services = Services(system, keybook, keys, auditor, showing, People(system, showing))
    install(app, _methods_of)
    app.add_middleware(Once, book=kept)
    app.add_middleware(Gate, keys=keys)
    for part in ROUTERS:
        app.include_router(part.router)
    app.include_router(router_of(Health(probes_of(system, kept))))
    app.include_router(_documentation(app))
    if demo:
        app.mount("/demo", demo_shop(system))
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


def _methods_of(path: str) -> list[str]:
    routes = (route for part in ROUTERS for route in part.router.routes if isinstance(route, APIRoute))
    return sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    refreshing = asyncio.create_task(_keep_fresh(services.keys))
    with services.system.live.hearing():
        yield
        services.closing.set()
        refreshing.cancel()


async def _keep_fresh(keys: LiveKeys) -> None:
    while True:
        await asyncio.sleep(KEYS_S)
        try:
            await run_sync(keys.refresh)
        except StoreUnavailable as error:
            # The keys of a moment ago are better than none.
            log.warning("keys_not_refreshed", reason=str(error))


def _documentation(app: FastAPI) -> APIRouter:

    router = APIRouter(include_in_schema=False)
    page = DOCS_PAGE.read_text()

    @router.get(f"{PREFIX}/openapi.json")
    async def openapi() -> Response:
        return answer(document(app))

    @router.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"})

    return router
