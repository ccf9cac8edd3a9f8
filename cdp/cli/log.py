"""`cdp log`: the hits that are kept."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.arguments import parse_time
from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from cdp.api_client import ApiClient

app = typer.Typer(help="Kept hits. 保留的原始请求。", no_args_is_help=True)

POLL_S = 0.2


@app.callback()
def _log() -> None:
    """Makes `replay` a verb of its own: a group with one command would else be that command."""


@app.command()
def replay(
    start: Annotated[str | None, typer.Option("--from", parser=parse_time, metavar="TIME", help="Since. 起。")] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Of one sender. 仅此数据源。")] = None,
    json: Json = False,
) -> None:
    """Translate kept hits again; doing so twice changes nothing. 重新翻译保留的请求，重复执行不会改变结果。

    Example: cdp log replay --from 2026-11-01T00:00:00Z
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings(), processing=True) as client:
        asked = client.post("/log/replays", {"from": start, "source": source})
        done = _followed(client, asked)
    answer(done, lambda value: f"{value['hits']:,} hits, {value['changed']:,} changed. 完成。", json=json)


def _followed(client: ApiClient, replay: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end, with a bar on stderr where somebody sees it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("replay 重放", total=None)
        while not replay["done"]:
            time.sleep(POLL_S)
            replay = client.get(f"/log/replays/{replay['id']}")
            progress.update(bar, completed=replay["hits"], total=replay["total"] or None)
    return replay
