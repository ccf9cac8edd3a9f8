from __future__ import annotations

import gc
from pathlib import Path

import pytest

from cdp.errors import StoreUnavailable
from cdp.settings import Settings
from cdp.wiring import open_system


def test_a_start_that_finds_a_store_away_leaves_nothing_open(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, events_url="clickhouse://user:password@127.0.0.1:1/xunji")

    def open_files() -> int:
        with pytest.raises(StoreUnavailable, match="event"):
            open_system(settings)
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()
    gc.disable()
    try:
        # Once before, for what is loaded is loaded once.
        open_files()
        first = open_files()
        assert [open_files() for _ in range(3)] == [first] * 3
    finally:
        gc.enable()
