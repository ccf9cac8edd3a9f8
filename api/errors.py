"""From what went wrong to what the caller reads: application/problem+json, as RFC 9457 has it.

Our own refusals know their status and sentence. The rest stands in the table: who the store's absence, the
framework's answers and a wrong setting are to the caller. Anything else is a fault of ours and answered 500.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.shapes import Problem, Wrong
from cdp.errors import ConfigurationError, Rejected, Retryable, Superseded, TooManyRequests, XunjiError
from cdp.scrub import fill_markers, scrub_text

log = structlog.get_logger()

CONTENT_TYPE = "application/problem+json"
SHOWN_OF_INPUT = 100
"""Characters of a wrong value that are sent back."""

STATUS_OF: tuple[tuple[type[XunjiError], int, str], ...] = (
    (Retryable, 503, "A store is away"),
    (Superseded, 503, "Another process does it now"),
    (ConfigurationError, 500, "A setting is wrong"),
    (XunjiError, 500, "Internal error"),
)
"""Status and title by class, the first that fits; a `Rejected` brings its own."""

_DETAILS = {
    400: "The body cannot be read. Send one JSON object in UTF-8.",
    404: "This path is not part of the API. All paths stand at /docs.",
}
"""What the framework says of these does not tell what to do."""


def problem(
    status: int,
    title: str,
    detail: str,
    errors: Sequence[Wrong] = (),
    *,
    headers: Mapping[str, str] | None = None,
) -> Response:
    told = [Wrong(**{name: _hidden(text) for name, text in msgspec.structs.asdict(each).items()}) for each in errors]
    body = Problem(title=title, status=status, detail=_hidden(detail), errors=told)
    return Response(msgspec.json.encode(body), status, headers, CONTENT_TYPE)


def _hidden(text: str) -> str:
    """With its kind in the place of each personal value, also where the caller sent it: answers get into logs."""
    return fill_markers(scrub_text(text, lambda kind, value: "x"), lambda kind, token: f"[{kind}]")


def problem_of(error: XunjiError) -> Response:
    """The answer to an error that was raised on purpose."""
    if isinstance(error, Rejected):
        wait = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooManyRequests) else {}
        challenge = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        errors = msgspec.convert(error.errors, list[Wrong])
        return problem(error.status, error.title, error.detail, errors, headers=wait | challenge)
    status, title = next((status, title) for kind, status, title in STATUS_OF if isinstance(error, kind))
    wait = {"Retry-After": str(getattr(error, "retry_after_s", 1))} if status == 503 else {}
    return problem(status, title, str(error), headers=wait)


def problem_of_framework(error: HTTPException) -> Response:
    """The answer to a refusal of the framework's."""
    title = HTTPStatus(error.status_code).phrase.capitalize()
    return problem(error.status_code, title, _DETAILS.get(error.status_code, str(error.detail)), headers=error.headers)


def fault(error: BaseException) -> Response:
    """500 for a fault of ours. Its trace is logged without its message, which may hold a personal value."""
    trace = "".join(traceback.format_tb(error.__traceback__))
    log.error("request_failed", error=type(error).__name__, trace=trace)
    return problem(500, "Internal error", "We failed on this request, and it is logged. Trying again does no harm.")


def install(app: FastAPI, methods_of: Callable[[str], Sequence[str]]) -> None:
    """Let the app answer with problems only; `methods_of` tells which methods a path takes."""

    async def framework(request: Request, error: Exception) -> Response:
        raised = cast(HTTPException, error)
        if raised.status_code != 405:
            return problem_of_framework(raised)
        # The framework names the methods of the first route alone that has this path.
        allow = ", ".join(methods_of(request.url.path))
        detail = f"This path does not take {request.method}. It takes {allow}."
        return problem(405, "Method not allowed", detail, headers={"Allow": allow})

    app.add_exception_handler(XunjiError, _ours)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, _invalid)


async def _ours(_request: Request, error: Exception) -> Response:
    return problem_of(cast(XunjiError, error))


async def _invalid(_request: Request, error: Exception) -> Response:
    found = cast(RequestValidationError, error).errors()
    broken = next((each for each in found if each["type"] == "json_invalid"), None)
    if broken is not None:
        reason = broken.get("ctx", {}).get("error", broken["msg"])
        return problem(400, "Unreadable", f"The body is no JSON: {reason}. Send one JSON object in UTF-8.")
    errors = [_wrong(each) for each in found]
    paths = ", ".join(wrong.path or "the body" for wrong in errors)
    return problem(422, "Refused", f"Correct what `errors` names and send it again: {paths}.", errors)


def _wrong(found: Mapping[str, Any]) -> Wrong:
    path = _path(found["loc"])
    kind = found["type"]
    if kind == "extra_forbidden":
        return Wrong(path, "no such field", _shown(found["input"]), "Take the field out; it would be ignored.")
    if kind == "missing":
        return Wrong(path, "a value", "none", "The field is required.")
    if isinstance(found["input"], bytes):
        return Wrong(path, "a JSON object", "another type of content", "Send Content-Type: application/json.")
    expected = found["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return Wrong(path, expected, _shown(found["input"]), "Send the field in this shape.")


def _path(location: Sequence[str | int]) -> str:
    """`identifiers[0].kind` for a body's field; query and path parameters go by their name."""
    path = ""
    for part in location[1:]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".").encode(errors="backslashreplace").decode()


def _shown(value: Any) -> str:
    if isinstance(value, str | int | float | bool) or value is None:
        # Half of a surrogate pair, which JSON can spell and UTF-8 cannot, is written out as it came.
        text = json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
        return text if len(text) <= SHOWN_OF_INPUT else text[:SHOWN_OF_INPUT] + "…"
    return "a list" if isinstance(value, list) else "an object"
