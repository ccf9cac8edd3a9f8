"""`/segments`: say who is meant, see whom that is, and follow who comes and goes."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api import segment_shapes as shapes
from api import segment_views as views
from api.answer import USUAL_LIMIT, After, Limit, answer, cursor_of, cursor_text, moment, wrong
from api.documented import ok
from api.gate import PREFIX, ManagesSegments, ReadsSegments
from api.permissions import Permission
from api.segment_body import FieldsOnce
from api.segment_export import MEDIA, Format, exported
from api.services import Services, Use
from cdp.errors import Forbidden, NotFound
from cdp.model import Millis
from cdp.moments import rfc3339
from cdp.records import reading
from leads.lead import LeadId
from leads.store import present
from profiles.store import Cursor
from segments.book import Segment
from segments.faults import Fault, MalformedSegment
from segments.limits import MAX_SEGMENT_NAME
from segments.schema import schema
from segments.templates import templates
from segments.tree import Definition, Entity
from segments.units import EARLIEST, YEARS

router = APIRouter(prefix=f"{PREFIX}/segments", tags=["segments"], route_class=FieldsOnce)

MOST_COMPARED = 4
FILES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file. 文件", "content": {media: {} for media in MEDIA.values()}}
}

Document = Annotated[Any, pydantic.Field(description="docs/segments.md; its JSON Schema is at /segments/schema")]


def _name(name: str) -> str:
    """One spelling of names that look the same."""
    name = unicodedata.normalize("NFC", name.strip())
    if not name or not name.isprintable():
        raise ValueError("printable characters")
    return name


Name = Annotated[str, pydantic.Field(min_length=1, max_length=MAX_SEGMENT_NAME), pydantic.AfterValidator(_name)]
At = Annotated[str | None, Query(description="As it was then. 回到当时")]


class Check(pydantic.BaseModel, extra="forbid"):
    """A definition."""

    definition: Document


class PreviewOf(pydantic.BaseModel, extra="forbid"):
    """`at` is a moment of event time, now if nothing is said; `estimate` takes a 1/64 of all, for while one types."""

    definition: Document
    at: str | None = None
    estimate: pydantic.StrictBool = False


class NewSegment(pydantic.BaseModel, extra="forbid"):
    name: Name
    definition: Document


class ChangedSegment(pydantic.BaseModel, extra="forbid"):
    """What is to be another; nothing is changed of what is left out."""

    name: Name = ""
    definition: Document = None


class Overlap(pydantic.BaseModel, extra="forbid"):
    """Ids of segments, or definitions."""

    segments: Annotated[list[Any], pydantic.Field(min_length=2, max_length=MOST_COMPARED)]


# Definitions


@router.post("/check", summary="检查定义 · Check a definition", responses=ok(shapes.SegmentCheck))
async def check(body: Check, use: Use, caller: ReadsSegments) -> Response:
    """What it means, in a sentence, and all that is wrong in it. Answers 200 either way."""

    def look() -> shapes.SegmentCheck:
        return views.checked(use.segments.report(body.definition), _names(use), home=use.system.settings.tz)

    return answer(await run_sync(look))


@router.post("/preview", summary="预览人数与样例 · Whom a definition means", responses=ok(shapes.SegmentPreview))
async def preview(body: PreviewOf, use: Use, caller: ReadsSegments) -> Response:
    """Identifiers in the sample are masked for everybody."""

    def look() -> shapes.SegmentPreview:
        definition, at = use.segments.read(body.definition), _at(use, body.at)
        if body.estimate:
            return views.estimated(use.segments.estimate(definition, at), at)
        return views.previewed(use, definition, use.segments.preview(definition, at), at, _names(use))

    return answer(await run_sync(look))


@router.post("/overlap", summary="人群重叠 · How segments overlap", responses=ok(shapes.SegmentOverlap))
async def overlap(body: Overlap, use: Use, caller: ReadsSegments) -> Response:
    """Of two to four segments."""

    def look() -> shapes.SegmentOverlap:
        definitions = [_definition(use, each, f"segments[{place}]") for place, each in enumerate(body.segments)]
        at = use.segments.clock()
        return views.overlapping(use.segments.overlap(definitions, at), len(definitions), at)

    return answer(await run_sync(look))


def _definition(use: Services, given: Any, path: str) -> Definition:
    if isinstance(given, str):
        return use.segments.book.get(given).definition
    try:
        return use.segments.read(given)
    except MalformedSegment as error:
        faults = (Fault(f"{path}.{each.path}".rstrip("."), each.expected, each.got, each.help) for each in error.faults)
        raise MalformedSegment(faults) from None


@router.get("/templates", summary="内置模板 · Definitions to begin with", responses=ok(shapes.SegmentTemplates))
async def list_templates(use: Use, caller: ReadsSegments) -> Response:
    return answer(
        shapes.SegmentTemplates(
            templates=[views.template(each, tz=use.system.settings.tz) for each in templates().values()]
        )
    )


@router.get("/schema", summary="定义的 JSON Schema · The JSON Schema of definitions")
async def read_schema(caller: ReadsSegments) -> Response:
    return answer(schema())


# Segments


@router.post("", status_code=201, summary="新建人群 · Make a segment", responses=ok(shapes.Segment, 201, 200))
async def create(body: NewSegment, use: Use, caller: ManagesSegments) -> Response:
    """Answers when it is filled; after 30 s also if it is not, with the state `filling`. The same name and meaning
    again answer 200 with the segment that is there."""

    def make() -> tuple[shapes.Segment, bool]:
        made, new = use.segments.create(body.name, body.definition)
        return views.segment(use, made, _names(use)), new

    segment, new = await run_sync(make)
    return answer(segment, 201 if new else 200)


@router.get("", summary="人群列表 · Segments, newest first", responses=ok(shapes.Segments))
async def list_all(use: Use, caller: ReadsSegments, limit: Limit = USUAL_LIMIT, cursor: After = None) -> Response:
    after = cursor_of(cursor, "segments")

    def read() -> shapes.Segments:
        every = sorted(use.segments.book.every(), key=lambda each: (-each.created_at, each.id))
        rest = [each for each in every if after is None or (-each.created_at, each.id) > (-after.at, after.id)]
        more = Cursor(rest[limit - 1].created_at, rest[limit - 1].id) if len(rest) > limit else None
        names = views.names_of(every)
        shown = [views.segment(use, each, names) for each in rest[:limit]]
        return shapes.Segments(segments=shown, next=cursor_text(more, "segments"))

    return answer(await run_sync(read))


@router.get("/{segment}", summary="人群 · A segment", responses=ok(shapes.Segment))
async def one(segment: str, use: Use, caller: ReadsSegments) -> Response:
    return answer(await run_sync(lambda: views.segment(use, use.segments.book.get(segment), _names(use))))


@router.patch("/{segment}", summary="修改人群 · Change name or definition", responses=ok(shapes.Segment))
async def change(segment: str, body: ChangedSegment, use: Use, caller: ManagesSegments) -> Response:
    """Who comes and goes because of a new definition is in the changes, and is not published."""

    def put() -> shapes.Segment:
        if body.definition is None and "definition" in body.model_fields_set:
            raise wrong("definition", "a definition", "null", "Leave the field out if it shall stay.")
        changed = use.segments.update(segment, name=body.name or None, document=body.definition)
        return views.segment(use, changed, _names(use))

    return answer(await run_sync(put))


@router.delete("/{segment}", summary="删除人群 · Delete a segment", responses=ok(shapes.Segment))
async def delete(segment: str, use: Use, caller: ManagesSegments) -> Response:
    """Refused with their list (409) where other segments name it."""

    def remove() -> shapes.Segment:
        gone = views.segment(use, use.segments.book.get(segment), _names(use))
        use.segments.book.delete(segment)
        return gone

    return answer(await run_sync(remove))


# Who is in it


@router.get("/{segment}/members", summary="成员 · Who is in it, or was", responses=ok(shapes.SegmentMembers))
async def members(
    segment: str,
    use: Use,
    caller: ReadsSegments,
    at: At = None,
    limit: Limit = USUAL_LIMIT,
    cursor: After = None,
) -> Response:
    """Newest first. For `at` before the segment was made: whom it would have meant, by what is known today."""

    def read() -> shapes.SegmentMembers:
        found, then = use.segments.book.get(segment), None if at is None else _at(use, at)
        page, after = use.segments.members(found, at=then, after=cursor_of(cursor, "members"), limit=limit)
        shown = [views.member(found.definition, each) for each in page]
        return shapes.SegmentMembers(members=shown, next=cursor_text(after, "members"))

    return answer(await run_sync(read))


@router.get("/{segment}/changes", summary="进出记录 · Who came and went", responses=ok(shapes.SegmentChanges))
async def changes(
    segment: str, use: Use, caller: ReadsSegments, limit: Limit = USUAL_LIMIT, cursor: After = None
) -> Response:
    def read() -> shapes.SegmentChanges:
        found = use.segments.book.get(segment)
        page, after = use.segments.membership.changes(found.n, after=cursor_of(cursor, "changes"), limit=limit)
        shown = [views.change(found.definition, each) for each in page]
        return shapes.SegmentChanges(changes=shown, next=cursor_text(after, "changes"))

    return answer(await run_sync(read))


@router.get("/{segment}/explain", summary="为何在其中 · Why in it or not", responses=ok(shapes.SegmentExplanation))
async def explain(
    segment: str,
    use: Use,
    caller: ReadsSegments,
    person: Annotated[str | None, Query(max_length=100, description="A person's id. 客户编号")] = None,
    lead: Annotated[str | None, Query(max_length=100, description="A lead's id. 线索编号")] = None,
    at: At = None,
) -> Response:
    """By the present definition and all that is known today, of a person or, in a segment of leads, of a lead; beside
    it what was recorded at that moment."""

    def read() -> shapes.SegmentExplanation:
        found, then = use.segments.book.get(segment), _at(use, at)
        unit = _unit(use, found, person=person, lead=lead)
        told = use.segments.explain(found.definition, unit, then)
        recorded = use.segments.recorded(found, unit, then)
        return views.explained(use, told, unit, then, _names(use), recorded=recorded)

    return answer(await run_sync(read))


def _unit(use: Services, segment: Segment, *, person: str | None, lead: str | None) -> str:
    """The unit that is asked for, by the id that it has now. Raises Refused and NotFound."""
    entity = segment.definition.entity
    given, other = (person, lead) if entity is Entity.PERSON else (lead, person)
    if given is None or other is not None:
        asked = "none" if given is None else "both"
        raise wrong(entity.value, f"the id of a {entity}", asked, f"This segment is about {entity}s.")
    if entity is Entity.PERSON:
        return use.people.current(given)
    with reading(use.system.records) as connection:
        if not present(connection, [LeadId(given)]):
            raise NotFound("lead", given)
    return given


@router.get("/{segment}/export", summary="导出成员 · The members as a file", responses=FILES)
async def export(
    segment: str,
    use: Use,
    caller: ReadsSegments,
    written: Annotated[Format, Query(alias="format", description="For a spreadsheet. 格式")] = Format.CSV,
    clear: Annotated[bool, Query(description="With clear values; it is noted who took them. 导出明文")] = False,
) -> Response:
    """CSV or XLSX, in parts while it is read. With `clear` each value leaves an audit row, and the export one before
    its first byte."""
    if clear and not caller.may(Permission.SEE_CLEAR):
        raise Forbidden(caller.role.value, Permission.SEE_CLEAR.value)
    found = await run_sync(use.segments.book.get, segment)
    parts = await run_sync(lambda: exported(use, caller, found, written, clear=clear))
    named = {"content-disposition": f'attachment; filename="{found.id}.{written.value}"'}
    return StreamingResponse(iterate_in_threadpool(parts), headers=named, media_type=MEDIA[written])


# What is common to them


def _names(use: Services) -> views.Names:
    return views.names_of(use.segments.book.every())


def _at(use: Services, text: str | None) -> Millis:
    """A moment that has been, now if none is given. Raises Refused."""
    now = use.segments.clock()
    at = moment("at", text)
    if at is not None and at < EARLIEST:
        raise wrong("at", f"a moment since {YEARS[0]}", rfc3339(at), "Nothing is kept of before.")
    if at is not None and at > now:
        raise wrong("at", "a moment that has been", rfc3339(at), "What happens until then is not known.")
    return now if at is None else at
