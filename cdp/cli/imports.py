"""`cdp import`: rows of a file into events and leads, with a report per row, and taking them back."""

from __future__ import annotations

import sys
import time
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cdp.cli.output import Json, answer, complain

if TYPE_CHECKING:
    from rich.console import Group as Shown
    from rich.table import Table

    from cdp.api_client import ApiClient

POLL_S = 0.2
WRONG_CALL, NO = 2, 1
OUTCOMES = "taken · joined · repeated · refused\n新增 · 并入 · 重复 · 拒绝"
ENDED = frozenset({"done", "cancelled", "failed", "undone"})


class Kind(StrEnum):
    """As `collectors.columns.RowKind`, which takes too long to import for a help text."""

    LEADS = "leads"
    PEOPLE = "people"
    EVENTS = "events"


class _FileOrVerb(TyperGroup):
    """`cdp import customers.xlsx` is `cdp import file customers.xlsx`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["file", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Rows of files into events and leads; `cdp import FILE` is `cdp import file FILE`. 导入 CSV、XLSX 文件。",
    no_args_is_help=True,
    cls=_FileOrVerb,
)

ImportId = Annotated[str, typer.Argument(metavar="ID", help="Of the import. 导入编号。")]


@app.command()
def file(
    path: Annotated[Path, typer.Argument(metavar="FILE", exists=False, help="CSV or XLSX. 文件。")],
    source: Annotated[str, typer.Option(metavar="NAME", help="The sender, of kind file. 数据源。")],
    kind: Annotated[Kind, typer.Option(help="What a row is. 一行是什么。")] = Kind.LEADS,
    map_: Annotated[
        Path | None, typer.Option("--map", metavar="MAP.toml", help="What the columns mean. 各列含义。")
    ] = None,
    sheet: Annotated[str | None, typer.Option(metavar="NAME", help="Of a workbook. 工作表。")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take the guess where it is sure. 猜测无疑问时直接导入。")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Gets a line for each row, .csv or .json. 逐行结果。")
    ] = None,
    json: Json = False,
) -> None:
    """Import a file: look, confirm, take, report. 导入文件：预览、确认、导入、报告。

    Example: cdp import file customers.xlsx --source crm --map customers.toml --report result.csv
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    if not path.is_file():
        raise typer.BadParameter(f"there is no file {path}")
    if not path.stat().st_size:
        raise typer.BadParameter(f"{path} is empty")
    if report:
        _check_report(report, "--report")
    told = _read_map(map_) if map_ else None
    with connect(load_settings(), processing=True) as client:
        wanted = told["kind"] if told else kind.value
        shown = client.upload("/imports", path, source=source, filename=path.name, kind=wanted, sheet=sheet)
        decided = told or _decided(client, shown, path, yes=yes)
        client.post(f"/imports/{shown['id']}/confirm", {"map": decided})
        done = _followed(client, shown["id"])
        if report:
            client.download(f"/imports/{shown['id']}/report", report, format=report.suffix[1:])
    answer(done, _card, json=json)
    if done["state"] != "done":
        raise typer.Exit(NO)


@app.command()
def undo(import_id: ImportId, json: Json = False) -> None:
    """Take an import back: it is as if it had never been. 撤销导入，恢复如初。

    Example: cdp import undo im_5f1c2a9be0d74c1f8a3b6d20
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings(), processing=True) as client:
        client.post(f"/imports/{import_id}/undo", {})
        done = _followed(client, import_id)
    answer(done, _card, json=json)


@app.command()
def cancel(import_id: ImportId, json: Json = False) -> None:
    """Take no more rows; what was taken stays until it is undone. 停止导入，已导入的保留。

    Example: cdp import cancel im_5f1c2a9be0d74c1f8a3b6d20
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        stopped = client.post(f"/imports/{import_id}/cancel", {})
    answer(stopped, _card, json=json)


@app.command()
def show(import_id: ImportId, json: Json = False) -> None:
    """Show one import: its columns, how far it is, what came of it. 查看一次导入。

    Example: cdp import show im_5f1c2a9be0d74c1f8a3b6d20
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        found = client.get(f"/imports/{import_id}")
    answer(found, _card, json=json)


@app.command("list")
def list_(json: Json = False) -> None:
    """List all imports, newest first. 列出所有导入。

    Example: cdp import list
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings()) as client:
        found = client.all("/imports", "imports")
    answer(found, _table, json=json)


