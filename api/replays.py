"""`/log/replays`: translate kept hits again, after a dialect was mended. Doing so twice changes nothing."""

from __future__ import annotations

from typing import Annotated

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

from api import gate, shapes
from api.answer import answer, moment
from api.documented import ok
from api.services import Services, Use
from cdp.errors import NotFound
from cdp.model import Millis
from cdp.replays import Replay

router = APIRouter(prefix=f"{gate.PREFIX}/log/replays", tags=["log"])


class NewReplay(pydantic.BaseModel, extra="forbid"):
    """Which kept hits: those received since `from`, of one source; all of them where neither is given."""

    start: Annotated[str | None, pydantic.Field(alias="from", max_length=40)] = None
    source: Annotated[str | None, pydantic.Field(max_length=200)] = None


@router.post("", status_code=202, summary="重放 · Translate kept hits again", responses=ok(shapes.Replay, 202))
async def create(body: NewReplay, use: Use, caller: gate.Replays) -> Response:
    return answer(_shown(await run_sync(_request, use, moment("from", body.start), body.source)), 202)


@router.get("/{replay}", summary="重放进度 · How far a replay is", responses=ok(shapes.Replay))
async def one(replay: str, use: Use, caller: gate.Replays) -> Response:
    return answer(_shown(await run_sync(use.system.replays.find, replay)))


def _request(use: Services, start: Millis | None, source: str | None) -> Replay:
    use.system.sources.refresh()
    if source is not None and use.system.sources.by_id(source) is None:
        raise NotFound("source", source)
    return use.system.replays.request(start or 0, source)


def _shown(replay: Replay) -> shapes.Replay:
    return shapes.Replay(id=replay.id, hits=replay.hits, total=replay.total, changed=replay.changed, done=replay.done)
