"""What lies in the folder of a product that is running."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

TRIES = 100


def contents(folder: Path) -> Mapping[Path, bytes]:
    """Every byte of every file below it at one time: looked at again where a file goes meanwhile, as parts do that the
    event store's engine has merged."""
    for _ in range(TRIES):
        try:
            return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        except FileNotFoundError:
            continue
    raise AssertionError(f"files in {folder} come and go all the time")
