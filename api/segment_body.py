"""Bodies of calls about segments: what the framework's reading of JSON would lose or misname is told."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from segments.reading import read_json

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class FieldsOnce(APIRoute):
    """A route whose bodies name no field twice."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            # What is no JSON at all the framework has a sentence for.
            with suppress(ValueError):
                read_json(await request.body())
            return await handle(request)

        return read
