"""`cdp doctor`: what works, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from rich.console import RenderableType

UNREACHABLE = 3


def doctor(json: Json = False) -> None:
    """Try every store with a write and a read; exit 3 when one fails. 逐一检查各存储的读写。

    Example: cdp doctor
    """
    from cdp.doctor import examine
    from cdp.settings import load_settings

    report = examine(load_settings())
    answer(report, _table, json=json)
    raise typer.Exit(0 if report["healthy"] else UNREACHABLE)


def _table(report: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, justify in (
        ("what 对象", "left"),
        ("works 可用", "left"),
        ("time 用时", "right"),
        ("why 原因", "left"),
    ):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name, check in report["checks"].items():
        works = "[green]yes 是[/]" if check["works"] else "[bold red]no 否[/]"
        table.add_row(name, works, f"{check['ms']:,} ms", escape(check["why"]))
    asked = report["server"]
    who = (
        f"asked the server at {asked} 询问了运行中的服务"
        if asked
        else "opened the stores, no server runs 无运行中的服务，直接打开了存储"
    )
    return Group(table, "", f"[dim]{escape(who)}[/]")
