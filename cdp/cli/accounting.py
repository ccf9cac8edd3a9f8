"""`cdp accounting`: does it add up?"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.arguments import parse_time
from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def accounting(
    start: Annotated[str | None, typer.Option("--from", parser=parse_time, metavar="TIME", help="Since. 起。")] = None,
    end: Annotated[str | None, typer.Option("--to", parser=parse_time, metavar="TIME", help="Until. 止。")] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Of one sender. 仅此数据源。")] = None,
    json: Json = False,
) -> None:
    """Account for every hit and event; exit 1 when it does not add up. 对账：不平则退出码为 1。

    Example: cdp accounting --from 2026-11-01T00:00:00Z
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    settings = load_settings()
    with connect(settings) as client:
        account = client.get("/accounting", **{"from": start, "to": end, "source": source})
    answer(account, lambda value: _tables(value, settings.zone), json=json)
    raise typer.Exit(0 if account["balanced"] else 1)


def _tables(account: dict[str, Any], zone: tzinfo) -> RenderableType:
    from rich.console import Group

    balanced = account["balanced"]
    verdict = "[green]It adds up. 账平。[/]" if balanced else "[bold red]It does not add up. 账不平。[/]"
    waiting = account.get("spooled")
    spooled = [f"In collectors' spools, on the way to the log 采集端暂存、待转发: {waiting:,}", ""] if waiting else []
    return Group(_partitions(account["partitions"]), "", *spooled, _rows(account["rows"], zone), "", verdict)


def _partitions(partitions: list[dict[str, int]]) -> RenderableType:
    names = ("partition", "accepted", "processed", "pending")
    table = _numbers(
        "Hits per log partition 各日志分区的请求",
        ("partition\n分区", "accepted\n接收", "processed\n已处理", "pending\n待处理"),
    )
    for partition in partitions:
        table.add_row(*(f"{partition[name]:,}" for name in names))
    return table


def _rows(rows: list[dict[str, Any]], zone: tzinfo) -> RenderableType:
    names = ("found", "stored", "duplicate", "quarantined")
    headers = (
        "found\n事件",
        "stored\n入库",
        "duplicate\n重复",
        "quarantined\n隔离",
        "dropped\n丢弃",
        "unreadable\n不可读",
    )
    table = _numbers(
        "Events per source and hour of receipt 各数据源每小时的事件", ("source\n数据源", "hour\n小时", *headers)
    )
    for row in rows:
        events = row["events"]
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in events["dropped"].items()) or "0"
        counts = [f"{events[name]:,}" for name in names]
        table.add_row(
            row["source"] or "-",
            f"{datetime.fromisoformat(row['hour']).astimezone(zone):%Y-%m-%d %H:00}",
            *counts,
            dropped,
            f"{row['hits']['unreadable']:,}",
        )
    return table


def _numbers(title: str, columns: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column.startswith(("source", "hour")) else "right", overflow="fold")
    return table
