"""The OpenAPI document: the shapes of all answers, the one shape of refusals, and the key that calls need."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import identity_shapes, import_shapes, lead_shapes, segment_shapes, shapes
from leads.request import LeadRequest

REF = "#/components/schemas/{name}"
DESCRIPTION = """What people and scripts ask of a running Xunji. 寻迹管理接口。

Send an API key as `Authorization: Bearer <key>`; `cdp key create` makes one. Personal values travel in bodies, never
in paths or queries, and come back masked unless the key may see them, which leaves an audit row. Lists are newest
first and page by `cursor`. A write takes `Idempotency-Key` and then is done once, however often it is sent within a
day."""

_MODULES = (shapes, lead_shapes, identity_shapes, import_shapes, segment_shapes)
_MADE = (shape for each in _MODULES for shape in vars(each).values() if isinstance(shape, type))
SHAPES: tuple[type[msgspec.Struct], ...] = (
    *dict.fromkeys(each for each in _MADE if issubclass(each, msgspec.Struct) and not each.__name__.startswith("_")),
    LeadRequest,
)

PROBLEM: dict[str, Any] = {
    "description": "Refused; `detail` says what to do. 请求被拒绝",
    "content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}},
}
REFUSALS: dict[int | str, dict[str, Any]] = {"4XX": PROBLEM, "5XX": PROBLEM}

LEAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": REF.format(name="LeadRequest")}}},
    }
}


def ok(shape: type[msgspec.Struct], status: int = 200, *more: int) -> dict[int | str, dict[str, Any]]:
    """What a call answers when it is done, with one status or several."""
    content = {"application/json": {"schema": {"$ref": REF.format(name=shape.__name__)}}}
    text = (shape.__doc__ or shape.__name__).strip()
    return {each: {"description": text, "content": content} for each in (status, *more)}


def document(app: FastAPI) -> dict[str, Any]:
    """Made once, at the first call."""
    if app.openapi_schema is None:
        made = get_openapi(title="Xunji 寻迹", version=app.version, description=DESCRIPTION, routes=app.routes)
        _, named = msgspec.json.schema_components(SHAPES, ref_template=REF)
        components = made.setdefault("components", {})
        components.setdefault("schemas", {}).update(named)
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"key": []}]
        app.openapi_schema = made
    return app.openapi_schema
