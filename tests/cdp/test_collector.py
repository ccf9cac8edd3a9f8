"""A collector's own duties beside taking hits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

import cdp.collector
from cdp.collector import _keep_fresh
from cdp.log import LogWriter
from collectors.sources import LiveSources


class FailingWriter:
    name = "0"

    def try_again(self) -> None:
        raise OSError("no space left on device")


class Sources:
    """Is done once it was looked at three times."""

    version = 1

    def __init__(self) -> None:
        self.looks = 0
        self.done = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def refresh(self) -> bool:
        self.looks += 1
        if self.looks == 3:
            self._loop.call_soon_threadsafe(self.done.set)
        return False


def test_new_keys_are_heard_of_while_the_log_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdp.collector, "REFRESH_S", 0.0)

    async def work() -> None:
        sources = Sources()
        fresh = asyncio.create_task(_keep_fresh(cast(LiveSources, sources), tmp_path, cast(LogWriter, FailingWriter())))
        async with asyncio.timeout(30):
            await sources.done.wait()
        assert not fresh.done()
        fresh.cancel()

    asyncio.run(work())
