"""Write files whole or not at all: several that belong together, beside their places first, then all put in place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from cdp.errors import ConfigurationError

NEEDS_QUOTES = frozenset('",\r\n')


def check_places(option: str, places: Iterable[Path], *, read: Iterable[Path]) -> None:
    """Refuse places that could not be written, or would replace what is read, before any work.

    Raises ConfigurationError, which names the option.
    """
    for place in places:
        try:
            if not place.absolute().parent.is_dir():
                raise ConfigurationError(option, came=str(place), allowed="a file in a folder that exists")
            if place.exists() and not place.is_file():
                came = f"{place}, which is no file"
                raise ConfigurationError(option, came=came, allowed="a file, new or to be replaced")
            if place.exists() and any(file.exists() and place.samefile(file) for file in read):
                raise ConfigurationError(option, came=str(place), allowed="another file than those that are read")
        except OSError as error:
            raise _unwritable(option, place, error) from None


def write_whole(option: str, files: Mapping[Path, Iterable[str]]) -> None:
    """Write the texts of these files. Nobody ever finds part of one, and where one cannot be written none is.

    They are put in place in this order, so whoever finds the last finds the others. Raises ConfigurationError.
    """
    place = Path()
    with ExitStack() as parts:
        try:
            written: list[tuple[Path, Path]] = []
            for place, pieces in files.items():
                # A link stays one: what it leads to is replaced.
                whole = Path(os.path.realpath(place))
                with tempfile.NamedTemporaryFile(
                    "w", dir=whole.parent, prefix=f".{whole.name[:50]}.", encoding="utf-8", newline="", delete=False
                ) as file:
                    part = Path(file.name)
                    parts.callback(part.unlink, missing_ok=True)
                    file.writelines(pieces)
                    file.flush()
                    os.fsync(file.fileno())
                part.chmod(0o666 & ~_umask())
                written.append((part, whole))
            for part, whole in written:
                part.replace(whole)
        except OSError as error:
            raise _unwritable(option, place, error) from None


def _unwritable(option: str, place: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(option, came=f"{place} ({error.strerror})", allowed="a path that can be written")


def csv_line(*values: str) -> str:
    """A line of CSV. Unlike the standard library's, a value with a carriage return is quoted, so it reads back."""
    return ",".join(map(_field, values)) + "\n"


def _field(value: str) -> str:
    return value if NEEDS_QUOTES.isdisjoint(value) else '"' + value.replace('"', '""') + '"'


def _umask() -> int:
    """That of the process, which can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
