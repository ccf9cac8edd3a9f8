"""`cdp source`: who may send."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from rich.console import RenderableType


class Kind(StrEnum):
    """As `cdp.model.SourceKind`, which takes too long to import for a help text."""

    SITE = "site"
    MINI_PROGRAM = "mini_program"
    APP = "app"
    SERVER = "server"
    FORM = "form"
    FILE = "file"
    ADS = "ads"


app = typer.Typer(help="Senders and their write keys. 数据源及其写入密钥。", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its unique name. 唯一的名称。")],
    kind: Annotated[Kind, typer.Option(help="What it is. 类型。")],
    key: Annotated[
        str | None, typer.Option(help="Its write key; made when left out. 写入密钥，省略则自动生成。")
    ] = None,
    json: Json = False,
) -> None:
    """Register a sender and print its write key. 登记数据源，并显示其写入密钥。

    Example: cdp source create shop --kind site
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        source = client.post("/sources", {"name": name, "kind": kind.value, "key": key})
    answer(source, _created, json=json)


@app.command("list")
def list_(
    keys: Annotated[bool, typer.Option("--keys", help="Show write keys. 显示写入密钥。")] = False,
    json: Json = False,
) -> None:
    """List all senders. 列出所有数据源。

    Example: cdp source list
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        found = client.all("/sources", "sources")
    answer({"sources": found}, lambda value: _table(value["sources"], keys=keys), json=json)


@app.command()
def disable(
    name: Annotated[str, typer.Argument(help="The sender's name. 数据源名称。")],
    json: Json = False,
) -> None:
    """Take nothing more from a sender. 停用数据源，不再接收其数据。

    Example: cdp source disable shop
    """
    from urllib.parse import quote

    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        source = client.patch(f"/sources/{quote(name, safe='')}", {"enabled": False})
    answer(source, lambda value: f"{value['name']} is disabled. 已停用。", json=json)


def _created(source: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for label, field in (("source 数据源", "name"), ("kind 类型", "kind"), ("write key 写入密钥", "key")):
        table.add_row(f"[dim]{label}[/]", source[field])
    if secret := source.get("secret"):
        table.add_row("[dim]secret 签名密钥[/]", f"{secret}  [dim](shown once 仅显示一次)[/]")
    return table


def _table(sources: list[dict[str, Any]], *, keys: bool) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    from cdp.model import mask

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name 名称", "kind 类型", "trust 信任", "state 状态", "write keys 写入密钥"):
        table.add_column(column, overflow="fold")
    for source in sources:
        shown = source["keys"] if keys else [mask(key) for key in source["keys"]]
        state = "enabled 启用" if source["enabled"] else "[dim]disabled 停用[/]"
        table.add_row(escape(source["name"]), source["kind"], source["trust"], state, escape("\n".join(shown)))
    return table
