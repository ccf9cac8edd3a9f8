"""`cdp config`: what is set, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cdp.settings import Settings

app = typer.Typer(help="Settings. 配置。", no_args_is_help=True)


@app.callback()
def _config() -> None:
    """Makes `show` a verb of its own: a group with one command would else be that command."""


@app.command()
def show(json: Json = False) -> None:
    """Show each setting, its value and where it came from. 查看各项配置的取值与来源。

    Example: cdp config show
    """
    from cdp.settings import load_settings

    answer({"settings": rows(load_settings())}, lambda value: _table(value["settings"]), json=json)


def rows(settings: Settings) -> list[dict[str, str]]:
    """Name, value as one would write it, and origin (environment, file, default) of each setting."""
    from cdp.settings import PREFIX, origin_of

    names = type(settings).model_fields
    return [
        {"setting": PREFIX + name.upper(), "value": _written(settings, name), "from": origin_of(name)} for name in names
    ]


def _written(settings: Settings, name: str) -> str:
    from datetime import timedelta

    import isodate

    from cdp.settings import SECRET_FIELDS

    value: Any = getattr(settings, name)
    if name in SECRET_FIELDS:
        return "****" if value else ""
    if isinstance(value, timedelta):
        return str(isodate.duration_isoformat(value))
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else _without_password(settings.resolved(str(value)))


def _without_password(value: str) -> str:
    """user:password@host as user:****@host."""
    import re

    return re.sub(r"(://[^/:@]*):[^/]*@", r"\1:****@", value)


def _table(settings: list[dict[str, str]]) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting 配置项", "value 取值", "from 来源"):
        table.add_column(column, overflow="fold")
    for row in settings:
        origin = row["from"]
        table.add_row(row["setting"], escape(row["value"]), origin if origin != "default" else "[dim]default[/]")
    return table
