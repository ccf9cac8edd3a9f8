"""`cdp move`: a store to another adapter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.output import Json, answer
from cdp.move.stores import Store

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cdp.move.copy import Tell
    from cdp.move.run import Done


def move(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="What is copied. 来源。")],
    target: Annotated[
        str, typer.Option("--to", metavar="URL", help="Empty, or begun before. 目标，须为空或未完成的迁移。")
    ],
    store: Annotated[
        Store | None, typer.Option(help="Where a database holds two stores. 同一数据库含两种存储时指定。")
    ] = None,
    json: Json = False,
) -> None:
    """Copy a store to another adapter and compare; run again, it goes on. 将存储迁移到另一种实现并核对，可断点续传。

    Example: cdp move --from sqlite:///{data}/graph.db --to neo4j://neo4j:password@127.0.0.1:7687/neo4j
    """
    from cdp.move.run import move
    from cdp.settings import load_settings

    with _progress() as tell:
        done = move(load_settings(), source, target, store, tell)
    answer(_plain(done), _tables, json=json)
    raise typer.Exit(0 if done.moved.equal else 1)


def _plain(done: Done) -> dict[str, Any]:
    return {
        "store": done.store,
        "copied": done.moved.copied,
        "equal": done.moved.equal,
        "tables": [
            {
                "table": each.table,
                "equal": each.equal,
                "rows": {"from": each.source.rows, "to": each.target.rows},
                "checksum": {"from": f"{each.source.checksum:016x}", "to": f"{each.target.checksum:016x}"},
            }
            for each in done.moved.tables
        ],
    }


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar for each table on stderr, where somebody sees it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bars: dict[str, Any] = {}

        def tell(table: str, done: int, size: int) -> None:
            if table not in bars:
                bars[table] = progress.add_task(table, total=size)
            progress.update(bars[table], completed=done, total=size)

        yield tell


def _tables(done: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, justify in (
        ("table 表", "left"),
        ("rows 行数", "right"),
        ("checksum 校验和", "left"),
        ("same 一致", "left"),
    ):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for each in done["tables"]:
        rows, checksum = each["rows"], each["checksum"]
        if each["equal"]:
            table.add_row(each["table"], f"{rows['from']:,}", checksum["from"], "[green]yes 是[/]")
        else:
            both = f"{rows['from']:,} | {rows['to']:,}", f"{checksum['from']} | {checksum['to']}"
            table.add_row(each["table"], *both, "[bold red]no 否[/]")
    return Group(table, "", _verdict(done))


def _verdict(done: dict[str, Any]) -> str:
    if not done["equal"]:
        wrong = ", ".join(each["table"] for each in done["tables"] if not each["equal"])
        return f"[bold red]They differ in {wrong}: was one of them written meanwhile? 两侧不一致。[/]"
    setting = f"XUNJI_{done['store'].upper()}_URL"
    copied = (
        f"{done['copied']:,} rows copied. 已复制 {done['copied']:,} 行。"
        if done["copied"]
        else "It was all there. 无需复制。"
    )
    return f"[green]{copied} Both hold the same. 两侧一致。[/] Next 下一步: set {setting} to the target."
