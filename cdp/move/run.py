"""One move from its two URLs to what came of it."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from cdp.move.choose import choose, is_embedded, open_sql, path_of
from cdp.move.copy import Moved, Tell, copy
from cdp.move.opening import open_contents
from cdp.move.rest import require_rest
from cdp.move.stores import Store
from cdp.settings import Settings

SQL = ("sqlite:", "postgresql")


class Done(NamedTuple):
    store: Store
    moved: Moved


def move(settings: Settings, source: str, target: str, said: Store | None, tell: Tell) -> Done:
    """Copy the store at `source` to `target`, or the rest of it, and compare. `{data}` in a URL is the data folder.

    Raises ConfigurationError for a URL that names no store, Refused where the two cannot be moved or somebody works on
    them, StoreUnavailable where one goes away: call it again.
    """
    source, target = settings.resolved(source), settings.resolved(target)
    store = choose(source, target, said)
    with ExitStack() as opened:
        records = _open_records(settings, opened)
        moved = [_open("--from", url, opened) for url in (source, target) if store is Store.RECORDS and _is_there(url)]
        require_rest(
            {settings.data, *map(_data_folder, filter(is_embedded, (source, target)))},
            [engine for engine in (records, *moved) if engine is not None],
        )
        held = opened.enter_context(closing(open_contents(store, "--from", source, records)))
        filled = opened.enter_context(closing(open_contents(store, "--to", target, records)))
        return Done(store, copy(held, filled, tell))


def _open_records(settings: Settings, opened: ExitStack) -> Engine | None:
    """Those of the settings, where there are any."""
    url = settings.resolved(settings.records_url)
    return _open("XUNJI_RECORDS_URL", url, opened) if _is_there(url) else None


def _open(option: str, url: str, opened: ExitStack) -> Engine:
    engine = open_sql(option, url)
    opened.callback(engine.dispose)
    return engine


def _is_there(url: str) -> bool:
    return url.startswith(SQL) and (not is_embedded(url) or path_of(url).is_file())


def _data_folder(url: str) -> Path:
    """Where the processes that use this embedded store leave their notes, as the default settings lay it out."""
    return path_of(url).absolute().parent
