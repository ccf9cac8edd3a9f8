"""How commands speak: answers on stdout, as JSON or for people, and complaints on stderr."""

from __future__ import annotations

import json as json_text
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout and nothing else. 只输出 JSON，供程序读取。")]

PIPE_WIDTH = 120
"""Columns where stdout is no terminal and COLUMNS does not say."""


def answer(value: Any, show: Callable[[Any], RenderableType], *, json: bool) -> None:
    """Print the answer of a command: `value` as it is for programs, `show(value)` for people."""
    if json:
        typer.echo(json_text.dumps(value, ensure_ascii=False, indent=2))
    else:
        from cdp.card import printable

        console().print(show(printable(value)))


def line(value: Any) -> None:
    """One value as one line of JSON, at once, for commands that go on."""
    print(json_text.dumps(value, ensure_ascii=False), flush=True)


def console() -> Console:
    """Where people read. In a pipe it is plain text of a fixed width."""
    from rich.console import Console

    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=PIPE_WIDTH if piped else None, highlight=False, emoji=False)


def complain(sentence: str) -> None:
    typer.echo(sentence, err=True)
