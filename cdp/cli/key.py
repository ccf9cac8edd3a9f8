"""`cdp key`: who may ask."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="API keys and their roles. API 密钥及其角色。", no_args_is_help=True)


class Role(StrEnum):
    """As in `api.permissions`, which takes too long to import for a help text."""

    ADMIN = "admin"
    DATA = "data"
    BUSINESS = "business"
    MARKETER = "marketer"
    SALES = "sales"
    DEVELOPER = "developer"
    TESTER = "tester"
    PRIVACY = "privacy"


Name = Annotated[str, typer.Argument(help="The key's name. 密钥名称。")]


@app.command()
def create(
    name: Name,
    role: Annotated[Role, typer.Option(help="What it may do. 角色。")],
    json: Json = False,
) -> None:
    """Make an API key and print it, this once. 创建 API 密钥，仅显示一次。

    Example: cdp key create crm-server --role sales
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        made = client.post("/keys", {"name": name, "role": role.value})
    answer(made, _created, json=json)


@app.command("list")
def list_(json: Json = False) -> None:
    """List all keys by name. 列出所有密钥的名称与角色。

    Example: cdp key list
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        found = client.all("/keys", "keys")
    answer({"keys": found}, lambda value: _table(value["keys"]), json=json)


@app.command()
def revoke(name: Name, json: Json = False) -> None:
    """Take a key away for ever. 永久吊销密钥。

    Example: cdp key revoke crm-server
    """
    from urllib.parse import quote

    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        revoked = client.delete(f"/keys/{quote(name, safe='')}")
    answer(revoked or {"name": name}, lambda value: f"{value['name']} is revoked. 已吊销。", json=json)


def _created(made: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for label, field in (("name 名称", "name"), ("role 角色", "role"), ("key 密钥", "key")):
        table.add_row(f"[dim]{label}[/]", made[field])
    table.add_row("", "[dim]shown once 仅显示一次[/]")
    return table


def _table(keys: list[dict[str, Any]]) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name 名称", "role 角色", "created 创建", "revoked 吊销"):
        table.add_column(column)
    for key in keys:
        table.add_row(escape(key["name"]), key["role"], key["created_at"], key["revoked_at"] or "")
    return table