@app.command("report")
def report_(
    import_id: ImportId,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Gets the report, .csv or .json. 输出文件。")],
    json: Json = False,
) -> None:
    """Write what became of each row. 导出逐行结果。

    Example: cdp import report im_5f1c2a9be0d74c1f8a3b6d20 --out result.csv
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    _check_report(out, "--out")
    with connect(load_settings()) as client:
        client.download(f"/imports/{import_id}/report", out, format=out.suffix[1:])
    answer({"out": str(out)}, lambda value: f"{value['out']}", json=json)


def _check_report(path: Path, option: str) -> None:
    """Before anything is imported, not after."""
    if path.suffix not in (".csv", ".json"):
        raise typer.BadParameter(f"{path} ends neither in .csv nor in .json", param_hint=option)
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint=option)


def _read_map(path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} is no readable TOML: {error}", param_hint="--map") from None
    unknown = sorted(set(told) - {"kind", "columns", "event"})
    if unknown or told.get("kind") not in list(Kind) or not isinstance(told.get("columns"), dict):
        wrong = f"it has {unknown[0]!r} besides" if unknown else "it has not"
        raise typer.BadParameter(
            f"{path} needs kind (leads, people or events) and a table [columns], and may have event; {wrong}",
            param_hint="--map",
        )
    return told


def _decided(client: ApiClient, shown: dict[str, Any], path: Path, *, yes: bool) -> dict[str, Any]:
    """The map: the guess, with what somebody at the terminal says to its questions. Where nobody is asked and
    something is unsure, the guess is written to a file and the command ends."""
    guessed = {each["name"]: each["meaning"] for each in shown["columns"]}
    told = {"kind": shown["kind"], "columns": guessed, "event": ""}
    asks = sys.stdin.isatty() and sys.stderr.isatty() and not yes
    if not asks and (shown["questions"] or not yes):
        client.post(f"/imports/{shown['id']}/cancel", {})
        _leave_map(shown, path)
        raise typer.Exit(WRONG_CALL)
    if not asks:
        return told
    from rich.console import Console

    console = Console(stderr=True)
    console.print(f"{shown['file']} ({shown['format']})", markup=False, highlight=False)
    console.print(_columns(shown))
    for each in shown["questions"]:
        # What the file lacks is no question of one column.
        column = each["column"] or typer.prompt(f"{each['zh']} {each['en']} 列 column", err=True)
        asked = f"{each['zh']} {each['en']} {' | '.join(each['options'])}" if each["column"] else "含义 meaning"
        guessed[column] = typer.prompt(asked, default=guessed.get(column), err=True)
    typer.confirm(f"导入 {shown['rows']:,} 行？ Import {shown['rows']:,} rows?", abort=True, err=True)
    return told


def _leave_map(shown: dict[str, Any], path: Path) -> None:
    out = path.with_suffix(".map.toml")
    asked = [f"# {each['column']}: {each['zh']} {each['en']}" for each in shown["questions"]]
    lines = [f'kind = "{shown["kind"]}"', *asked, "", "[columns]"]
    lines += [
        f"{_quoted(each['name'])} = {_quoted(each['meaning'])}" + ("" if each["sure"] else "  # ?")
        for each in shown["columns"]
    ]
    if out.exists():
        complain(f"{out} is there already; mend it and give it with --map, or move it away. 映射文件已存在。")
        return
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if shown["questions"]:
        complain(f"Nothing was imported: check {out}, then run again with --map {out}. 未导入，请检查映射文件后重试。")
    else:
        complain(
            f"Nothing was imported. Nothing was unsure: run again with --yes, or check {out} and give it with --map. "
            "未导入；各列均无疑问，加 --yes 即可导入。"
        )


def _quoted(text: str) -> str:
    import json as json_text

    # A JSON string is a TOML string.
    return json_text.dumps(text, ensure_ascii=False)


def _followed(client: ApiClient, import_id: str) -> dict[str, Any]:
    """Wait for the end, with a bar on stderr where somebody sees it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("import 导入", total=None)
        while True:
            found: dict[str, Any] = client.get(f"/imports/{import_id}")
            rate = f"{found['rows_per_second']:,.0f}/s"
            progress.update(bar, completed=found["looked"], total=found["rows"], description=f"import 导入 {rate}")
            if found["state"] in ENDED:
                return found
            time.sleep(POLL_S)


def _card(found: dict[str, Any]) -> Shown:
    from rich.console import Group
    from rich.table import Table

    table = Table("", "", show_header=False)
    counts = found["counts"]
    for label, value in (
        ("import 导入", found["id"]),
        ("state 状态", found["state"]),
        ("file 文件", f"{found['file']} ({found['format']})"),
        ("rows 行", f"{found['looked']:,} / {found['rows']:,}"),
        (OUTCOMES, " · ".join(f"{n:,}" for n in counts.values())),
    ):
        table.add_row(label, value)
    if found["problem"]:
        table.add_row("problem 问题", found["problem"])
    if found["removed"]:
        removed = found["removed"]
        table.add_row("taken back 已撤销", " · ".join(f"{name} {n:,}" for name, n in removed.items()))
    return Group(table, _columns(found)) if found["state"] == "preview" else Group(table)


def _columns(found: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("column 列", "meaning 含义", "sure 确定", "samples 样例")
    for each in found["columns"]:
        table.add_row(each["name"], each["meaning"], "✓" if each["sure"] else "?", ", ".join(each["samples"]))
    return table


def _table(found: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("import 导入", "state 状态", "source 数据源", "file 文件", "rows 行", "at 时间")
    for each in found:
        rows = f"{each['looked']:,} / {each['rows']:,}"
        table.add_row(each["id"], each["state"], each["source"], each["file"], rows, each["requested_at"])
    return table
