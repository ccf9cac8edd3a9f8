"""`/qr`: codes that lead to a page with its campaign in the address."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

from api.gate import PREFIX, DrawsCodes
from cdp.qr import MAX_CODES, MAX_SCALE, SCALE, Format, codes_of, zip_of

router = APIRouter(prefix=f"{PREFIX}/qr", tags=["qr"])

Word = Annotated[str, pydantic.Field(max_length=200)]
ZIP = "application/zip"

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_IMAGES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The image, or with `each` a ZIP file of them. 二维码图片，或其压缩包",
        "content": dict.fromkeys((*(each.media_type for each in Format), ZIP), _BINARY),
    }
}


class QrCampaign(pydantic.BaseModel, extra="forbid"):
    """What the code's `utm_` parameters say."""

    source: Word = ""
    medium: Word = ""
    name: Word = ""
    term: Word = ""
    content: Word = ""


class NewQr(pydantic.BaseModel, extra="forbid"):
    """A page and its campaign. `each` makes a code for each value of `content`; `scale` is pixels of a module."""

    url: Annotated[str, pydantic.Field(min_length=1, max_length=4_000)]
    campaign: QrCampaign = QrCampaign()
    each: Annotated[list[Word], pydantic.Field(max_length=MAX_CODES)] = []
    format: Format = Format.PNG
    scale: Annotated[int, pydantic.Field(ge=1, le=MAX_SCALE)] = SCALE


@router.post("", summary="二维码 · A QR code with its campaign", response_class=Response, responses=_IMAGES)
async def draw(body: NewQr, caller: DrawsCodes) -> Response:
    """Keeps nothing."""
    return await run_sync(_drawn, body)


def _drawn(body: NewQr) -> Response:
    codes = codes_of(body.url, body.campaign.model_dump(), each=body.each)
    if body.each:
        name = body.campaign.name
        packed = zip_of(codes, name, body.format, scale=body.scale)
        return Response(packed, media_type=ZIP, headers={"Content-Disposition": 'attachment; filename="qr.zip"'})
    return Response(codes[0].image(body.format, scale=body.scale), media_type=body.format.media_type)
