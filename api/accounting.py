"""`/accounting`: whether everything that came has an outcome."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response

from api import shapes
from api.answer import answer, moment
from api.documented import ok
from api.gate import PREFIX, ReadsAccounting
from api.services import Services, Use
from cdp.accounting import statement
from cdp.kafka_url import is_kafka
from cdp.log_notes import spooled
from cdp.model import Millis

router = APIRouter(prefix=f"{PREFIX}/accounting", tags=["accounting"])


@router.get("", summary="对账 · What became of every hit and event", responses=ok(shapes.Account))
async def account(
    use: Use,
    caller: ReadsAccounting,
    start: Annotated[str | None, Query(alias="from", description="Of receipt, inclusive. 接收时间起")] = None,
    end: Annotated[str | None, Query(alias="to", description="Of receipt, exclusive. 接收时间止")] = None,
    source: Annotated[str | None, Query(description="A source's id. 来源")] = None,
) -> Response:
    return answer(await run_sync(_statement, use, moment("from", start), moment("to", end), source))


def _statement(use: Services, start: Millis | None, end: Millis | None, source: str | None) -> dict[str, Any]:
    # The ends first: what is accepted meanwhile must not look as if it had been processed before it came.
    ends = use.system.log.ends()
    told = statement(use.system.records, ends, start=start, end=end, source=source)
    if is_kafka(use.system.settings.log_url):
        told["spooled"] = spooled(use.system.records)
    return told
