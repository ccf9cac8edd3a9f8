"""`/demo`: the shop of an invented car maker with our tracker on its pages, for `cdp serve --demo` alone.

The files are those of `sdk-js-snippet/demo`; only their settings are made here, because address and key are this
server's own. Served under 127.0.0.1 and under localhost the same pages are two hosts, as a maker's are.
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cdp.demo_journey import site_name
from cdp.errors import ConfigurationError
from cdp.model import as_json
from cdp.wiring import System

FOLDER = Path(__file__).parents[1] / "sdk-js-snippet" / "demo"


def demo_shop(system: System) -> Starlette:
    """The application to mount at `/demo`. Raises ConfigurationError where its pages are not there."""
    if not FOLDER.is_dir():
        allowed = "a call in a checkout, which has the pages"
        raise ConfigurationError("--demo", came="asked of an installed product", allowed=allowed)

    async def settings(request: Request) -> Response:
        source = system.sources.by_id(site_name())
        told = {
            "url": f"{request.url.scheme}://{request.url.hostname}:{system.settings.collector_port}",
            "key": source.keys[0] if source else "",
            "port": request.url.port,
        }
        script = f"window.XUNJI_DEMO = {as_json(told)};"
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "no-store"})

    return Starlette(routes=[Route("/settings.js", settings), Mount("/", StaticFiles(directory=FOLDER, html=True))])
