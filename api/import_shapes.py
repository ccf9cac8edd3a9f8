"""The answers about imports of files, as they go out."""

from __future__ import annotations

import msgspec

from cdp.imports_jobs import Counts, Removed
from cdp.imports_report import Line
from collectors.columns import Column, ImportMap, Question


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """One import. `state` is preview, waiting, running, done, cancelled, failed, undoing or undone; `rows` are those
    below the header, of which `looked` have an outcome. `columns` and `questions` are what was guessed, `map` what was
    confirmed."""

    id: str
    state: str
    source: str
    file: str
    format: str
    kind: str
    by: str
    requested_at: str
    began_at: str | None
    done_at: str | None
    header: int
    rows: int
    looked: int
    rows_per_second: float
    counts: Counts
    columns: list[Column]
    questions: list[Question]
    map: ImportMap | None
    problem: str | None
    removed: Removed | None


class Imports(msgspec.Struct, frozen=True, kw_only=True):
    imports: list[Import]
    next: str | None


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each row, in their order; personal values are masked for everybody."""

    rows: list[Line]
