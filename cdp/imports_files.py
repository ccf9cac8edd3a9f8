"""The files of imports in the data folder, sealed: what was uploaded, and its rows until they are in the log."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from cdp.errors import Refused
from cdp.imports_jobs import Job
from cdp.sealed_file import SealedWriter, open_sealed
from cdp.vault import Cipher
from collectors.columns import SAMPLE_ROWS, guess, questions_of
from collectors.tabular import LOOK_ROWS, NumberedRow, Table, layout_of

MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_ROWS = 2_000_000
LOT_CHARACTERS = 500_000
"""In one lot, however few rows that are."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is coming: write its bytes to `file`."""

    id: str
    source: str
    file: SealedWriter


class ImportFiles:
    """Thread-safe, one thread for each import."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        self._folder = folder
        self._cipher = Cipher(secret, "import")

    def begin(self, import_id: str, source: str) -> Upload:
        return Upload(import_id, source, SealedWriter(self._upload(import_id), self._cipher))

    def look_through(self, job: Job, *, sheet: str | None, region: str) -> None:
        """Fill in what an uploaded file holds and keep its rows, but not the file. Raises Refused for one that cannot
        be read; nothing is left of it then."""
        path = self._upload(job.id)
        try:
            with open_sealed(path, self._cipher) as stream, closing(Table(stream, sheet=sheet)) as table:
                job.format = table.format
                self._keep(job, table.rows(), region)
        except BaseException:
            self.forget_rows(job.id)
            raise
        finally:
            path.unlink(missing_ok=True)

    def forget_upload(self, import_id: str) -> None:
        self._upload(import_id).unlink(missing_ok=True)

    def forget_rows(self, import_id: str) -> None:
        self._rows(import_id).unlink(missing_ok=True)

    def report(self, import_id: str) -> Path:
        """Where the report lies; it holds no clear value and is not sealed."""
        return self._folder / f"{import_id}.report.gz"

    def lots(self, import_id: str, *, after: int, at_once: int) -> Iterator[list[NumberedRow]]:
        """The kept rows behind the first `after`, some at a time. Always the same, so that after a crash a lot is
        recognised in the log."""
        lot: list[NumberedRow] = []
        weight = 0
        for row in islice(self._kept(import_id), after, None):
            lot.append(row)
            weight += sum(len(cell) for cell in row[1] if isinstance(cell, str))
            if len(lot) == at_once or weight > LOT_CHARACTERS:
                yield lot
                lot, weight = [], 0
        if lot:
            yield lot

    def sweep(self, *, known: Collection[str], older_s: float) -> None:
        """Delete what a crash left of uploads, and rows that none of the `known` imports needs."""
        for path in (*self._folder.glob("*.upload"), *self._folder.glob("*.rows")):
            needed = path.suffix == ".rows" and path.stem in known
            if not needed and time.time() - path.stat().st_mtime > older_s:
                path.unlink(missing_ok=True)

    def _keep(self, job: Job, rows: Iterator[NumberedRow], region: str) -> None:
        head = list(islice(rows, LOOK_ROWS))
        if not head:
            raise Refused("The file holds no rows. Is it the right sheet?")
        layout = layout_of(head)
        below = [row for row in head if row[0] > layout.header]
        sample: list[NumberedRow] = [*below, *islice(rows, SAMPLE_ROWS - len(below))]
        if not sample:
            raise Refused("The file has a header and no rows below it.")
        job.names, job.header = layout.names, layout.header
        job.columns = guess(layout, sample, job.kind, region=region)
        job.questions = questions_of(job.columns, job.kind)
        kept = SealedWriter(self._rows(job.id), self._cipher)
        try:
            for row in _chained(sample, rows):
                job.total += 1
                if job.total > MAX_ROWS:
                    raise Refused(f"The file has over {MAX_ROWS:,} rows. Split it.")
                packed = msgspec.msgpack.encode(row)
                kept.write(len(packed).to_bytes(4) + packed)
        finally:
            kept.close()

    def _kept(self, import_id: str) -> Iterator[NumberedRow]:
        decode = msgspec.msgpack.Decoder(tuple[int, list[str | int | float | bool]]).decode
        with open_sealed(self._rows(import_id), self._cipher) as stream:
            while size := stream.read(4):
                number, cells = decode(stream.read(int.from_bytes(size)))
                yield number, list(cells)

    def _upload(self, import_id: str) -> Path:
        return self._folder / f"{import_id}.upload"

    def _rows(self, import_id: str) -> Path:
        return self._folder / f"{import_id}.rows"


def _chained(first: Sequence[NumberedRow], rest: Iterator[NumberedRow]) -> Iterator[NumberedRow]:
    yield from first
    yield from rest
