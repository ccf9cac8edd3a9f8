"""`/keys`: who may ask this API. A key is shown once, when it is made."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

from api import shapes
from api.answer import USUAL_LIMIT, After, Limit, answer, cursor_of, cursor_text
from api.documented import ok
from api.gate import PREFIX, ManagesKeys
from api.keys import ApiKey
from api.permissions import Role
from api.services import Use
from cdp.moments import rfc3339
from profiles.store import Cursor

router = APIRouter(prefix=f"{PREFIX}/keys", tags=["keys"])


class NewKey(pydantic.BaseModel, extra="forbid"):
    """A name that no key ever had, and what it may do."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=100)]
    role: Role


@router.post("", status_code=201, summary="新建密钥 · Make an API key", responses=ok(shapes.MadeKey, 201))
async def create(body: NewKey, use: Use, caller: ManagesKeys) -> Response:
    key, secret = await run_sync(use.keybook.create, body.name, body.role)
    await run_sync(use.keys.refresh)
    return answer(shapes.MadeKey(**_fields(key), key=secret), 201)


@router.get("", summary="密钥列表 · All keys, newest first", responses=ok(shapes.Keys))
async def list_all(use: Use, caller: ManagesKeys, limit: Limit = USUAL_LIMIT, cursor: After = None) -> Response:
    after = cursor_of(cursor, "keys")
    every = await run_sync(use.keybook.all)
    rest = [key for key in every if after is None or (-key.created_at, key.name) > (-after.at, after.id)]
    more = Cursor(rest[limit - 1].created_at, rest[limit - 1].name) if len(rest) > limit else None
    shown = [shapes.Key(**_fields(key)) for key in rest[:limit]]
    return answer(shapes.Keys(keys=shown, next=cursor_text(more, "keys")))


@router.delete("/{name:path}", summary="吊销密钥 · Take a key away", responses=ok(shapes.Key))
async def revoke(name: str, use: Use, caller: ManagesKeys) -> Response:
    """At once in this process, within seconds in others. Doing so twice changes nothing."""
    key = await run_sync(use.keybook.revoke, name)
    await run_sync(use.keys.refresh)
    return answer(shapes.Key(**_fields(key)))


def _fields(key: ApiKey) -> dict[str, Any]:
    revoked_at = None if key.revoked_at is None else rfc3339(key.revoked_at)
    return {"name": key.name, "role": key.role.value, "created_at": rfc3339(key.created_at), "revoked_at": revoked_at}
