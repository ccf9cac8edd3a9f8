"""Takes imports of files through, one after the other, in a thread of its own.

A file is uploaded and looked through: that makes a preview, whose rows lie sealed in the data folder. Once somebody
has confirmed what the columns mean, rows are written to the log some hundreds at a time, as hits of the dialect
`file`, and each lot waits until the worker is done with the one before: so what SDKs send meanwhile is never behind
more than one lot. Whatever dies, the next start goes on behind the last row whose outcome is noted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

import msgspec
import structlog
from sqlalchemy import Engine

from cdp import imports_jobs as jobs
from cdp.aftermath import Aftermath
from cdp.errors import Conflict, NotFound, Refused, Retryable
from cdp.imports_files import ImportFiles, Upload
from cdp.imports_jobs import AT_WORK, Counts, ImportBook, Job, State
from cdp.imports_log import LotWriter, hit_of, written
from cdp.imports_report import Line, Reporter, append, refused
from cdp.imports_undo import Undoing
from cdp.imports_versions import Version, Versions
from cdp.log import LogReader, LogWriter
from cdp.model import Hit, Millis, SetId, SourceKind
from cdp.scrub import scrub_text
from collectors.columns import ImportMap, RowKind, check_map
from collectors.file_row import Record, RefusedRow, RowReader
from collectors.sources import LiveSources
from identity.gate import Gate
from identity.verbs import Identity

log = structlog.get_logger()

ROWS_AT_ONCE = 500
"""In one hit: about 0.15 s of the worker's time, for which what else comes waits."""
LEADS_AT_ONCE = 100
"""The trail of each lead is frozen, most of them together, which takes about 3 ms each."""
IDLE_S = 1.0
"""Between two looks for what another process asked for; this one calls."""
WAIT_S = 0.5
"""How soon a wish to cancel is heard while the worker is busy."""
AGAIN_S = 30.0
PREVIEW_MS = 24 * 3_600_000
"""How long a file waits to be confirmed."""


class Stopped(Exception):
    """The process ends; the job goes on with its next start."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What imports work with; made once in `cdp.wiring`. `open_writer` gives a partition of the log that nobody else
    writes; `processed` waits until the worker has come so far, see `cdp.worker.Progress.wait_for`; `capture_events` are
    the names of events that capture a lead."""

    records: Engine
    log: LogReader
    open_writer: Callable[[], LogWriter]
    open_payload: Callable[[bytes], Hit | None]
    processed: Callable[[Mapping[int, int], float], bool]
    identity: Identity
    sources: LiveSources
    reporter: Reporter
    versions: Versions
    aftermath: Aftermath
    gate: Gate
    undoing: Undoing
    book: ImportBook
    files: ImportFiles
    secret: bytes
    region: str
    zone: tzinfo
    capture_events: Sequence[str]
    clock: Callable[[], Millis]


