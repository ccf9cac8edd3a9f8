"""A collector process: takes hits, answers when they are durable, and knows nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from cdp.log import LogWriter
from cdp.moments import now_ms
from cdp.settings import Settings
from cdp.spool import spool_names
from cdp.spool_note import SpoolNote
from cdp.stores import open_log_writer, open_records, spool_folder
from cdp.supervisor import stop_on_signal
from cdp.vault import Cipher
from collectors.accept import Accept
from collectors.form import Form
from collectors.proxies import Proxies
from collectors.registry import DIALECTS, PAGES
from collectors.server import run, serve_collector
from collectors.sources import LiveSources, SourceBook, announce

log = structlog.get_logger()

REFRESH_S = 0.2
"""How often a collector looks for new sources: a new key must work within a second."""


def run_collector(settings: Settings) -> None:
    """Accept hits until SIGTERM; then answer what has come, and end."""
    run(_collect(settings))


async def _collect(settings: Settings) -> None:
    stop = asyncio.Event()
    stop_on_signal(stop)
    records = open_records(settings)
    sources = LiveSources(SourceBook(records, settings.secret_bytes))
    writer = open_log_writer(settings, spooling=True)
    accept = Accept(
        dialects={**DIALECTS, Form.name: Form(region=settings.region)},
        pages=PAGES,
        sources=sources,
        log=writer,
        cipher=Cipher(settings.secret_bytes, "log"),
        proxies=Proxies(settings.proxies),
    )
    folder = settings.data / "run"
    note = SpoolNote(records, settings.place, writer.name, clock=now_ms)
    refreshing = asyncio.create_task(_keep_fresh(sources, folder, writer))
    telling = asyncio.create_task(_tell_of_spool(note, spool_folder(settings), writer))
    try:
        await serve_collector(
            host=settings.host,
            port=settings.collector_port,
            accept=accept,
            stop=stop,
            listening=lambda port: log.info("collector_listening", port=port, collector=writer.name),
        )
    finally:
        refreshing.cancel()
        telling.cancel()
        await writer.close()


async def _keep_fresh(sources: LiveSources, folder: Path, writer: LogWriter) -> None:
    loop = asyncio.get_running_loop()
    announce(folder, writer.name, sources.version)
    while True:
        await asyncio.sleep(REFRESH_S)
        _try_again(writer)
        try:
            if await loop.run_in_executor(None, sources.refresh):
                announce(folder, writer.name, sources.version)
        except Exception as error:
            # The keys of a moment ago are better than none; the next round tries again.
            log.warning("sources_not_refreshed", reason=str(error))


def _try_again(writer: LogWriter) -> None:
    try:
        writer.try_again()
    except Exception as error:
        # Whatever ails the log, keys must go on to be heard of.
        log.warning("log_not_tried_again", reason=str(error))


async def _tell_of_spool(note: SpoolNote, folder: Path, writer: LogWriter) -> None:
    """A store that is away is told later: hits are safe here all the same."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.run_in_executor(None, note.tell, writer.spooled().hits, spool_names(folder))
        except Exception as error:
            log.warning("spool_not_noted", reason=str(error))
        await asyncio.sleep(REFRESH_S)
