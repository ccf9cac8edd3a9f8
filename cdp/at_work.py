"""What a process does besides answering: the worker, and the jobs that take long or come round, each in a thread."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import structlog

from cdp.feeds import note_place, place_of
from cdp.model import DAY_MS, Millis
from cdp.moments import now_ms
from cdp.records import is_shared, writing
from cdp.segment_work import Moved
from cdp.wiring import System

log = structlog.get_logger()

UPKEEP_S = 3_600.0
TRIMMED = "trimmed_days"
"""The days since 1970 whose events are past their retention and gone."""


@contextmanager
def working(system: System) -> Iterator[None]:
    """Process hits meanwhile; at the end the present batch is ended."""
    with _running("worker", system.worker.run, system.worker.stop):
        yield


@contextmanager
def doing_jobs(system: System, *, segments: bool = True) -> Iterator[None]:
    """Erase, import, replay, keep segments, compare leads, tidy up meanwhile. An import waits for a worker, which must
    end later. Without `segments` another process keeps these."""
    done = threading.Event()
    with (
        _running("eraser", system.eraser.run, system.eraser.stop),
        _running("importer", system.importer.run, system.importer.stop),
        _running("segments", system.live_segments.run, system.live_segments.stop) if segments else nullcontext(),
        _running("replays", system.replaying.run, system.replaying.stop),
        _running("outbox", system.outbox.run, system.outbox.stop) if is_shared(system.records) else nullcontext(),
        _running("upkeep", lambda: _keep_up(system, done), done.set),
        system.similar.working(),
    ):
        yield


@contextmanager
def _running(name: str, run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Run it in a thread; afterwards stop it, and wait until it has ended.

    A fault of ours that ends it ends the process too, with SIGTERM to itself: the supervisor starts another, while an
    API without a worker would look well and lose its way.
    """

    def work() -> None:
        try:
            run()
        except BaseException:
            log.exception("thread_failed", thread=name)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


def _keep_up(system: System, done: threading.Event) -> None:
    """Delete what is past its retention, every hour."""
    settings = system.settings
    raw_kept_ms = _ms(settings.log_retention.total_seconds())
    tasks: list[tuple[str, Callable[[], object]]] = [
        ("log", lambda: system.log.trim(now_ms() - raw_kept_ms)),
        ("leads", system.leads.tidy_up),
        ("imports", lambda: system.importer.sweep(report_kept_ms=raw_kept_ms)),
    ]
    if settings.events_retention is not None:
        kept_ms = _ms(settings.events_retention.total_seconds())
        tasks.append(("events", lambda: _trim_events(system, now_ms() - kept_ms)))
    while not done.wait(UPKEEP_S):
        for store, trim in tasks:
            try:
                trim()
            except Exception:
                # What is too old now is still too old in an hour.
                log.exception("trim_failed", store=store)


def _trim_events(system: System, before: Millis) -> None:
    """Once for each day that is past: what cuts a month that has ended writes all of it anew."""
    day = before // DAY_MS
    if day <= (place_of(system.records, TRIMMED) or 0):
        return
    system.events.erasing.trim(day * DAY_MS)
    with writing(system.records) as connection:
        system.segment_work.note(connection, Moved([]), at=now_ms())
        note_place(connection, TRIMMED, day)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
