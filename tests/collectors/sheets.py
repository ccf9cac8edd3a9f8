"""Files as people send them: the same rows as CSV in some encoding, or as a workbook."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import openpyxl


def as_csv(rows: Sequence[Sequence[Any]], *, encoding: str = "utf-8", delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode(encoding)


def as_xlsx(
    rows: Sequence[Sequence[Any]], *, merged: Sequence[str] = (), before: Sequence[str] = (), far: str = ""
) -> bytes:
    """`before` are empty sheets before the one with the rows, `far` a cell somewhere; None leaves a cell out."""
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    for title in before:
        sheet.title = title
        sheet = workbook.create_sheet()
    for row in rows:
        sheet.append(list(row))
    for cells in merged:
        sheet.merge_cells(cells)
    if far:
        sheet[far] = "x"
    made = io.BytesIO()
    workbook.save(made)
    return made.getvalue()
