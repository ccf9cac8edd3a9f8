"""`/identity`: a steward's word on who is who, evidence taken away, and likely matches that wait for a decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response

from api import identity_shapes as shapes
from api.answer import USUAL_LIMIT, After, Limit, answer, cursor_of, cursor_text
from api.documented import ok
from api.gate import PREFIX, DecidesIdentity, ReadsPersons
from api.identity import TwoIdentifiers, two_of
from api.keys import ApiKey
from api.naming import Naming
from api.services import Services, Use
from api.shapes import BilingualText
from cdp.errors import Conflict, NotFound
from cdp.model import Identifier, SetId
from cdp.moments import now_ms, rfc3339
from cdp.records import writing
from cdp.segment_work import Moved
from identity.gate import REQUEST_S
from identity.observation import ObservationId, set_id
from identity.reviews import Review, Reviews, ReviewState
from identity.steward import Decision, Note, Steward, Verdict, note_in
from leads.clear import ClearValues
from profiles.store import Cursor

router = APIRouter(prefix=f"{PREFIX}/identity", tags=["identity"])

TAKEN_BACK = "taken back"
"""Why a decision was undone, where it was simply deleted."""
OBSERVATIONS = range(2**63)

Reason = Annotated[str, pydantic.Field(min_length=1, max_length=1_000)]


class NewDecision(TwoIdentifiers, extra="forbid"):
    """`same` joins the persons of the two, unless a limit forbids it; `different` parts them whatever joins them."""

    verdict: Verdict
    reason: Reason


class NewRetraction(pydantic.BaseModel, extra="forbid"):
    """The id of an observation, as `evidence` has it, and why it must not count."""

    observation: Annotated[str, pydantic.Field(min_length=1, max_length=40)]
    reason: Reason


class ReviewAnswer(pydantic.BaseModel, extra="forbid"):
    """What a steward says of a likely match."""

    verdict: Verdict
    reason: Annotated[str, pydantic.Field(max_length=1_000)] = ""


class Wanted(StrEnum):
    """Which reviews."""

    OPEN = "open"
    SAME = "same"
    DIFFERENT = "different"
    ALL = "all"


# A steward's word


@router.post(
    "/decisions",
    status_code=201,
    summary="人工裁定 · Say that two are one person, or not",
    responses=ok(shapes.Decision, 201),
)
async def decide(body: NewDecision, use: Use, caller: DecidesIdentity) -> Response:
    """When it answers, reads see it."""
    return answer(await run_sync(_decide, use, caller, body), 201)


@router.get("/decisions", summary="裁定列表 · Decisions, newest first", responses=ok(shapes.Decisions))
async def decisions(use: Use, caller: ReadsPersons, limit: Limit = USUAL_LIMIT, cursor: After = None) -> Response:
    return answer(await run_sync(_decisions, use, caller, limit, cursor_of(cursor, "decisions")))


@router.delete("/decisions/{decision}", summary="撤销裁定 · Take a decision back", responses=ok(shapes.Decision))
async def undo(decision: str, use: Use, caller: DecidesIdentity) -> Response:
    """Everything is then as if it had never been said. Doing so twice changes nothing. A retraction of the decision
    does the same, and gives a reason."""
    return answer(await run_sync(_undo, use, caller, decision))


@router.post(
    "/retractions",
    status_code=201,
    summary="撤回证据 · Take one piece of evidence away",
    responses=ok(shapes.Retraction, 201, 200),
)
async def retract(body: NewRetraction, use: Use, caller: DecidesIdentity) -> Response:
    """A copy of it that comes again does not count either. Doing so twice answers 200 with the first one."""
    retraction, fresh = await run_sync(_retract, use, caller, body)
    return answer(retraction, 201 if fresh else 200)


def _decide(use: Services, caller: ApiKey, body: NewDecision) -> shapes.Decision:
    a, b, given = two_of(use, body)
    with use.system.gate.together(within_s=REQUEST_S):
        said, changes = _steward(use).decide(body.verdict, a, b, _note(use, caller, body.reason))
        use.system.aftermath.regrouped(changes.sets)
    [shown] = _shown(use, caller, [said], given)
    return shown


def _decisions(use: Services, caller: ApiKey, limit: int, after: Cursor | None) -> shapes.Decisions:
    every = _steward(use).decisions()
    last = None if after is None else (-after.at, _number(after.id))
    rest = [each for each in every if last is None or (-each.note.at, each.id) > last]
    page = rest[:limit]
    more = Cursor(page[-1].note.at, str(page[-1].id)) if len(rest) > limit else None
    return shapes.Decisions(decisions=_shown(use, caller, page), next=cursor_text(more, "decisions"))


def _undo(use: Services, caller: ApiKey, decision: str) -> shapes.Decision:
    steward, wanted = _steward(use), _observation("decision", decision)
    with use.system.gate.together(within_s=REQUEST_S):
        changes = steward.undo(wanted, Note(TAKEN_BACK, caller.name, now_ms()))
        _reviews(use).reopen(wanted)
        _regroup(use, wanted, changes.sets)
    [shown] = _shown(use, caller, [steward.decision(wanted)])
    return shown


def _retract(use: Services, caller: ApiKey, body: NewRetraction) -> tuple[shapes.Retraction, bool]:
    wanted = _observation("observation", body.observation)
    graph = use.system.graph
    before = graph.observations([wanted])
    with use.system.gate.together(within_s=REQUEST_S):
        changes = _steward(use).retract(wanted, _note(use, caller, body.reason))
        _reviews(use).reopen(wanted)
        _regroup(use, wanted, changes.sets)
    [(_, said)] = graph.observations([wanted])
    note = note_in(said)
    shown = Naming(use, caller, (), subject=str(wanted), texts=[note.reason]).note(note)
    return (
        shapes.Retraction(observation=str(wanted), reason=shown.reason, by=shown.by, at=shown.at),
        not any(gone for _, gone in before),
    )


def _regroup(use: Services, taken_back: ObservationId, sets: Collection[SetId]) -> None:
    """Tell what became of some evidence besides: where it proved a session alone, the graph moved nothing."""
    [(said, _)] = use.system.graph.observations([taken_back])
    use.system.aftermath.regrouped(sets)
    with writing(use.system.records) as connection:
        use.system.segment_work.note(connection, Moved([], [set_id(said.identifiers)]), at=now_ms())
    use.system.segment_work.due.set()


def _steward(use: Services) -> Steward:
    return Steward(use.system.identity)


def _note(use: Services, caller: ApiKey, reason: str) -> Note:
    """As it may stand in the graph: a phone number in the reason is a token there, and durable in the vault first."""
    safe = ClearValues(use.system.vault, region=use.system.settings.region)
    text, at = safe.text(reason), now_ms()
    if safe.clear:
        with writing(use.system.records) as connection:
            use.system.vault.remember(connection, safe.clear, at=at)
        use.system.vault.committed(safe.clear)
    return Note(text, caller.name, at)


def _observation(what: str, text: str) -> ObservationId:
    """The id in a text. Raises NotFound where it can be none of ours."""
    number = _number(text)
    if number not in OBSERVATIONS or str(number) != text:
        raise NotFound(what, text[:100])
    return ObservationId(number)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(OBSERVATIONS.stop)) else -1


def _shown(
    use: Services, caller: ApiKey, decisions: Sequence[Decision], given: Mapping[Identifier, str] | None = None
) -> list[shapes.Decision]:
    identifiers = [identifier for each in decisions for identifier in (each.a, each.b)]
    texts = [note.reason for each in decisions for note in (each.note, each.undone) if note is not None]
    naming = Naming(use, caller, identifiers, subject="decisions", texts=texts, given=given)
    return [
        shapes.Decision(
            id=str(each.id),
            verdict=each.verdict.value,
            a=naming.identifier(each.a),
            b=naming.identifier(each.b),
            reason=naming.text(each.note.reason),
            by=each.note.by,
            at=rfc3339(each.note.at),
            undone=msgspec.UNSET if each.undone is None else naming.note(each.undone),
        )
        for each in decisions
    ]


# Likely matches


@router.get("/reviews", summary="待裁定 · Likely matches to decide", responses=ok(shapes.Reviews))
async def reviews(
    use: Use,
    caller: ReadsPersons,
    state: Annotated[Wanted, Query(description="Which of them. 状态")] = Wanted.OPEN,
    limit: Limit = USUAL_LIMIT,
    cursor: After = None,
) -> Response:
    return answer(await run_sync(_list, use, caller, state, limit, cursor_of(cursor, "reviews")))


@router.post("/reviews/{review}", summary="裁定一条 · Decide a likely match", responses=ok(shapes.Review))
async def review(review: str, body: ReviewAnswer, use: Use, caller: DecidesIdentity) -> Response:
    """The verdict becomes a decision, and taking that back opens the review again. The same verdict twice is one."""
    return answer(await run_sync(_answer, use, caller, review, body))


def _list(use: Services, caller: ApiKey, wanted: Wanted, limit: int, after: Cursor | None) -> shapes.Reviews:
    state = None if wanted is Wanted.ALL else ReviewState(wanted.value)
    before = None if after is None else (after.at, after.id)
    found = _reviews(use).page(limit=limit + 1, state=state, before=before)
    page = found[:limit]
    more = Cursor(page[-1].at, page[-1].id) if len(found) > limit else None
    return shapes.Reviews(reviews=_reviews_shown(use, caller, page), next=cursor_text(more, "reviews"))


def _answer(use: Services, caller: ApiKey, review_id: str, body: ReviewAnswer) -> shapes.Review:
    book, state = _reviews(use), ReviewState(body.verdict.value)
    with use.system.gate.together(within_s=REQUEST_S), use.system.gate.turn("decide"):
        found = book.one(review_id)
        if found.state is ReviewState.OPEN:
            note = _note(use, caller, body.reason)
            said, changes = _steward(use).decide(body.verdict, found.a, found.b, note)
            book.decided(review_id, state, said.id)
            use.system.aftermath.regrouped(changes.sets)
            found = book.one(review_id)
    if found.state is not state:
        raise Conflict(f"It was decided: {found.state.value}. Take decision {found.decision} back first.")
    [shown] = _reviews_shown(use, caller, [found])
    return shown


def _reviews(use: Services) -> Reviews:
    return Reviews(use.system.records)


def _reviews_shown(use: Services, caller: ApiKey, found: Sequence[Review]) -> list[shapes.Review]:
    ends = [end for each in found for end in (each.a, each.b)]
    texts = [text for each in found for reason in each.reasons for text in (reason.zh, reason.en)]
    naming = Naming(use, caller, ends, subject="reviews", texts=texts)
    persons = {end: use.system.identity.person_of(end) for end in set(ends)}

    def end(identifier: Identifier) -> shapes.PersonEnd:
        return shapes.PersonEnd(kind=identifier.kind, value=naming.value(identifier), person=persons[identifier])

    return [
        shapes.Review(
            id=each.id,
            a=end(each.a),
            b=end(each.b),
            score=each.score,
            band=each.band.value,
            reasons=[BilingualText(zh=naming.text(r.zh), en=naming.text(r.en)) for r in each.reasons],
            state=each.state.value,
            decision=None if each.decision is None else str(each.decision),
            at=rfc3339(each.at),
        )
        for each in found
    ]
