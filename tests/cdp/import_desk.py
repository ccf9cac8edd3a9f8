"""A system with an importer done by hand and a worker in a thread, for tests of imports."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from api.app import create_app
from cdp.api_client import IN_PROCESS, ApiClient, Declined, client_of
from cdp.at_work import working
from cdp.imports_jobs import Job
from cdp.imports_report import Line, lines_of
from cdp.model import SourceKind
from cdp.settings import Settings
from cdp.wiring import System, open_system
from collectors.columns import ImportMap, RowKind, map_of
from tests.cdp.intake import Intake

ADMIN_KEY = "the-admin-key-of-tests"
SECRET = base64.b64encode(bytes(32)).decode()
"""The same for two systems, so that they give the same tokens."""


class Desk:
    """A system with a source for files and one for visits, its worker, and the importer done by hand."""

    def __init__(self, system: System, intake: Intake, client: ApiClient) -> None:
        self.system, self.intake, self.client = system, intake, client
        intake.source("crm", SourceKind.FILE)
        intake.source("shop", SourceKind.SERVER)

    def look(self, data: bytes, kind: RowKind = RowKind.LEADS, **options: Any) -> Job:
        upload = self.system.importer.upload("crm")
        upload.file.write(data)
        named: dict[str, Any] = {"digest": random.randbytes(8).hex(), "name": "file", "sheet": None, "by": "test"}
        return self.system.importer.preview(upload, kind=kind, **named | options)

    def begin(self, data: bytes, kind: RowKind = RowKind.LEADS, told: ImportMap | None = None) -> str:
        job = self.look(data, kind)
        self.system.importer.confirm(job.id, told or map_of(job.columns, kind), by="test")
        return job.id

    def take(self, data: bytes, kind: RowKind = RowKind.LEADS, told: ImportMap | None = None) -> tuple[Job, list[Line]]:
        import_id = self.begin(data, kind, told)
        self.system.importer.drain()
        return self.found(import_id)

    def found(self, import_id: str) -> tuple[Job, list[Line]]:
        job = self.system.importer.book.find(import_id)
        lines = lines_of(self.system.importer.report_path(import_id), job.report_bytes)
        return job, [msgspec.json.decode(line, type=Line) for line in lines]

    def undo(self, import_id: str) -> Job:
        self.system.importer.undo(import_id, by="test")
        self.system.importer.drain()
        return self.system.importer.book.find(import_id)

    def visit(self, *events: dict[str, Any]) -> None:
        """What a server of the team's tells."""
        positions = self.intake.append("shop", *events)
        ends = {each.partition: each.offset + 1 for each in positions}
        assert self.system.progress.wait_for(ends, 30)

    def lookup(self, kind: str, value: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.client.post("/persons/lookup", {"kind": kind, "value": value})
        except Declined as error:
            if error.status == 404:
                return None
            raise
        return found


@contextmanager
def a_desk(folder: Path) -> Iterator[Desk]:
    system = open_system(Settings(data_dir=folder, admin_key=ADMIN_KEY, secret=SECRET))
    intake = Intake(system)
    try:
        with (
            working(system),
            client_of(IN_PROCESS, ADMIN_KEY, transport=httpx.ASGITransport(create_app(system))) as client,
        ):
            yield Desk(system, intake, client)
    finally:
        intake.close()
        system.close()
