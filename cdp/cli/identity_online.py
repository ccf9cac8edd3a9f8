"""`cdp identity`, of the graph in use: derive it again, and try another policy on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from rich.console import RenderableType

EXAMPLES_SHOWN = 5


def rebuild(
    check: Annotated[
        bool, typer.Option("--check", help="Compare only, and exit 1 on a difference. 只比对，有差异则退出码为 1。")
    ] = False,
    json: Json = False,
) -> None:
    """Derive who is who again from the evidence, and mend what differs. 由证据重新推导全部结论，并修正差异。

    Example: cdp identity rebuild --check
    """
    from cdp.api_client import WHOLE_GRAPH_S, connect
    from cdp.settings import load_settings

    with _watched("rebuilding 重新推导") as progress, connect(load_settings(), progress=progress) as client:
        found = client.post("/identity/rebuild", {"check": check}, timeout_s=WHOLE_GRAPH_S)
    answer(found, _rebuilt, json=json)
    raise typer.Exit(1 if check and not found["equal"] else 0)


def what_if(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="The other policy. 另一份策略。")],
    json: Json = False,
) -> None:
    """Tell what another policy would change; nothing is changed. 试算另一份策略会合并、拆分多少人，不改变任何数据。

    Example: cdp identity what-if policy.toml
    """
    from cdp.api_client import WHOLE_GRAPH_S, connect
    from cdp.settings import load_settings
    from identity.policy_file import as_table, load_policy

    # Read here, so that a slip in the file is told with its place and before anything is opened.
    policy = as_table(load_policy(file))
    with _watched("trying 试算") as progress, connect(load_settings(), progress=progress) as client:
        found = client.post("/identity/what-if", {"policy": policy}, timeout_s=WHOLE_GRAPH_S)
    answer(found, _compared, json=json)


@contextmanager
def _watched(what: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr where somebody sees it; it counts where the work is done in this process."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda read: progress.update(bar, description=f"{what} {read:,} observations 条观测")


def _rebuilt(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.markup import escape

    if found["equal"]:
        return "[green]All conclusions follow from the evidence. 全部结论与证据一致。[/]"
    done = "differ 有差异" if found["checked"] else "differed and are mended 有差异，已修正"
    counts = f"{found['values']:,} values 标识, {found['pairs']:,} pairs 关联, {found['refusals']:,} refusals 拒绝"
    return Group(f"[bold red]{counts}: {done}.[/]", *map(escape, found["examples"][:EXAMPLES_SHOWN]))


def _compared(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    table = Table("", "", show_header=False)
    for name, label in (
        ("persons_now", "persons now 现有人数"),
        ("persons_then", "persons then 之后人数"),
        ("merged", "would be merged 将被合并"),
        ("split", "would be split 将被拆分"),
    ):
        table.add_row(label, f"{found[name]:,}")
    return Group(table, *(_example(each) for each in found["examples"][:EXAMPLES_SHOWN]))


def _example(example: dict[str, Any]) -> str:
    from rich.markup import escape

    sides = [" | ".join(_person(person) for person in example[side]) for side in ("now", "then")]
    return escape(f"{example['what']}: {sides[0]} → {sides[1]}")


def _person(identifiers: list[dict[str, str]]) -> str:
    return ", ".join(f"{each['kind']} {each['value']}" for each in identifiers)
