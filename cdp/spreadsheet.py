"""Write rows as a spreadsheet opens them, CSV or XLSX, while they come: no more than one part of them is in memory.

An XLSX file is a ZIP of XML files. It is written front to back into a pipe that cannot be rewound, which ZIP allows.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import chain, islice
from zipfile import ZIP_DEFLATED, ZipFile

SHEET_ROWS = 1_048_576
"""Rows that one sheet of a workbook can hold, its header counted."""
PART_BYTES = 64 * 1024
COLUMN_WIDTH = 24
"""In characters."""
FAST = 1
"""How hard ZIP works. At its usual 6 a row takes twice the time, for a file that is a tenth smaller."""

_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A spreadsheet runs as a formula what begins so in a CSV; those in Chinese and Japanese also the wide signs."""
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PACKAGE_TYPE = "application/vnd.openxmlformats-package.relationships+xml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'

Row = Sequence[str]


def csv_parts(header: Row, rows: Iterable[Row]) -> Iterator[bytes]:
    """A CSV file in parts; what a spreadsheet would run gets an apostrophe before it."""
    text = io.StringIO("\ufeff")  # says that it is UTF-8: without it spreadsheets in Chinese read GBK
    text.seek(1)
    writer = csv.writer(text)
    for row in chain([header], rows):
        writer.writerow([f"'{each}" if each.startswith(_RUN) else each for each in row])
        if text.tell() >= PART_BYTES:
            yield text.getvalue().encode(errors="replace")
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode(errors="replace")


def xlsx_parts(header: Row, rows: Iterable[Row], *, sheet_rows: int = SHEET_ROWS) -> Iterator[bytes]:
    """A workbook in parts; rows that one sheet cannot hold go on in another. All cells are texts, so none is run."""
    pipe = _Pipe()
    with ZipFile(pipe, "w", ZIP_DEFLATED, compresslevel=FAST) as file:  # type: ignore[call-overload]
        sheets = 0
        for sheet in _sheets(iter(rows), sheet_rows - 1):
            sheets += 1
            yield from _sheet(file, pipe, f"xl/worksheets/sheet{sheets}.xml", chain([header], sheet))
        for name, text in _around(sheets):
            file.writestr(name, _HEAD + text)
    yield pipe.taken()


class _Pipe:
    """Where the ZIP is written, and taken from again."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, part: bytes) -> int:
        self._waiting += part
        return len(part)

    def flush(self) -> None:
        """ZipFile calls it."""

    def __len__(self) -> int:
        return len(self._waiting)

    def taken(self) -> bytes:
        part = bytes(self._waiting)
        self._waiting.clear()
        return part


def _sheets(rows: Iterator[Row], most: int) -> Iterator[Iterator[Row]]:
    """The rows in lots, each of which is used up before the next; one lot where there is no row."""
    yield islice(rows, most)
    for first in rows:
        yield chain([first], islice(rows, most - 1))


def _sheet(file: ZipFile, pipe: _Pipe, name: str, rows: Iterable[Row]) -> Iterator[bytes]:
    with file.open(name, "w") as sheet:
        columns = f'<cols><col min="1" max="64" width="{COLUMN_WIDTH}" customWidth="1"/></cols>'
        sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}">{columns}<sheetData>'.encode())
        for row in rows:
            sheet.write(f"<row>{''.join(map(_cell, row))}</row>".encode())
            if len(pipe) >= PART_BYTES:
                yield pipe.taken()
        sheet.write(b"</sheetData></worksheet>")


def _cell(text: str) -> str:
    if not text:
        return "<c/>"
    # Spaces at its ends would else be lost.
    kept = ' xml:space="preserve"' if text != text.strip() else ""
    clean = escape(_NO_XML.sub("\ufffd", text), quote=False)
    return f'<c t="inlineStr"><is><t{kept}>{clean}</t></is></c>'


def _around(sheets: int) -> Iterator[tuple[str, str]]:
    """What makes sheets a workbook: the list of them, and the types of all files."""
    numbers = range(1, sheets + 1)
    listed = "".join(f'<sheet name="{n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    yield "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}"><sheets>{listed}</sheets></workbook>'
    yield "xl/_rels/workbook.xml.rels", _relations(("worksheet", f"worksheets/sheet{n}.xml") for n in numbers)
    yield "_rels/.rels", _relations([("officeDocument", "xl/workbook.xml")])
    parts = [("workbook.xml", "sheet.main"), *((f"worksheets/sheet{n}.xml", "worksheet") for n in numbers)]
    types = "".join(f'<Override PartName="/xl/{path}" ContentType="{_TYPE}.{kind}+xml"/>' for path, kind in parts)
    relations = f'<Default Extension="rels" ContentType="{_PACKAGE_TYPE}"/>'
    yield "[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types">{relations}{types}</Types>'


def _relations(targets: Iterable[tuple[str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="rId{n}" Type="{_DOCUMENT}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{listed}</Relationships>'