class Importer:
    """Thread-safe but for `drain` and `run`, of which one may be under way."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._stopping = threading.Event()
        self._due = threading.Event()

    # What is asked for

    def upload(self, source: str) -> Upload:
        """Begin to take a file of this source. Raises NotFound and Refused."""
        self._tools.sources.refresh()
        found = self._tools.sources.by_id(source)
        if found is None:
            raise NotFound("source", source)
        if not found.enabled:
            raise Refused(f"The source {source} is disabled. Enable it, or name another.")
        if found.kind is not SourceKind.FILE:
            raise Refused(
                f"Rows of files need a source of kind file; {source} is of kind {found.kind}. "
                "Register one with `cdp source create NAME --kind file`."
            )
        import_id = self._tools.book.new_id()
        return self._tools.files.begin(import_id, source)

    def preview(self, upload: Upload, *, digest: str, name: str, kind: RowKind, sheet: str | None, by: str) -> Job:
        """Look through an uploaded file; the import, not confirmed yet. The very same file that waits already gives the
        import that shows it. Raises Refused for a file that cannot be read; nothing is left of it then."""
        upload.file.close()
        if there := self._tools.book.preview_of(digest):
            self._tools.files.forget_upload(upload.id)
            return there
        job = Job(
            id=upload.id,
            source=upload.source,
            file=scrub_text(Path(name).name[:200], lambda *_: "masked"),
            kind=kind,
            by=by,
            state=State.PREVIEW,
            requested_at=self._tools.clock(),
            size=upload.file.size,
            digest=digest,
        )
        self._tools.files.look_through(job, sheet=sheet, region=self._tools.region)
        self._tools.book.add(job)
        return job

    def abandon(self, upload: Upload) -> None:
        """The file did not come whole."""
        upload.file.close()
        self._tools.files.forget_upload(upload.id)

    def confirm(self, import_id: str, told: ImportMap, *, by: str) -> Job:
        """Begin to take the rows; durable on return. Raises NotFound, Conflict and Refused."""
        job = self._tools.book.find(import_id)
        check_map(told, job.names)
        if told.kind is RowKind.LEADS and not self._tools.capture_events:
            raise Refused(
                "XUNJI_CAPTURE_EVENTS names no event, so no row becomes a lead. Name one, such as lead_submitted."
            )
        job = self._tools.book.change(import_id, "import", jobs.confirmed(told), by=by)
        self._due.set()
        return job

    def cancel(self, import_id: str, *, by: str) -> Job:
        """Take no more rows; what was taken stays until it is undone. Raises NotFound and Conflict."""
        job = self._tools.book.change(import_id, "cancel import", jobs.cancelled(by), by=by)
        if job.state is State.CANCELLED:
            self._tools.files.forget_rows(job.id)
        return job

    def undo(self, import_id: str, *, by: str) -> Job:
        """Take back all that an import brought; durable on return. Raises NotFound and Conflict."""
        job = self._tools.book.change(import_id, "undo import", jobs.undone(by), by=by)
        self._due.set()
        return job

    @property
    def book(self) -> ImportBook:
        return self._tools.book

    def report_path(self, import_id: str) -> Path:
        return self._tools.files.report(import_id)

    def sweep(self, *, report_kept_ms: Millis) -> None:
        """Delete previews that nobody confirmed within a day, and reports that are over their time."""
        at = self._tools.clock()
        for job in self._tools.book.in_state(State.PREVIEW):
            if at - job.requested_at > PREVIEW_MS:
                self.cancel(job.id, by="upkeep")
        for job in self._tools.book.in_state(*jobs.UNDOABLE, State.UNDONE):
            if at - job.done_at > report_kept_ms:
                self.report_path(job.id).unlink(missing_ok=True)
        known = {job.id for job in self._tools.book.in_state(State.PREVIEW, *AT_WORK)}
        self._tools.files.sweep(known=known, older_s=PREVIEW_MS / 1000)

    # The thread

    def run(self) -> None:
        """Until `stop`; a store that is away is waited for."""
        while not self._stopping.is_set():
            try:
                if not self._step():
                    self._due.wait(IDLE_S)
                    self._due.clear()
            except Stopped:
                return
            except Retryable as error:
                log.warning("import_waits", reason=str(error))
                self._stopping.wait(error.retry_after_s)
            except Exception as error:
                # No trace, which may quote a row.
                log.error("import_failed", error=type(error).__name__)
                self._stopping.wait(AGAIN_S)

    def stop(self) -> None:
        """From any thread: end after the present chunk."""
        self._stopping.set()
        self._due.set()

    def drain(self) -> None:
        """Do everything that was asked for, while a worker runs elsewhere."""
        while self._step():
            pass

    def _step(self) -> bool:
        """Do one job that is due; whether there was any."""
        due = [job for state in AT_WORK for job in self._tools.book.in_state(state)]
        if not due:
            return False
        job = due[0]
        if job.state is State.UNDOING:
            self._undo(job)
        else:
            self._import(job)
        return True

    def _import(self, job: Job) -> None:
        try:
            if job.state is State.WAITING:
                job = self._tools.book.begin(job.id, births=self._tools.identity.graph.head().births)
            with LotWriter(self._tools.open_writer, self._tools.secret) as writer:
                self._take(job, writer)
        except (Stopped, Retryable):
            raise
        except Conflict:
            # It was cancelled just now.
            return
        except Exception as error:
            log.error("import_failed", import_id=job.id, error=type(error).__name__)
            job.state, job.problem = State.FAILED, _problem(error, job)
        job.done_at = self._tools.clock()
        self._tools.book.save(job)
        self._tools.files.forget_rows(job.id)
        log.info("import_ended", import_id=job.id, state=job.state, **msgspec.structs.asdict(job.counts))

    def _take(self, job: Job, writer: LotWriter) -> None:
        assert job.told is not None  # noqa: S101  (narrows the type)
        reader = RowReader(job.told, job.names, region=self._tools.region, zone=self._tools.zone, came=job.requested_at)
        at_once = LEADS_AT_ONCE if job.kind is RowKind.LEADS else ROWS_AT_ONCE
        for chunk in self._tools.files.lots(job.id, after=job.looked, at_once=at_once):
            if self._stopping.is_set():
                raise Stopped
            if job.cancelled_by and job.writing is None:
                job.state = State.CANCELLED
                return
            read = [reader.read(number, cells) for number, cells in chunk]
            lines = refused([each for each in read if isinstance(each, RefusedRow)])
            records = [each for each in read if isinstance(each, Record)]
            if records:
                lines += self._through(job, writer, records)
            self._note(job, lines, len(chunk))
        job.state = State.DONE

    def _through(self, job: Job, writer: LotWriter, records: Sequence[Record]) -> list[Line]:
        """Take the records of one chunk into the log and wait for what becomes of them."""
        at = self._tools.clock()
        hit = hit_of(job, records, capture_events=self._tools.capture_events, at=at)
        position = written(job, hit, self._tools.log, self._tools.open_payload)
        if position is None:
            job.writing = self._tools.log.ends()
            self._tools.book.save(job)
            position = writer.append(hit)
        job.note_came(*position)
        self._wait_for({position.partition: position.offset + 1})
        lines, sets = self._tools.reporter.lines(job, hit, position, records)
        self._settle(job, records, lines, sets)
        return lines

    def _settle(self, job: Job, records: Sequence[Record], lines: Sequence[Line], sets: Mapping[str, SetId]) -> None:
        """Let the latest versions of these records take the place of earlier ones."""
        fresh = {line.row: line.event for line in lines if line.outcome in ("taken", "joined") and line.event}
        versions = [
            Version(each.key, event, job.requested_at if each.at is None else each.at, sets[event])
            for each in records
            if each.key and (event := fresh.get(each.row))
        ]
        if versions:
            keys = self._tools.versions.note(job.source, job.id, versions)
            with self._tools.gate.together():
                if changed := self._tools.versions.settle(job.source, keys):
                    self._tools.aftermath.regrouped(changed)

    def _wait_for(self, ends: Mapping[int, int]) -> None:
        """Until the worker is done with everything before these ends."""
        while not self._tools.processed(ends, WAIT_S):
            if self._stopping.is_set():
                raise Stopped

    def _note(self, job: Job, lines: list[Line], rows: int) -> None:
        lines.sort(key=lambda line: line.row)
        job.report_bytes = append(self.report_path(job.id), job.report_bytes, lines)
        counts = msgspec.structs.asdict(job.counts)
        for line in lines:
            counts[line.outcome] += 1
        job.counts = Counts(**counts)
        job.looked += rows
        job.chunk += 1
        job.writing = None
        self._tools.book.save(job)

    def _undo(self, job: Job) -> None:
        undoing = self._tools.undoing
        try:
            self._wait_for({partition: end for partition, _, end in job.came})
            for _ in undoing.steps(job):
                self._tools.book.save(job)
                if self._stopping.is_set():
                    raise Stopped
        except (Stopped, Retryable):
            raise
        except Exception as error:
            # What is left of it can be undone again; imports behind it go on.
            log.error("import_undo_failed", import_id=job.id, error=type(error).__name__)
            job.state, job.problem = State.FAILED, f"{type(error).__name__} while it was undone; undo it again"
            self._tools.book.save(job)
            return
        job.state, job.problem = State.UNDONE, ""
        self._tools.book.save(job)
        undoing.forget(job)
        self.report_path(job.id).unlink(missing_ok=True)
        log.info("import_undone", import_id=job.id, **msgspec.structs.asdict(job.removed))


def _problem(error: Exception, job: Job) -> str:
    if isinstance(error, FileNotFoundError):
        return "Its rows are not in the folder of imports, which all processes must share. Upload the file again."
    return f"{type(error).__name__} after row {job.looked} of {job.total}"
