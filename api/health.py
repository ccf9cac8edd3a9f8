"""Whether the process lives, whether it is ready to work, and its figures; for machines, without a key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from anyio.to_thread import run_sync
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.engine import make_url
from starlette.responses import Response

from api.answer import answer
from api.errors import problem
from api.kept import Kept, OnceBook
from api.shapes import Readiness, StoreState, Wrong
from cdp.errors import StoreUnavailable
from cdp.wiring import System

PROBE_S = 5.0
"""A store that takes longer is not ready."""
REMEMBERED_S = 1.0
"""For how long an answer stands, so that nobody can make the stores write by asking often."""

Probe = Callable[[], None]


class Health:
    """Tries every store, one round at a time. `probes` may change; `status` is what a process says that is ready."""

    def __init__(self, probes: Mapping[str, Probe], status: Callable[[], str] = lambda: "ready") -> None:
        self._probes = probes
        self.status = status
        self._turn = asyncio.Lock()
        self._last: tuple[float, dict[str, tuple[int, str]]] = (float("-inf"), {})

    async def stores(self) -> dict[str, tuple[int, str]]:
        """By store: how many milliseconds its probe took, and what failed ('' for nothing)."""
        async with self._turn:
            at, found = self._last
            if time.monotonic() - at > REMEMBERED_S:
                probes = dict(self._probes)
                results = await asyncio.gather(*map(_try, probes.values()))
                found = dict(zip(probes, results, strict=True))
                self._last = (time.monotonic(), found)
            return found


async def _try(probe: Probe) -> tuple[int, str]:
    began = time.monotonic()
    failure = ""
    try:
        await asyncio.wait_for(run_sync(probe, abandon_on_cancel=True), PROBE_S)
    except TimeoutError:
        failure = f"no answer within {PROBE_S:.0f} s"
    except Exception as error:
        failure = str(error) or type(error).__name__
    return round((time.monotonic() - began) * 1000), failure


def probes_of(system: System, kept: OnceBook) -> dict[str, Probe]:
    """A write and a read through every store; of the log, which collectors write, that each has its partition."""
    return {
        "records": lambda: _probe_records(kept),
        "graph": system.graph.probe,
        "events": system.events.probe,
        "log": lambda: _probe_log(system),
    }


def _probe_records(kept: OnceBook) -> None:
    kept.keep("", "probe", Kept(b"", 200, b""))
    if kept.find("", "probe") is None:
        raise StoreUnavailable("records", "what was written cannot be read")


def _probe_log(system: System) -> None:
    assigned = len(system.log.ends())
    wanted = system.settings.collector_processes if make_url(system.settings.log_url).drivername == "sqlite" else 1
    if assigned < wanted:
        raise StoreUnavailable("log", f"{assigned} of {wanted} partitions are assigned")


def router_of(health: Health) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="存活 · The process lives", include_in_schema=False)
    async def healthz() -> Response:
        return answer({"status": "ok"})

    @router.get("/readyz", summary="就绪 · Every store takes a write and a read", include_in_schema=False)
    async def readyz() -> Response:
        stores = await health.stores()
        reasons = {name: why for name, (_, why) in stores.items() if why}
        if reasons:
            failed = [Wrong(name, "a write and a read", why, "See `cdp doctor`.") for name, why in reasons.items()]
            detail = f"Not ready: {', '.join(reasons)}. It is tried again with the next request."
            return problem(503, "Not ready", detail, failed, headers={"Retry-After": "1"})
        states = {name: StoreState(ready=True, ms=ms) for name, (ms, _) in stores.items()}
        return answer(Readiness(status=health.status(), stores=states))

    @router.get("/metrics", summary="指标 · Prometheus metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router
