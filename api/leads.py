"""`/leads`: take an enquiry with the trail that led to it, and read it again."""

from __future__ import annotations

import time
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import lead_shapes as shapes
from api.answer import USUAL_LIMIT, After, Limit, answer, cursor_of, cursor_text, wrong
from api.documented import LEAD_BODY, ok
from api.gate import PREFIX, ReadsLeads, WritesLeads
from api.keys import ApiKey
from api.permissions import Permission
from api.persons import Lookup
from api.services import Services, Use
from cdp.kafka_url import is_kafka
from cdp.log_notes import hits_are_to_come
from leads.lead import CONTACT_FIELDS, Waited
from leads.request import LeadRequest, read_request

router = APIRouter(prefix=f"{PREFIX}/leads", tags=["leads"])


@router.post(
    "",
    status_code=201,
    summary="新建线索 · Capture a lead",
    responses=ok(shapes.Lead, 201, 200),
    openapi_extra=LEAD_BODY,
)
async def create(request: Request, use: Use, caller: WritesLeads) -> Response:
    """Waits a moment for events that came before it, then freezes the trail. The same (source, external_id) again
    answers 200 with the lead that is there."""
    body = read_request(await request.body())
    lead, created = await run_sync(_capture, use, caller, body)
    return answer(lead, 201 if created else 200)


@router.get("", summary="线索列表 · Leads, newest first", responses=ok(shapes.Leads))
async def list_all(
    use: Use,
    caller: ReadsLeads,
    stage: Annotated[str | None, Query(max_length=40)] = None,
    owner: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = USUAL_LIMIT,
    cursor: After = None,
) -> Response:
    def read() -> dict[str, Any]:
        found, after = use.system.leads.leads(
            stage=stage, owner=owner, limit=limit, cursor=cursor_of(cursor, "leads"), **_sight(caller)
        )
        return {"leads": found, "next": cursor_text(after, "leads")}

    return answer(await run_sync(read))


@router.post("/lookup", summary="按联系方式查找线索 · Find leads by a contact", responses=ok(shapes.Leads))
async def lookup(body: Lookup, use: Use, caller: ReadsLeads) -> Response:
    """By a contact value as it was left, or by an identifier of the person."""
    kinds = {*use.system.identity.policy.kinds, *CONTACT_FIELDS}
    if body.kind not in kinds:
        raise wrong("kind", "one of " + ", ".join(sorted(kinds)), body.kind, "Name the kind it is.")
    found = await run_sync(lambda: use.system.leads.lookup(body.kind, body.value, **_sight(caller)))
    return answer({"leads": found, "next": None})


@router.get("/{lead}", summary="线索 · A lead with its frozen trail", responses=ok(shapes.Lead))
async def one(lead: str, use: Use, caller: ReadsLeads) -> Response:
    return answer(await run_sync(lambda: use.system.leads.lead(lead, **_sight(caller))))


def _capture(use: Services, caller: ApiKey, body: LeadRequest) -> tuple[dict[str, Any], bool]:
    there = use.system.leads.existing(body.source, body.external_id)
    if there is None:
        lead, created = use.system.leads.capture(body, waited=_wait(use), actor=caller.name)
        use.system.outbox.tell()
    else:
        lead, created = there, False
    # Whoever only writes leads sees in the answer no more than what was sent.
    if caller.may(Permission.SEE_CLEAR) and caller.may(Permission.READ_LEADS):
        lead = use.system.leads.lead(lead["id"], **_sight(caller))
    return lead, created


def _wait(use: Services) -> Waited:
    """Wait until everything that the log held when the lead came is processed. What lay in spools may be missing."""
    began = time.monotonic()
    longest = use.system.settings.lead_wait.total_seconds()
    # Asked first: what leaves a spool meanwhile comes behind the ends that are waited for.
    held_back = is_kafka(use.system.settings.log_url) and hits_are_to_come(use.system.records)
    complete = use.system.progress.wait_for(use.system.log.ends(), longest) and not held_back
    return Waited(complete, round((time.monotonic() - began) * 1000))


def _sight(caller: ApiKey) -> dict[str, Any]:
    return {"reveal": caller.may(Permission.SEE_CLEAR), "actor": caller.name}
