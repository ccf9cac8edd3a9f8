"""The files of `identity match`: CSV of records in, CSV of clusters out.

A file that cannot be read as it was meant is refused with one sentence before anything is written, and the result is
written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cdp.errors import ConfigurationError
from identity.matching.columns import Columns, Mode
from identity.matching.records import Records, build_records

LONGEST_FIELD = 1_000_000
"""Signs of one field; a longer one is a quotation mark that nobody closed."""


def read_records(files: Sequence[Path], columns: Columns) -> Records:
    """The records of all files together. Each file is a source where records are linked and no column names theirs.

    Raises ConfigurationError.
    """
    if columns.mode is Mode.LINK and columns.source is None and len(files) < 2:
        raise ConfigurationError("--columns: source", came="missing", allowed="a column, or else one FILE per source")
    rows: dict[str, list[str]] = {name: [] for name in columns.names}
    file_of_row: list[str] = []
    seen: dict[str, str] = {}
    for number, file in enumerate(files):
        for line, values in _records(file, columns):
            for name, value in zip(columns.names, values, strict=True):
                rows[name].append(value.strip())
            file_of_row.append(str(number))
            _check_id(rows[columns.id][-1], f"{file.name}, line {line}", seen)
    if not seen:
        raise ConfigurationError(_names(files), came="without rows", allowed="a header line and at least one row")
    return build_records(rows, columns, sources=rows[columns.source] if columns.source else file_of_row)


def check_out(out: Path, read: Iterable[Path]) -> None:
    """Refuse a result that could not be written, or would replace what is read, before any work. ConfigurationError."""
    try:
        if not out.absolute().parent.is_dir() or (out.exists() and not out.is_file()):
            raise ConfigurationError("--out", came=str(out), allowed="a file in a folder that exists")
        if any(out.exists() and file.exists() and out.samefile(file) for file in read):
            raise ConfigurationError("--out", came=str(out), allowed="another file than those that are read")
    except OSError as error:
        raise ConfigurationError(
            "--out", came=f"{out} ({error.strerror})", allowed="a path that can be written"
        ) from None


def _check_id(record: str, where: str, seen: dict[str, str]) -> None:
    if not record:
        raise ConfigurationError(where, came="a row without id", allowed="an id in every row")
    if record in seen:
        raise ConfigurationError(where, came=f"a row with the id of {seen[record]}", allowed="each id once")
    seen[record] = where


def _records(file: Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """The number of its last line, and the mapped values, of each row that is not empty."""
    reader = csv.reader(io.StringIO(read_text(file), newline=""), skipinitialspace=True, strict=True)
    csv.field_size_limit(LONGEST_FIELD)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise ConfigurationError(file.name, came="empty", allowed="a header line and at least one row")
        places = [_place(file, header, name) for name in columns.names]
        for row in reader:
            if len(row) == len(header):
                yield reader.line_num, [row[place] for place in places]
            elif row:
                fields = f"{len(row)} fields on line {reader.line_num}"
                raise ConfigurationError(
                    file.name, came=f"a table with {fields}", allowed=f"{len(header)}, as in its header"
                )
    except csv.Error as error:
        raise ConfigurationError(file.name, came=f"no CSV on line {reader.line_num} ({error})", allowed="CSV") from None


def _place(file: Path, header: list[str], name: str) -> int:
    found = Counter(header)[name]
    if found != 1:
        came = "named twice" if found else f"not in the header ({', '.join(header)[:200]})"
        raise ConfigurationError(f"{file.name}: the column {name!r}", came=came, allowed="one column of that name")
    return header.index(name)


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises ConfigurationError."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(str(file), came=f"not readable ({error.strerror})", allowed="a file") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            file.name, came=_encoding(content, error), allowed="text in UTF-8; save it as that"
        ) from None
    if "\0" in text:
        raise ConfigurationError(file.name, came="no text: it holds NUL bytes", allowed="text in UTF-8")
    return text


def _encoding(content: bytes, error: UnicodeDecodeError) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    try:
        content.decode("gb18030")
    except UnicodeDecodeError:
        return f"no UTF-8 (byte {error.start + 1:,})"
    return f"no UTF-8 (byte {error.start + 1:,}), perhaps GBK"


def _names(files: Iterable[Path]) -> str:
    return ", ".join(file.name for file in files)


def write_whole(out: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV beside `out` and put it in its place when it is whole. Raises ConfigurationError."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=out.parent, prefix=f".{out.name[:50]}.", suffix=".part", encoding="utf-8", newline="", delete=False
        ) as file:
            try:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(header)
                writer.writerows(rows)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o666 & ~_umask())
                Path(file.name).replace(out)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ConfigurationError(
            "--out", came=f"{out} ({error.strerror})", allowed="a path that can be written"
        ) from None


def _umask() -> int:
    """That of the process, which can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
