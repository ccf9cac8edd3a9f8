"""Read a workbook in a process of its own, whose memory is limited and given back.

The library holds a sheet whole, a million rows in 900 MB, and reserves room for every cell up to the last one: a file
of a few hundred bytes can ask for all the memory that there is. Here that ends a child, and the file is refused.

The child, `python -m collectors.workbook SHEET`, takes the file on stdin and answers on stdout: what it found, then
each row, as JSON, one a line.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import BinaryIO

import msgspec

from cdp.errors import Refused

MEMORY_BYTES = 2 * 1024**3
"""Of addresses: about twice what the largest sheet that Excel can save takes with ten columns."""
COPIED_BYTES = 1024 * 1024

Value = str | int | float | bool
"""What a cell holds; times are texts, as ISO 8601 without a zone."""


class Found(msgspec.Struct):
    """What a workbook holds; `sheet` is the one that is read, `problem` why none is."""

    sheets: list[str] = []
    sheet: str = ""
    problem: str = ""


_FOUND = msgspec.json.Decoder(Found)
_ROW = msgspec.json.Decoder(list[Value])


class Workbook:
    """A workbook that is open for reading, once; close it. Raises Refused for one that cannot be read."""

    def __init__(self, stream: BinaryIO, sheet: str | None) -> None:
        words = [sys.executable, "-m", "collectors.workbook", *([sheet] if sheet is not None else [])]
        self._child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._give(stream)
        self.found = _FOUND.decode(self._line())
        if self.found.problem:
            self.close()
            raise Refused(self.found.problem)

    def rows(self) -> Iterator[list[Value]]:
        """All rows from the first on, empty ones too."""
        while (line := self._line()) != b"[]\n":
            yield _ROW.decode(line)

    def close(self) -> None:
        """May be called twice."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def _give(self, stream: BinaryIO) -> None:
        assert self._child.stdin is not None  # noqa: S101  (narrows the type)
        stream.seek(0)
        try:
            while part := stream.read(COPIED_BYTES):
                self._child.stdin.write(part)
            self._child.stdin.close()
        except BrokenPipeError:
            # It died; what it said, or did not say, tells why.
            pass

    def _line(self) -> bytes:
        assert self._child.stdout is not None  # noqa: S101  (narrows the type)
        line = self._child.stdout.readline()
        if not line.endswith(b"\n"):
            self.close()
            raise Refused("The sheet takes more than 2 GB of memory. Delete what lies beyond its last row and column.")
        return line


def main(asked: Sequence[str]) -> None:
    """The child."""
    import python_calamine as calamine

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    encode = msgspec.json.Encoder().encode
    out = sys.stdout.buffer
    try:
        workbook = calamine.CalamineWorkbook.from_filelike(io.BytesIO(sys.stdin.buffer.read()))
        found = _chosen(workbook.sheet_names, _visible(workbook), asked)
        out.write(encode(found) + b"\n")
        if not found.problem:
            # An empty row is told from the end by its one empty cell.
            for row in workbook.get_sheet_by_name(found.sheet).iter_rows():
                out.write(encode([plain_value(cell) for cell in row] or [""]) + b"\n")
            out.write(b"[]\n")
    except calamine.PasswordError:
        out.write(encode(Found(problem="The workbook has a password. Save it without one.")) + b"\n")
    except calamine.CalamineError as error:
        # What the library says names parts of the file, never a value.
        problem = f"The workbook cannot be read ({type(error).__name__}). Open and save it again, as .xlsx."
        out.write(encode(Found(problem=problem)) + b"\n")
    out.flush()


def _visible(workbook: object) -> Iterator[str]:
    """The visible sheets that hold anything."""
    import python_calamine as calamine

    assert isinstance(workbook, calamine.CalamineWorkbook)  # noqa: S101  (narrows the type)
    for each in workbook.sheets_metadata:
        if each.visible == calamine.SheetVisibleEnum.Visible and workbook.get_sheet_by_name(each.name).height:
            yield each.name


def _chosen(names: list[str], visible: Iterator[str], asked: Sequence[str]) -> Found:
    if asked and asked[0] not in names:
        return Found(problem=f"There is no sheet {asked[0]!r}; there are: {', '.join(names)}.")
    sheet = asked[0] if asked else next(visible, "")
    return Found(names, sheet, "" if sheet else "No visible sheet holds anything. Name another with its name.")


def plain_value(cell: Value | date | datetime | time | timedelta) -> Value:
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell) if isinstance(cell, timedelta) else cell


if __name__ == "__main__":
    main(sys.argv[1:])
