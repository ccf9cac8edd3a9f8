"""`/sources`: who may send us hits."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

from api import shapes
from api.answer import USUAL_LIMIT, After, Limit, answer, cursor_of, cursor_text
from api.documented import ok
from api.gate import PREFIX, ManagesSources, ReadsSources
from api.services import Services, Use
from cdp.errors import NotFound
from cdp.model import CLIENT_LIMIT, Source, SourceKind, Trust
from collectors.sources import MAX_KEYS, everyone_serves
from profiles.store import Cursor

SERVED_S = 2.0
"""How long a change may take to reach the collectors; they look for it several times a second."""
LOOK_S = 0.01

router = APIRouter(prefix=f"{PREFIX}/sources", tags=["sources"])

Key = Annotated[str, pydantic.Field(min_length=1, max_length=128)]
Origins = Annotated[list[Annotated[str, pydantic.Field(max_length=300)]], pydantic.Field(max_length=100)]
Rate = Annotated[int, pydantic.Field(ge=0, le=1_000_000)]
ClientRate = Annotated[int, pydantic.Field(ge=0, le=100_000)]
Appid = Annotated[str, pydantic.Field(max_length=100)]


class NewSource(pydantic.BaseModel, extra="forbid"):
    """A sender to register. Without `key` one is made; without `trust` the kind decides."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=200)]
    kind: SourceKind
    key: Key | None = None
    trust: Trust | None = None
    origins: Origins = []
    rate_limit: Rate = 0
    client_limit: ClientRate = CLIENT_LIMIT
    secret: str | None = None
    appid: Appid = ""


class Changes(pydantic.BaseModel, extra="forbid"):
    """What is left out stays. `keys` are newest first, `origins` empty means any; `secret` is one that an ad platform
    issued, and is not shown again."""

    keys: Annotated[list[Key], pydantic.Field(min_length=1, max_length=MAX_KEYS)] | None = None
    trust: Trust | None = None
    origins: Origins | None = None
    enabled: bool | None = None
    rate_limit: Rate | None = None
    client_limit: ClientRate | None = None
    secret: str | None = None
    appid: Appid | None = None


@router.post("", status_code=201, summary="新建来源 · Register a sender", responses=ok(shapes.MadeSource, 201))
async def create(body: NewSource, use: Use, caller: ManagesSources) -> Response:
    """Answers once every running collector of this machine accepts the key."""
    source, version = await run_sync(_create, use, body)
    await _served(use, version)
    return answer(shapes.MadeSource(**_fields(source), secret=source.secret), 201)


@router.get("", summary="来源列表 · All senders, by name", responses=ok(shapes.Sources))
async def list_all(use: Use, caller: ReadsSources, limit: Limit = USUAL_LIMIT, cursor: After = None) -> Response:
    after = cursor_of(cursor, "sources")
    _, every = await run_sync(use.system.book.load)
    rest = sorted((source for source in every if after is None or source.id > after.id), key=lambda source: source.id)
    more = Cursor(0, rest[limit - 1].id) if len(rest) > limit else None
    shown = [shapes.Source(**_fields(source)) for source in rest[:limit]]
    return answer(shapes.Sources(sources=shown, next=cursor_text(more, "sources")))


@router.get("/{name:path}", summary="来源 · One sender", responses=ok(shapes.Source))
async def one(name: str, use: Use, caller: ReadsSources) -> Response:
    _, every = await run_sync(use.system.book.load)
    source = next((source for source in every if source.id == name), None)
    if source is None:
        raise NotFound("source", name)
    return answer(shapes.Source(**_fields(source)))


@router.patch("/{name:path}", summary="修改来源 · Change a sender", responses=ok(shapes.Source))
async def change(name: str, body: Changes, use: Use, caller: ManagesSources) -> Response:
    """Answers once every running collector of this machine knows it."""
    source, version = await run_sync(_change, use, name, body)
    await _served(use, version)
    return answer(shapes.Source(**_fields(source)))


def _create(use: Services, body: NewSource) -> tuple[Source, int]:
    fields: dict[str, Any] = {
        "origins": tuple(body.origins),
        "rate_limit": body.rate_limit,
        "client_limit": body.client_limit,
        "appid": body.appid,
    }
    fields |= {name: given for name in ("trust", "secret") if (given := getattr(body, name)) is not None}
    return use.system.book.create(body.name, body.kind, key=body.key, **fields)


def _change(use: Services, name: str, body: Changes) -> tuple[Source, int]:
    given = body.model_dump(exclude_none=True)
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return use.system.book.change(name, **fields)


async def _served(use: Services, version: int) -> None:
    await run_sync(use.system.sources.refresh)
    for _ in range(round(SERVED_S / LOOK_S)):
        if await run_sync(everyone_serves, use.system.run_folder, version):
            return
        await asyncio.sleep(LOOK_S)


def _fields(source: Source) -> dict[str, Any]:
    return {
        "id": source.id,
        "name": source.id,
        "kind": source.kind.value,
        "keys": list(source.keys),
        "key": source.keys[0],
        "trust": source.trust.value,
        "origins": list(source.origins),
        "enabled": source.enabled,
        "rate_limit": source.rate_limit,
        "client_limit": source.client_limit,
        "appid": source.appid,
    }
