"""Let a request in: find out whose key it carries, catch what nobody caught, and count.

It stands before everything else, so that a body is read only for those who have a key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import fault, problem_of, problem_of_framework
from api.keys import ApiKey, LiveKeys
from api.permissions import Permission
from cdp.errors import Forbidden, Refused, StoreUnavailable, Unauthorized
from cdp.imports_files import MAX_FILE_BYTES

PREFIX = "/api/v1"
OPEN_PATHS = frozenset({f"{PREFIX}/openapi.json"})
CALLER = "xunji.caller"

MAX_BODY_BYTES = 4 * 1024 * 1024
UPLOADS = f"{PREFIX}/imports"
"""Where files come in, which are written to disk as they come."""

SECONDS = Histogram("xunji_api_seconds", "Time to answer a request of the management API", ["method", "path", "status"])


class Gate:
    """ASGI middleware. Puts the caller's key into the scope, or answers 401; a fault of ours becomes a plain 500."""

    def __init__(self, app: ASGIApp, keys: LiveKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with _timed(scope, send) as sent:
            if _needs_key(scope["path"]):
                caller = await self._caller(scope)
                if caller is None:
                    await problem_of(Unauthorized())(scope, receive, sent)
                    return
                scope[CALLER] = caller
            try:
                await self._app(scope, _limited(scope, receive), sent)
            except Exception as error:
                answer = problem_of_framework(error) if isinstance(error, HTTPException) else fault(error)
                if sent.status is None:
                    await answer(scope, receive, sent)

    async def _caller(self, scope: Scope) -> ApiKey | None:
        secret = _secret_in(scope)
        if not secret:
            return None
        if known := self._keys.holder(secret):
            return known
        with suppress(StoreUnavailable):
            await self._keys.look_again()
        return self._keys.holder(secret)


def _secret_in(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, secret = value.decode("latin-1").partition(" ")
            return secret.strip() if scheme.lower() == "bearer" else ""
    return ""


def _needs_key(path: str) -> bool:
    return (path == PREFIX or path.startswith(f"{PREFIX}/")) and path not in OPEN_PATHS


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Reads a body up to the limit; the framework passes its own exception on, and no other."""
    limit = MAX_FILE_BYTES if scope["path"] == UPLOADS else MAX_BODY_BYTES
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    read = int(announced) if announced.isdigit() else 0

    async def next_message() -> Message:
        nonlocal read
        message = await receive()
        if not announced:
            read += len(message.get("body", b""))
        if read > limit:
            detail = f"The body is over {limit:,} bytes. Send less in one request."
            raise HTTPException(413, detail, {"Connection": "close"})
        return message

    return next_message


class _Sent:
    """Passes messages on and remembers the status."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


@contextmanager
def _timed(scope: Scope, send: Send) -> Iterator[_Sent]:
    began = time.perf_counter()
    sent = _Sent(send)
    try:
        yield sent
    finally:
        # The path as declared: with ids in it every request would make a time series of its own.
        path = getattr(scope.get("route"), "path", "other")
        SECONDS.labels(scope["method"], path, sent.status or 0).observe(time.perf_counter() - began)


async def known_query(request: Request) -> None:
    """Refuse query parameters that the call does not have."""
    if not request.scope["query_string"]:
        return
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise Refused(
            f"There is no parameter {unknown[0]}; known are: {', '.join(sorted(known)) or 'none'}.",
            [
                {"path": name, "expected": "no such parameter", "got": "a value", "help": "Leave it out."}
                for name in unknown
            ],
        )


def caller_of(request: Request) -> ApiKey:
    """The key that the request carries."""
    caller: ApiKey = request.scope[CALLER]
    return caller


class May:
    """A dependency that lets in only those whose role has the permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> ApiKey:
        caller = caller_of(request)
        if not caller.may(self.permission):
            raise Forbidden(caller.role.value, self.permission.value)
        return caller


P = Permission
ReadsSources = Annotated[ApiKey, Depends(May(P.READ_SOURCES))]
ManagesSources = Annotated[ApiKey, Depends(May(P.MANAGE_SOURCES))]
ReadsAccounting = Annotated[ApiKey, Depends(May(P.READ_ACCOUNTING))]
ReadsHits = Annotated[ApiKey, Depends(May(P.READ_HITS))]
ReadsEvents = Annotated[ApiKey, Depends(May(P.READ_EVENTS))]
ReadsPersons = Annotated[ApiKey, Depends(May(P.READ_PERSONS))]
ReadsLeads = Annotated[ApiKey, Depends(May(P.READ_LEADS))]
WritesLeads = Annotated[ApiKey, Depends(May(P.WRITE_LEADS))]
ErasesPersons = Annotated[ApiKey, Depends(May(P.ERASE_PERSONS))]
ExportsPersons = Annotated[ApiKey, Depends(May(P.EXPORT_PERSONS))]
Replays = Annotated[ApiKey, Depends(May(P.REPLAY))]
Imports = Annotated[ApiKey, Depends(May(P.IMPORT))]
DrawsCodes = Annotated[ApiKey, Depends(May(P.DRAW_CODES))]
DecidesIdentity = Annotated[ApiKey, Depends(May(P.DECIDE_IDENTITY))]
RebuildsIdentity = Annotated[ApiKey, Depends(May(P.REBUILD_IDENTITY))]
ReadsSegments = Annotated[ApiKey, Depends(May(P.READ_SEGMENTS))]
ManagesSegments = Annotated[ApiKey, Depends(May(P.MANAGE_SEGMENTS))]
ManagesKeys = Annotated[ApiKey, Depends(May(P.MANAGE_KEYS))]
