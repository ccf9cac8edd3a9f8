"""`/events`: what happened, one by one, as pages, and as it comes in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from sqlalchemy import select
from starlette.responses import Response, StreamingResponse

from api import shapes
from api.answer import USUAL_LIMIT, After, Limit, answer, cursor_of, cursor_text, moment
from api.documented import ok
from api.gate import PREFIX, ReadsEvents
from api.keys import ApiKey
from api.permissions import Permission
from api.services import Services, Use
from cdp.accounting import refusal_rows
from cdp.errors import NotFound
from cdp.live import Listener, Message
from cdp.model import Position
from cdp.moments import rfc3339
from cdp.records import reading
from cdp.seen import SeenIds, key_of
from profiles.store import Cursor

LOOK_S = 0.05
"""How often a live answer looks for news: no thread waits for each listener."""
HEARTBEAT_S = 10.0
"""A comment after so long without news keeps proxies from cutting the connection."""

router = APIRouter(prefix=f"{PREFIX}/events", tags=["events"])
_encoder = msgspec.json.Encoder()


@router.get("", summary="事件列表 · Events, newest received first", responses=ok(shapes.Events))
async def list_all(
    use: Use,
    caller: ReadsEvents,
    start: Annotated[str | None, Query(alias="from", description="Of receipt, inclusive. 接收时间起")] = None,
    end: Annotated[str | None, Query(alias="to", description="Of receipt, exclusive. 接收时间止")] = None,
    name: Annotated[str | None, Query(description="Our name of the event. 事件名")] = None,
    source: Annotated[str | None, Query(description="A source's id. 来源")] = None,
    limit: Limit = USUAL_LIMIT,
    cursor: After = None,
) -> Response:
    before, since, until = cursor_of(cursor, "events"), moment("from", start), moment("to", end)

    def read() -> dict[str, Any]:
        found = use.system.events.recent(
            limit=limit + 1, before=before, start=since, end=until, name=name, source=source
        )
        last = found[limit - 1] if len(found) > limit else None
        after = None if last is None else Cursor(last["received_at"], last["id"])
        return {
            "events": use.showing.events(caller, found[:limit], subject="events"),
            "next": cursor_text(after, "events"),
        }

    return answer(await run_sync(read))


@router.get(
    "/live",
    summary="实时事件流 · Events as they come, as server-sent events",
    responses={200: {"description": "One JSON object per message. 逐条推送", "content": {"text/event-stream": {}}}},
)
async def live(use: Use, caller: ReadsEvents) -> Response:
    """Each event as it is stored or refused, with the reason. `event: person` tells of a merge, split or move of
    persons, `event: segment`, for those who may read segments, of who enters or leaves one; `event: missed` says how
    many messages a slow reader missed."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(use, caller), media_type="text/event-stream", headers=headers)


@router.get("/{event}", summary="事件 · An event and what became of it", responses=ok(shapes.FoundEvent))
async def one(event: str, use: Use, caller: ReadsEvents) -> Response:
    return answer(await run_sync(_found, use, caller, event))


async def _stream(use: Services, caller: ApiKey) -> AsyncIterator[bytes]:
    hidden = "" if caller.may(Permission.READ_SEGMENTS) else "segment"
    with use.system.live.listening() as listener:
        # Begins at once, so that the reader knows that it listens.
        yield b": listening\n\n"
        quiet_s, missed = 0.0, 0
        while not use.closing.is_set():
            news = _news(listener, hidden)
            if listener.missed > missed:
                news += _written(Message({"missed": listener.missed - missed}, "missed"))
                missed = listener.missed
            if not news and quiet_s >= HEARTBEAT_S:
                news = b": alive\n\n"
            quiet_s = 0.0 if news else quiet_s + LOOK_S
            if news:
                yield news
            await asyncio.sleep(LOOK_S)


def _news(listener: Listener, hidden: str) -> bytes:
    news = b""
    while (message := listener.next(0)) is not None:
        news += b"" if hidden and message.kind == hidden else _written(message)
    return news


def _written(message: Message) -> bytes:
    kind = f"event: {message.kind}\n".encode() if message.kind else b""
    return b"%bdata: %b\n\n" % (kind, _encoder.encode(message.body))


def _found(use: Services, caller: ApiKey, event_id: str) -> dict[str, Any] | shapes.RefusedEvent:
    stored = use.system.events.event(event_id)
    if stored is None:
        return _refused(use, caller, event_id)
    shown = use.showing.events(caller, [stored], subject=event_id)[0]
    person = use.people.whose.person_at(stored["set"], stored["occurred_at"]) if stored["set"] else None
    return shown | {"outcome": "stored", "person": person, "again": again(use, event_id)}


def again(use: Services, event_id: str) -> int:
    """How often the event came once more."""
    try:
        key = key_of(event_id)
    except ValueError:
        return 0
    with reading(use.system.records) as connection:
        found = SeenIds().find(connection, key)
    return found[1] if found else 0


def _refused(use: Services, caller: ApiKey, event_id: str) -> shapes.RefusedEvent:
    with reading(use.system.records) as connection:
        of_event = select(refusal_rows).where(refusal_rows.c.event == event_id)
        row = connection.execute(of_event.order_by(refusal_rows.c.received_at).limit(1)).one_or_none()
    if row is None:
        raise NotFound("event", event_id)
    return shapes.RefusedEvent(
        id=event_id,
        source=row.source,
        received_at=rfc3339(row.received_at),
        hit=Position(row.partition, row.offset).hit_id,
        outcome="dropped",
        reason=row.reason,
        detail=use.showing.document(caller, row.detail, subject=event_id),
        person=None,
        again=0,
    )
