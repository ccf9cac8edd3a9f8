"""`cdp vault`: the key of the clear personal values."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from cdp.vault_rotation import Rotation

app = typer.Typer(help="The vault of clear personal values. 个人信息保险库。", no_args_is_help=True)


@app.callback()
def _vault() -> None:
    """Makes `rotate` a verb of its own: a group with one command would else be that command."""


@app.command()
def rotate(
    check: Annotated[bool, typer.Option("--check", help="Only count; exit 1 if any is left. 仅检查。")] = False,
    json: Json = False,
) -> None:
    """Seal all clear values with the first of XUNJI_VAULT_KEYS. 用第一个密钥重新加密保险库。

    Example: cdp vault rotate
    """
    done = _rotate(check=check)
    answer(asdict(done), lambda value: _told(value, check=check), json=json)
    if done.lost or (check and done.old):
        raise typer.Exit(1)


def _rotate(*, check: bool) -> Rotation:
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from cdp.settings import load_settings
    from cdp.stores import open_records
    from cdp.vault import vault_cipher
    from cdp.vault_rotation import rotate

    settings = load_settings()
    cipher = vault_cipher(settings.secret_bytes, settings.vault_key_bytes)
    # Not asked of the server: the records are open to every process, and this one alone needs the older keys.
    engine = open_records(settings)
    columns = TextColumn("vault 保险库 {task.completed:,.0f}")
    try:
        with Progress(columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
            bar = shown.add_task("", total=None)
            return rotate(engine, cipher, check=check, progress=lambda looked: shown.update(bar, completed=looked))
    finally:
        engine.dispose()


def _told(done: dict[str, Any], *, check: bool) -> str:
    old = "are sealed with an older key 仍用旧密钥" if check else "were sealed anew 已重新加密"
    lost = f" {done['lost']:,} can be opened by none of the keys. 有值无法用任何密钥解开。" if done["lost"] else ""
    return f"Of {done['looked']:,} values 共 {done['looked']:,} 个值: {done['old']:,} {old}.{lost}"
