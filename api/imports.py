"""`/imports`: rows of a file into events and leads: upload, look, confirm, follow, report, undo."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from enum import StrEnum
from typing import Annotated

import pydantic
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api import import_shapes as shapes
from api.answer import USUAL_LIMIT, After, Limit, answer, cursor_of, cursor_text
from api.documented import ok
from api.gate import PREFIX, Imports
from api.services import Services, Use
from cdp.errors import Refused
from cdp.imports_files import Upload
from cdp.imports_jobs import Job, State
from cdp.imports_report import as_csv, as_json, lines_of
from cdp.moments import now_ms, rfc3339
from collectors.columns import ImportMap, RowKind, map_of
from profiles.store import Cursor

router = APIRouter(prefix=f"{PREFIX}/imports", tags=["imports"])

BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": {}}}}
WRITTEN_AT_ONCE = 1024 * 1024


class MapBody(pydantic.BaseModel, extra="forbid"):
    """What a row is, what each column means (docs/import.md), and the name of events where no column has one."""

    kind: RowKind
    columns: Annotated[dict[str, Annotated[str, pydantic.Field(max_length=300)]], pydantic.Field(max_length=500)]
    event: Annotated[str, pydantic.Field(max_length=200)] = ""


class Confirm(pydantic.BaseModel, extra="forbid"):
    """The map; without one the guess is taken, if nothing in it is unsure."""

    map: MapBody | None = None


class Nothing(pydantic.BaseModel, extra="forbid"):
    """An empty object."""


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"


@router.post(
    "", status_code=201, summary="上传文件并预览 · Upload a file", responses=ok(shapes.Import, 201), openapi_extra=BODY
)
async def upload(
    request: Request,
    use: Use,
    caller: Imports,
    source: Annotated[str, Query(max_length=200, description="A source's id. 数据源")],
    filename: Annotated[str, Query(max_length=300, description="For people to find it again. 文件名")] = "",
    kind: Annotated[RowKind, Query(description="What a row is. 一行是什么")] = RowKind.LEADS,
    sheet: Annotated[str | None, Query(max_length=200, description="Of a workbook; else the first. 工作表")] = None,
) -> Response:
    """The body is the file, CSV or XLSX, as it is. Answers what was guessed of its columns, with masked samples and
    what a person must decide; nothing is taken before it is confirmed. The same file again, before it is confirmed,
    gives the same import."""
    coming = await run_sync(use.system.importer.upload, source)
    try:
        digest = await _received(request, coming, f"{source}\0{kind}\0{sheet}")
    except BaseException:
        use.system.importer.abandon(coming)
        raise

    def look() -> shapes.Import:
        return _shown(
            use.system.importer.preview(coming, digest=digest, name=filename, kind=kind, sheet=sheet, by=caller.name)
        )

    return answer(await run_sync(look), 201)


async def _received(request: Request, coming: Upload, named: str) -> str:
    """Write the body to the file; its digest."""
    digest = hashlib.blake2b(named.encode(), digest_size=16)
    waiting = bytearray()
    async for part in request.stream():
        digest.update(part)
        waiting += part
        if len(waiting) >= WRITTEN_AT_ONCE:
            await run_sync(coming.file.write, bytes(waiting))
            waiting.clear()
    await run_sync(coming.file.write, bytes(waiting))
    if not coming.file.size:
        raise Refused("The body is empty. Send the file's bytes as they are, not as a form.")
    return digest.hexdigest()


@router.get("", summary="导入列表 · Imports, newest first", responses=ok(shapes.Imports))
async def list_all(use: Use, caller: Imports, limit: Limit = USUAL_LIMIT, cursor: After = None) -> Response:
    def read() -> shapes.Imports:
        found = use.system.importer.book.page(limit + 1, cursor_of(cursor, "imports"))
        more = Cursor(found[limit - 1].requested_at, found[limit - 1].id) if len(found) > limit else None
        return shapes.Imports(imports=[_shown(job) for job in found[:limit]], next=cursor_text(more, "imports"))

    return answer(await run_sync(read))


@router.get("/{import_id}", summary="导入进度 · How far an import is", responses=ok(shapes.Import))
async def one(import_id: str, use: Use, caller: Imports) -> Response:
    return answer(_shown(await run_sync(use.system.importer.book.find, import_id)))


@router.post(
    "/{import_id}/confirm", status_code=202, summary="确认并导入 · Take the rows", responses=ok(shapes.Import, 202)
)
async def confirm(import_id: str, body: Confirm, use: Use, caller: Imports) -> Response:
    def begin() -> shapes.Import:
        told = _map(use, import_id, body.map)
        return _shown(use.system.importer.confirm(import_id, told, by=caller.name))

    return answer(await run_sync(begin), 202)


def _map(use: Services, import_id: str, given: MapBody | None) -> ImportMap:
    if given is not None:
        return ImportMap(kind=given.kind, columns=given.columns, event=given.event)
    job = use.system.importer.book.find(import_id)
    if job.questions:
        raise Refused(
            "The guess is unsure. Send a `map` that answers what `errors` asks.",
            [
                {"path": each.column or "columns", "expected": each.en, "got": "no map", "help": each.zh}
                for each in job.questions
            ],
        )
    return map_of(job.columns, job.kind)


@router.post(
    "/{import_id}/cancel", status_code=202, summary="停止导入 · Take no more rows", responses=ok(shapes.Import, 202)
)
async def cancel(import_id: str, use: Use, caller: Imports, body: Nothing) -> Response:
    """What was taken stays; undo takes it back."""
    return answer(_shown(await run_sync(lambda: use.system.importer.cancel(import_id, by=caller.name))), 202)


@router.post(
    "/{import_id}/undo", status_code=202, summary="撤销导入 · Take an import back", responses=ok(shapes.Import, 202)
)
async def undo(import_id: str, use: Use, caller: Imports, body: Nothing) -> Response:
    """Its events, traits, evidence and leads go, its hits are redacted, and the same file can be imported again. A
    lead that somebody works on already becomes an empty shell."""
    return answer(_shown(await run_sync(lambda: use.system.importer.undo(import_id, by=caller.name))), 202)


@router.get("/{import_id}/report", summary="逐行结果 · What became of each row", responses=ok(shapes.ImportReport))
async def report(
    import_id: str,
    use: Use,
    caller: Imports,
    written: Annotated[Format, Query(alias="format", description="For a spreadsheet or a program. 格式")] = Format.JSON,
) -> Response:
    job = await run_sync(use.system.importer.book.find, import_id)
    path = use.system.importer.report_path(job.id)
    lines = lines_of(path, job.report_bytes) if path.exists() else iter(())
    if written is Format.CSV:
        named = {"content-disposition": f'attachment; filename="{job.id}.csv"'}
        return StreamingResponse(_parts(as_csv(lines)), headers=named, media_type="text/csv; charset=utf-8")
    return StreamingResponse(_parts(as_json(lines)), media_type="application/json")


def _parts(found: Iterator[bytes]) -> AsyncIterator[bytes]:
    return iterate_in_threadpool(_grouped(found))


def _grouped(found: Iterator[bytes]) -> Iterator[bytes]:
    """In parts of some size: a thread for each line would cost more than the line."""
    waiting = bytearray()
    for each in found:
        waiting += each
        if len(waiting) >= WRITTEN_AT_ONCE:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _shown(job: Job) -> shapes.Import:
    took_ms = (job.done_at or now_ms()) - job.began_at
    undone = job.state in (State.UNDOING, State.UNDONE)
    return shapes.Import(
        id=job.id,
        state=job.state.value,
        source=job.source,
        file=job.file,
        format=job.format,
        kind=job.kind.value,
        by=job.by,
        requested_at=rfc3339(job.requested_at),
        began_at=rfc3339(job.began_at) if job.began_at else None,
        done_at=rfc3339(job.done_at) if job.done_at else None,
        header=job.header,
        rows=job.total,
        looked=job.looked,
        rows_per_second=round(job.looked * 1000 / took_ms, 1) if job.began_at and took_ms > 0 else 0.0,
        counts=job.counts,
        columns=job.columns,
        questions=job.questions,
        map=job.told,
        problem=job.problem or None,
        removed=job.removed if undone else None,
    )
