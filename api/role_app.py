"""The small app of a process without an API: whether it lives and is ready, its figures, and what its role adds."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI

from api.errors import install
from api.health import Health, router_of

Routers = Iterable[APIRouter]


def create_role_app(health: Health, routers: Routers = ()) -> FastAPI:
    app = FastAPI(title="Xunji 寻迹", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    install(app, lambda _path: [])
    app.include_router(router_of(health))
    for each in routers:
        app.include_router(each)
    return app
