"""`/persons`: who somebody is, what they did, and how we came to think so."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response

from api import lead_shapes, shapes
from api.answer import USUAL_LIMIT, After, Limit, answer, cursor_of, cursor_text, moment, wrong
from api.documented import ok
from api.gate import PREFIX, ReadsLeads, ReadsPersons
from api.keys import ApiKey
from api.naming import Naming, notes_in
from api.permissions import Permission
from api.services import Services, Use
from cdp.errors import NotFound
from cdp.moments import rfc3339
from identity.changes import Change
from identity.observation import ObservationId
from profiles.store import Cursor

router = APIRouter(prefix=f"{PREFIX}/persons", tags=["persons"])


class Lookup(pydantic.BaseModel, extra="forbid"):
    """An identifier as it is; it is compared in its normal form."""

    kind: Annotated[str, pydantic.Field(min_length=1, max_length=40)]
    value: Annotated[str, pydantic.Field(min_length=1, max_length=1_000)]


@router.post("/lookup", summary="按标识查找客户 · Find a person by an identifier", responses=ok(shapes.Person))
async def lookup(body: Lookup, use: Use, caller: ReadsPersons) -> Response:
    check_kind(use, body.kind)
    identifier = use.people.identifier(body.kind, body.value)
    found = None
    if identifier is not None:
        person = use.people.remembered_person(identifier)
        found = use.people.remembered(caller, person) if person else None
        if found is None:
            found = await run_sync(use.people.find, caller, identifier)
    if found is None:
        raise NotFound("person", f"with this {body.kind}")
    return _json(found)


@router.get("/{person}", summary="客户档案 · A person with traits", responses=ok(shapes.Person))
async def person(
    person: str,
    use: Use,
    caller: ReadsPersons,
    at: Annotated[str | None, Query(description="Only what was known then. 当时已知")] = None,
) -> Response:
    """With `at`: who it was then, by our own clock, and what had happened by then, by the events' time."""
    then = moment("at", at)
    if then is None:
        return await _person(use, caller, person)
    return _json(await run_sync(use.people.read_as_of, caller, person, then))


@router.get("/{person}/trail", summary="行为轨迹 · Events of all ends, newest first", responses=ok(shapes.Events))
async def trail(
    person: str, use: Use, caller: ReadsPersons, limit: Limit = USUAL_LIMIT, cursor: After = None
) -> Response:
    return answer(await run_sync(_trail, use, caller, person, limit, cursor_of(cursor, "trail")))


@router.get("/{person}/leads", summary="此人的线索 · The leads of a person", responses=ok(lead_shapes.Leads))
async def leads(
    person: str, use: Use, caller: ReadsLeads, limit: Limit = USUAL_LIMIT, cursor: After = None
) -> Response:
    return answer(await run_sync(_leads, use, caller, person, limit, cursor_of(cursor, "leads")))


@router.get("/{person}/history", summary="合并与拆分 · Merges, splits and moves", responses=ok(shapes.History))
async def history(
    person: str, use: Use, caller: ReadsPersons, limit: Limit = USUAL_LIMIT, cursor: After = None
) -> Response:
    return answer(await run_sync(_history, use, caller, person, limit, cursor_of(cursor, "history")))


def check_kind(use: Services, kind: str, path: str = "kind") -> None:
    """Raises Refused where no identifier has this kind."""
    kinds = use.system.identity.policy.kinds
    if kind not in kinds:
        raise wrong(path, "one of " + ", ".join(sorted(kinds)), kind, "Name the kind it is.")


async def _person(use: Services, caller: ApiKey, person: str) -> Response:
    body = use.people.remembered(caller, person)
    return _json(body if body is not None else await run_sync(use.people.read, caller, person))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _trail(use: Services, caller: ApiKey, person: str, limit: int, before: Cursor | None) -> dict[str, object]:
    who = use.people.who(person)
    found = use.system.events.trail(tuple(who.sets), limit=limit + 1, before=before, windows=who.windows)
    events = use.showing.events(caller, found[:limit], subject=person)
    return {"events": events, "next": cursor_text(_last(found, limit), "trail")}


def _last(found: list[dict[str, object]], limit: int) -> Cursor | None:
    if len(found) <= limit:
        return None
    last = found[limit - 1]
    return Cursor(int(str(last["occurred_at"])), str(last["id"]))


def _leads(use: Services, caller: ApiKey, person: str, limit: int, before: Cursor | None) -> dict[str, object]:
    who = use.people.current(person)
    reveal = caller.may(Permission.SEE_CLEAR)
    found, after = use.system.leads.leads_of(who, limit=limit, cursor=before, reveal=reveal, actor=caller.name)
    return {"leads": found, "next": cursor_text(after, "leads")}


def _history(use: Services, caller: ApiKey, person: str, limit: int, before: Cursor | None) -> shapes.History:
    newest = use.system.identity.history(use.people.current(person))[::-1]
    # The place in a list that only grows at its other end.
    skipped = len(newest) - before.at if before else 0
    page = newest[max(0, skipped) :][:limit]
    rest = len(newest) - max(0, skipped) - len(page)
    told = _evidence(use, caller, person, {each.cause for each in page if each.cause is not None})
    history = [_change(each, told) for each in page]
    return shapes.History(history=history, next=cursor_text(Cursor(rest, "") if rest > 0 else None, "history"))


def history_of(use: Services, caller: ApiKey, person: str) -> list[shapes.Change]:
    """All of a person's history, newest first."""
    return _history(use, caller, person, sys.maxsize, None).history


def _evidence(
    use: Services, caller: ApiKey, person: str, causes: set[ObservationId]
) -> dict[ObservationId | None, shapes.Evidence]:
    found = use.system.graph.observations(causes)
    texts = [*notes_in(each for each, _ in found), *(gone for _, gone in found)]
    naming = Naming(use, caller, (), subject=person, texts=texts)
    return {each.id: naming.evidence(each, gone) for each, gone in found}


def _change(change: Change, told: Mapping[ObservationId | None, shapes.Evidence]) -> shapes.Change:
    return shapes.Change(
        kind=change.kind.value,
        person=change.person,
        others=list(change.others),
        cause=None if change.cause is None else str(change.cause),
        evidence=told.get(change.cause),
        version=change.seq,
        at=rfc3339(change.at),
    )
