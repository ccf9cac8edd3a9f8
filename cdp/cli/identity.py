"""`cdp identity`: who is who, from files and without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.identity_match import match
from cdp.cli.identity_online import rebuild, what_if
from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from rich.table import Table

    from identity.observation_file import Tell

app = typer.Typer(help="Who is who. 识别同一个人。", no_args_is_help=True)
app.command()(match)
app.command()(rebuild)
app.command("what-if")(what_if)

STAGES = {"reading": "reading 读取", "resolving": "resolving 识别", "writing": "writing 写出"}


@app.command()
def resolve(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="Observations, one JSON object a line. 观测，每行一个 JSON。")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="Gets observation, person. 输出文件。")],
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Instead of the built-in policy. 替代内置策略。")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Set unreadable lines aside. 将无法读取的行另存，继续处理。")
    ] = False,
    json: Json = False,
) -> None:
    """Say whose each observation of a file is; nothing is stored. 判断文件中每条观测属于谁，不写入任何存储。

    Example: cdp identity resolve observations.jsonl --out who.csv
    """
    from msgspec import to_builtins

    from cdp.settings import load_settings
    from identity.kinds import BUILT_IN
    from identity.offline import resolve_file
    from identity.policy_file import load_policy

    rules = load_policy(policy) if policy is not None else BUILT_IN
    region = load_settings().region
    keep = [policy] if policy is not None else []
    with _progress() as tell:
        summary = resolve_file(file, out, rules, region=region, skip_bad=skip_bad, tell=tell, keep=keep)
    answer(to_builtins(summary) | {"out": str(out)}, _table, json=json)


@app.command()
def policy(json: Json = False) -> None:
    """Print the built-in policy, to be edited and given to resolve. 打印内置策略，可修改后用于 resolve。

    Example: cdp identity policy
    """
    from identity.kinds import BUILT_IN
    from identity.policy_file import as_table, dump_policy

    if json:
        answer(as_table(BUILT_IN), str, json=True)
    else:
        # As it is, for a file: no table for people, and no terminal's width.
        typer.echo(dump_policy(BUILT_IN), nl=False)


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on stderr where somebody sees it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bars = {}

        def tell(stage: str, share: float) -> None:
            if stage not in bars:
                # How much of the resolving is done cannot be told: its bar goes to and fro.
                bars[stage] = progress.add_task(STAGES[stage], total=None if stage == "resolving" else 1.0)
            progress.update(bars[stage], completed=share)

        yield tell


def _table(summary: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("", "", show_header=False)
    for name, label in (
        ("observations", "observations 观测"),
        ("persons", "persons 人"),
        ("nobodys", "of nobody 无归属"),
        ("contradictions", "that contradict themselves 自相矛盾"),
        ("retracted", "retracted 已撤回"),
        ("rejected", "lines set aside 另存的行"),
    ):
        table.add_row(label, f"{summary[name]:,}")
    for state, count in summary["values"].items():
        table.add_row(f"values 标识: {state}", f"{count:,}")
    table.add_row("policy 策略", summary["policy"])
    table.add_row("written 已写入", summary["out"])
    return table
