"""`Idempotency-Key`: the same write sent again gets the answer of the first time, for a day.

Kept are only answers that say something was made (201, 202): after any other nothing was, and sending again is
right.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem_of
from api.gate import CALLER, UPLOADS
from api.kept import BUSY, MAX_KEY, Kept, OnceBook
from cdp.errors import Conflict, Refused, StoreUnavailable


class Once:
    """ASGI middleware around the calls that write; others pass."""

    def __init__(self, app: ASGIApp, book: OnceBook) -> None:
        self._app = app
        self._book = book
        self._under_way: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key_of(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        if not (1 <= len(key) <= MAX_KEY and key.isprintable()):
            refusal = Refused(
                f"Idempotency-Key has 1 to {MAX_KEY} printable characters. Send a new UUID with each write."
            )
            await problem_of(refusal)(scope, receive, send)
            return
        name = (scope[CALLER].name, key)
        if name in self._under_way:
            await problem_of(Conflict(BUSY))(scope, receive, send)
            return
        self._under_way.add(name)
        try:
            await self._once(name, scope, receive, send)
        except (StoreUnavailable, Conflict) as error:
            await problem_of(error)(scope, receive, send)
        finally:
            self._under_way.discard(name)

    async def _once(self, name: tuple[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        body = await _whole_body(Request(scope, receive))
        asked = blake2b(f"{scope['path']}\0".encode() + body, digest_size=16).digest()
        kept = await run_sync(self._book.begin, *name, asked)
        if kept is None:
            answer = _Recorded()
            try:
                await self._app(scope, _replayed(body, receive), answer)
            except Exception:
                await run_sync(self._book.drop, *name)
                raise
            if answer.status in (201, 202):
                await run_sync(self._book.keep, *name, Kept(asked, answer.status, answer.body))
            else:
                await run_sync(self._book.drop, *name)
            for message in answer.messages:
                await send(message)
        elif kept.asked != asked:
            refusal = Refused("This Idempotency-Key came with another request before. Use a new key for a new request.")
            await problem_of(refusal)(scope, receive, send)
        else:
            await _send_again(kept, send)


class _Recorded:
    """Holds an answer back until it is durable that it was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.status = 0
        self.body = b""

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")


def _key_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST" or CALLER not in scope or scope["path"] == UPLOADS:
        # A file is not held in memory, and finds the import that shows it already.
        return None
    return Headers(scope=scope).get("idempotency-key")


async def _whole_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


async def _send_again(kept: Kept, send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(kept.body)).encode()),
        (b"idempotency-replayed", b"true"),
    ]
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.body})
