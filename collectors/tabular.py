"""Read a CSV or XLSX file as it is found on people's desks: rows of cells, numbered as a spreadsheet numbers them.

What a file is is found out from its bytes, never from its name: encoding, delimiter, quotes. Rows come one by one, so
a file of any length costs the memory of one row; a workbook is read in a process of its own (`collectors.workbook`).
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import statistics
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO

from cdp.errors import Refused
from collectors.workbook import Value, Workbook

Cell = Value
"""As the file has it; '' where it is empty. CSV has texts alone."""
NumberedRow = tuple[int, list[Cell]]
"""The row's number as a spreadsheet shows it, from 1, and its cells."""

MAX_COLUMNS = 500
MAX_CELL = 20_000
"""Characters; more means that a quote is not closed."""
LOOK_ROWS = 12
"""Among so many the header is looked for: titles and remarks stand above it."""

MANY_CELLS = 2
"""Of a row; a line of a note that holds more delimiters than that is a row."""

_SAMPLE_CHARS = 64 * 1024
_READ_BYTES = 1024 * 1024
_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_ZIP = b"PK\x03\x04"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_LOOKS_LIKE_DATA = re.compile(r"[+(]?\d[\d\s\-/.:()eE+年月日]{3,}|[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the columns' names stand: `header` is the number of their last line, 0 where there is none. `names` are
    unique and never empty."""

    names: tuple[str, ...]
    header: int


class Table:
    """A file that is open for reading, once; close it. Raises Refused for what cannot be read."""

    def __init__(self, stream: BinaryIO, *, sheet: str | None = None) -> None:
        self._stream = stream
        stream.seek(0)
        start = stream.read(4)
        if start == _OLD_EXCEL:
            raise Refused(
                "This is a workbook of Excel 97 or one with a password. Save it as .xlsx without one, or CSV."
            )
        self._workbook = Workbook(stream, sheet) if start == _ZIP else None
        if self._workbook is None and sheet is not None:
            raise Refused("A CSV file has no sheets. Leave the sheet out.")
        self._encoding = "" if self._workbook else _encoding_of(stream)
        self._dialect = ("", "") if self._workbook else self._sniffed()

    @property
    def format(self) -> str:
        """What was found out, for people."""
        if self._workbook is not None:
            return f"XLSX, {self._workbook.found.sheet}"
        return f"CSV, {self._encoding.removesuffix('-sig')}, {_DELIMITERS[self._dialect[0]]}"

    def rows(self) -> Iterator[NumberedRow]:
        """All rows that hold anything, in their order."""
        found = _numbered_sheet(self._workbook) if self._workbook is not None else self._text_rows()
        for number, cells in found:
            if any(not _is_blank(cell) for cell in cells):
                if len(cells) > MAX_COLUMNS:
                    raise Refused(f"Row {number} has over {MAX_COLUMNS} columns. Send the columns that are needed.")
                yield number, cells

    def close(self) -> None:
        """Whoever opened the stream closes that."""
        if self._workbook is not None:
            self._workbook.close()

    def _text_rows(self) -> Iterator[NumberedRow]:
        delimiter, quote = self._dialect
        self._stream.seek(0)
        text = io.TextIOWrapper(self._stream, self._encoding, newline="")
        try:
            yield from _numbered(text, delimiter, quote)
        finally:
            # Whoever opened the stream closes it.
            text.detach()

    def _sniffed(self) -> tuple[str, str]:
        self._stream.seek(0)
        decoder = codecs.getincrementaldecoder(self._encoding)()
        sample = decoder.decode(self._stream.read(_SAMPLE_CHARS))
        quote = "'" if sample.startswith("'") and '"' not in sample else '"'
        return max(_DELIMITERS, key=lambda each: _likeness(sample, each, quote)), quote


def layout_of(rows: Sequence[NumberedRow], known: int | None = None) -> Layout:
    """Find the header among the first rows; `known` says where it is instead, 0 for nowhere.

    A title above it is passed over. Where its upper line has gaps, as merged cells leave them, and the next line is
    names too, of which none stands alone or below which records begin, both are joined: `联系方式 手机`.
    """
    width = max((len(cells) for _, cells in rows), default=0)
    at = _header_at(rows) if known is None else next((n for n, row in enumerate(rows) if row[0] == known), None)
    if at is None:
        if known:
            raise Refused(f"Row {known} is no header: it is empty, or not among the first {LOOK_ROWS}.")
        return Layout(tuple(f"column {n}" for n in range(1, width + 1)), 0)
    upper = _texts(rows[at][1], width)
    names, last = upper, at
    if known is None and at + 1 < len(rows) and _goes_on(upper, [cells for _, cells in rows[at + 1 :]]):
        last = at + 1
        names = [" ".join(dict.fromkeys(filter(None, pair))) for pair in _joined(upper, rows[last][1])]
    return Layout(_unique(names), rows[last][0])


def shown(cell: Cell) -> str:
    """A cell as text, trimmed; whole numbers without a point."""
    if isinstance(cell, str):
        return cell.replace("\0", "").replace("\ufeff", "").strip()
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell)


def _is_blank(cell: Cell) -> bool:
    return isinstance(cell, str) and not cell.strip()


def _numbered_sheet(workbook: Workbook) -> Iterator[NumberedRow]:
    for number, cells in enumerate(workbook.rows(), 1):
        yield number, list(cells)


def _encoding_of(stream: BinaryIO) -> str:
    """UTF-8 where all of the file is, else GB18030, of which GBK and GB2312 are parts."""
    stream.seek(0)
    start = stream.read(4)
    marked = next((encoding for bom, encoding in _BOMS if start.startswith(bom)), None)
    for encoding in (marked,) if marked else ("utf-8", "gb18030"):
        if _decodes(stream, encoding):
            return encoding
    raise Refused("The file is neither UTF-8 nor GB18030, nor UTF-16 with its mark. Save it as CSV UTF-8.")


def _decodes(stream: BinaryIO, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    stream.seek(0)
    try:
        while part := stream.read(_READ_BYTES):
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _likeness(sample: str, delimiter: str, quote: str) -> tuple[float, int]:
    """How well the first rows are cut by a delimiter: into many columns, and all into as many."""
    try:
        # The last row may be cut off in the middle.
        rows = [
            row
            for row in islice(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, quotechar=quote), 51)
            if row
        ]
    except csv.Error:
        return -1.0, 0
    widths = [len(row) for row in (rows[:-1] if len(rows) > 2 else rows)]
    usual = int(statistics.median(widths)) if widths else 0
    return (widths.count(usual) / len(widths) if usual > 1 else 0.0), usual


class _Lines:
    """The lines of a text, and those since the last `clear`; behind them one that is told from all others, so that a
    quote which is still open at the end shows."""

    END = "\0end"

    def __init__(self, text: Iterable[str]) -> None:
        self._rest = chain(text, (self.END,))
        self.seen: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._rest:
            self.seen.append(line)
            yield line


def _numbered(text: Iterable[str], delimiter: str, quote: str) -> Iterator[NumberedRow]:
    """Raises Refused where a quote is not closed. Rows are read leniently as long as they are one line each."""
    lines = _Lines(text)
    number = 0
    try:
        for number, cells in enumerate(csv.reader(lines, delimiter=delimiter, quotechar=quote), 1):
            if cells == [_Lines.END]:
                return
            over_lines = len(lines.seen) > 1
            if over_lines and (why := _swallows(lines.seen, cells, delimiter, quote)):
                raise Refused(f"Row {number} {why}. Is a quote not closed? One inside a cell is written twice.")
            lines.seen.clear()
            if any(len(cell) > MAX_CELL for cell in cells):
                raise Refused(f"Row {number} has a cell over {MAX_CELL:,} characters. Is a quote not closed?")
            yield number, list(cells)
    except csv.Error as error:
        raise Refused(f"Row {number + 1} cannot be read ({error}). Is a quote not closed?") from None


def _swallows(lines: Sequence[str], cells: Sequence[str], delimiter: str, quote: str) -> str:
    """Why a row over several lines has probably swallowed others, '' where it has not: a quote stands open at the end,
    or closes in the middle of a cell, or lines within a cell are as many cells as the row itself."""
    if lines[-1] == _Lines.END:
        return "begins a cell with a quote that is open at the end of the file"
    try:
        list(csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True))
    except csv.Error:
        return f"goes over {len(lines)} lines, and a quote closes in the middle of a cell"
    inner = [line for cell in cells for line in cell.splitlines()[1:-1] if line]
    if len(cells) > MANY_CELLS and inner and all(line.count(delimiter) == len(cells) - 1 for line in inner):
        return f"has a cell of {len(lines)} lines that look like rows"
    return ""


def _header_at(rows: Sequence[NumberedRow]) -> int | None:
    """The first of the wide rows, if it is names: texts, none of which looks like a number or an address."""
    widths = [sum(not _is_blank(cell) for cell in cells) for _, cells in rows]
    enough = max(2, max(widths, default=0) / 2) if max(widths, default=0) > 1 else 1
    for index, (_, cells) in enumerate(rows):
        if widths[index] >= enough:
            return index if _are_names(cells) else None
    return None


def _are_names(cells: Sequence[Cell]) -> bool:
    texts = [cell for cell in cells if not _is_blank(cell)]
    return all(isinstance(cell, str) and not _LOOKS_LIKE_DATA.fullmatch(_plain(cell)) for cell in texts)


def _goes_on(upper: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bool:
    """Whether the first of these rows is the second line of a header: names too, below a gap in the first line. Either
    some cell is merged downwards, or it names all columns and what follows it is records."""
    first, *rest = rows
    if not _are_names(first):
        return False
    lower = _texts(first, len(upper))
    if not any(name and not above for above, name in zip(upper, lower, strict=True)):
        return False
    if any(above and not name for above, name in zip(upper, lower, strict=True)):
        return True
    return len(rest) > 0 and not any(_are_names(cells) for cells in rest)


def _texts(cells: Sequence[Cell], width: int) -> list[str]:
    return [shown(cell) for cell in cells] + [""] * (width - len(cells))


def _joined(upper: Sequence[str], cells: Sequence[Cell]) -> Iterator[tuple[str, str]]:
    """Each column's names; what spans several columns stands in the first of them."""
    lower = _texts(cells, len(upper))
    spanning = ""
    for above, name in zip(upper, lower, strict=True):
        spanning = above or (spanning if name else "")
        yield spanning, name


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for index, name in enumerate(names, 1):
        plain = " ".join(name.split()) or f"column {index}"
        again = 2
        unique = plain
        while unique in found:
            unique, again = f"{plain} ({again})", again + 1
        found[unique] = None
    return tuple(found)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()
