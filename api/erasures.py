"""`/persons/{id}/erase`: forget a person for good, and the receipt of what was destroyed; before it, a copy of all."""

from __future__ import annotations

from typing import Annotated

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

from api import gate, shapes
from api.answer import answer
from api.documented import ok
from api.export import everything_of
from api.services import Services, Use
from cdp.audit import note_done
from cdp.erasure import STEPS
from cdp.erasure_jobs import Job, Plan
from cdp.errors import NotFound
from cdp.model import PersonId
from cdp.moments import now_ms, rfc3339

router = APIRouter(prefix=f"{gate.PREFIX}/persons", tags=["persons"])


class Erase(pydantic.BaseModel, extra="forbid"):
    """Why; it stands on the receipt, so it should name no personal value."""

    reason: Annotated[str, pydantic.Field(min_length=1, max_length=1_000)]


@router.post(
    "/{person}/erase", status_code=202, summary="删除个人数据 · Erase a person", responses=ok(shapes.Erasure, 202)
)
async def erase(person: str, body: Erase, use: Use, caller: gate.ErasesPersons) -> Response:
    """Takes back the evidence, deletes events, traits and clear values, empties leads, redacts kept hits; nothing of it
    comes back by a copy or a replay. Answers at once with a job, whose receipt tells what was destroyed."""

    def request() -> shapes.Erasure:
        who = PersonId(use.people.current(person))
        return _shown(use.system.eraser.request(who, reason=body.reason, by=caller.name), None)

    return answer(await run_sync(request), 202)


@router.get("/erasures/{erasure}", summary="删除进度与回执 · How far an erasure is", responses=ok(shapes.Erasure))
async def one(erasure: str, use: Use, caller: gate.ErasesPersons) -> Response:
    found = await run_sync(use.system.eraser.find, erasure)
    if found is None:
        raise NotFound("erasure", erasure)
    return answer(_shown(*found))


@router.get("/{person}/export", summary="导出个人数据 · All that is known of a person", responses=ok(shapes.Export))
async def export(person: str, use: Use, caller: gate.ExportsPersons) -> Response:
    """Identifiers, traits, events, leads, history and the evidence, oldest first, as one JSON document."""

    def read() -> shapes.Export:
        found = everything_of(use, caller, person)
        _note_export(use, caller.name, person)
        return found

    return answer(await run_sync(read))


def _note_export(use: Services, actor: str, person: str) -> None:
    subject = use.people.current(person)
    note_done(use.system.records, "export", actor=actor, subject=subject, at=now_ms())


def _shown(job: Job, plan: Plan | None) -> shapes.Erasure:
    hits = sum(plan.looked.values()) if plan else 0
    return shapes.Erasure(
        id=job.id,
        person=job.person,
        reason=job.reason,
        by=job.by,
        requested_at=rfc3339(job.requested_at),
        state=job.state.value,
        step=None if job.receipt or job.steps >= len(STEPS) else STEPS[job.steps].__name__,
        steps_done=job.steps,
        steps=len(STEPS),
        hits_looked_at=hits,
        receipt=job.receipt,
    )
