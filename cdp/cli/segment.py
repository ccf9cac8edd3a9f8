"""`cdp segment`: who is meant by a rule, now and then, and why."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from cdp.cli.arguments import parse_identifier, parse_time
from cdp.cli.output import Json, answer, line

if TYPE_CHECKING:
    from cdp.api_client import ApiClient
    from segments.templates import Template

app = typer.Typer(help="Segments: who is meant, and why. 人群：谁在其中，为什么。", no_args_is_help=True)

NO = 1
MAX_PAGE = 1_000
POLL_S = 0.5
FORMATS = (".csv", ".xlsx")

Named = tuple[str, str, str]
"""Whose change, which, and when."""

Definition = Annotated[
    Path, typer.Argument(metavar="FILE.json", help="The definition, see docs/segments.md. 人群定义文件。")
]
Segment = Annotated[str, typer.Argument(metavar="SEGMENT", help="The segment's id or name. 人群编号或名称。")]
At = Annotated[
    str | None,
    typer.Option("--at", parser=parse_time, metavar="TIME", help="As it was then, such as yesterday. 回到当时。"),
]
Limit = Annotated[int, typer.Option(min=1, max=1_000, help="How many at most. 条数上限。")]


@app.command()
def check(path: Definition, json: Json = False) -> None:
    """Say what a definition means and what is wrong with it. 检查人群定义，并用一句话读出来。

    Example: cdp segment check looked.json
    """
    from cdp.api_client import connect
    from cdp.cli.segment_tables import checked
    from cdp.settings import load_settings

    document = _read(path)
    with connect(load_settings(), segments=True) as client:
        found = client.post("/segments/check", {"definition": document})
    answer(found, checked, json=json)
    if not found["valid"]:
        raise typer.Exit(NO)


@app.command()
def preview(
    path: Definition,
    at: At = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="From a 1/64 sample, at once. 用 1/64 样本快速估计。")
    ] = False,
    json: Json = False,
) -> None:
    """Count whom a definition means, with 20 of them and why. 预览人数、样例与原因。

    Example: cdp segment preview looked.json
    """
    from cdp.api_client import connect
    from cdp.cli.segment_tables import previewed
    from cdp.settings import load_settings

    document = _read(path)
    with connect(load_settings(), segments=True) as client:
        found = client.post("/segments/preview", {"definition": document, "at": at, "estimate": estimate or None})
    answer(found, previewed, json=json)


@app.command()
def create(
    path: Definition,
    name: Annotated[str, typer.Option(help="What people call it. 名称。")],
    json: Json = False,
) -> None:
    """Make a segment, fill it, and keep it up to date from now on. 创建人群并持续更新。

    Example: cdp segment create looked.json --name looked
    """
    from cdp.api_client import connect
    from cdp.cli.segment_tables import one
    from cdp.settings import load_settings

    document = _read(path)
    with connect(load_settings(), processing=True, segments=True) as client:
        made = client.post("/segments", {"name": name, "definition": document})
    answer(made, one, json=json)


@app.command("list")
def list_(json: Json = False) -> None:
    """List all segments with size and freshness. 列出所有人群。

    Example: cdp segment list
    """
    from cdp.api_client import connect
    from cdp.cli.segment_tables import listed
    from cdp.settings import load_settings

    with connect(load_settings(), segments=True) as client:
        found = client.all("/segments", "segments")
    answer({"segments": found}, lambda value: listed(value["segments"]), json=json)


@app.command()
def members(segment: Segment, at: At = None, limit: Limit = 20, json: Json = False) -> None:
    """Show who is in a segment, newest first, or who was. 查看成员，可回到任意时刻。

    Example: cdp segment members looked --at 2026-11-25T00:00:00+08:00
    """
    from cdp.api_client import connect
    from cdp.cli.segment_tables import members_of
    from cdp.settings import load_settings

    settings = load_settings()
    with connect(settings, segments=True) as client:
        found = client.get(f"{_path(client, segment)}/members", at=at, limit=limit)
    answer(found, lambda value: members_of(value["members"], settings.zone), json=json)


@app.command()
def changes(
    segment: Segment,
    limit: Limit = 20,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with each as it comes, until Ctrl-C. 持续显示新变化。")
    ] = False,
    json: Json = False,
) -> None:
    """Show who entered and left a segment, when and why. 查看进出记录与原因。

    Example: cdp segment changes looked --follow
    """
    from cdp.api_client import connect
    from cdp.cli.segment_tables import change, changes_of
    from cdp.settings import load_settings

    settings = load_settings()
    with connect(settings, processing=follow, segments=True) as client:
        path = f"{_path(client, segment)}/changes"
        if not follow:
            found = client.get(path, limit=limit)
            answer(found, lambda value: changes_of(value["changes"], settings.zone), json=json)
            return
        for each in _coming(client, path, limit):
            if json:
                line(each)
            else:
                sys.stdout.write(change(each, settings.zone) + "\n")
                sys.stdout.flush()


@app.command()
def explain(
    segment: Segment,
    who: Annotated[
        str,
        typer.Argument(metavar="WHO", help="KIND:VALUE, or the id of a person or lead. 任一标识，或客户、线索编号。"),
    ],
    at: At = None,
    json: Json = False,
) -> None:
    """Say why somebody is in a segment or not, condition by condition. 逐条说明某人为何在或不在人群中。

    Example: cdp segment explain looked phone:+8613812345678
    """
    from cdp.api_client import connect
    from cdp.cli.segment_tables import explained
    from cdp.settings import load_settings

    named = None if _is_id(who) else parse_identifier(who)._asdict()
    settings = load_settings()
    with connect(settings, segments=True) as client:
        path = _path(client, segment)
        unit = client.post("/persons/lookup", named)["id"] if named else who
        entity = "lead" if unit.startswith("ld_") else "person"
        found = client.get(f"{path}/explain", at=at, **{entity: unit})
    answer(found, lambda value: explained(value, settings.zone), json=json)


@app.command()
def overlap(
    segments: Annotated[list[str], typer.Argument(metavar="SEGMENT…", help="Two to four ids or names. 二至四个人群。")],
    json: Json = False,
) -> None:
    """Count who is in which of several segments together. 计算多个人群的重叠。

    Example: cdp segment overlap looked frequent
    """
    from cdp.api_client import connect
    from cdp.cli.segment_tables import overlapping
    from cdp.settings import load_settings

    if len(segments) < 2:
        raise typer.BadParameter("it takes two segments or more", param_hint="SEGMENT…")
    with connect(load_settings(), segments=True) as client:
        wanted = [_id(client, each) for each in segments]
        found = client.post("/segments/overlap", {"segments": wanted})
    answer(found, lambda value: overlapping(value, segments), json=json)


@app.command()
def export(
    segment: Segment,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Gets the members, .csv or .xlsx. 输出文件。")],
    clear: Annotated[
        bool,
        typer.Option("--clear", help="With clear phone numbers and the like; it is noted who did. 导出明文，会留痕。"),
    ] = False,
    json: Json = False,
) -> None:
    """Write the members of a segment to a file for spreadsheets. 导出成员到表格。

    Example: cdp segment export looked --out members.xlsx
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    if out.suffix not in FORMATS:
        raise typer.BadParameter(f"{out} ends neither in .csv nor in .xlsx", param_hint="--out")
    if not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.parent}", param_hint="--out")
    with connect(load_settings(), segments=True) as client:
        query = {"format": out.suffix[1:]} | ({"clear": "true"} if clear else {})
        client.download(f"{_path(client, segment)}/export", out, **query)
    answer({"out": str(out)}, lambda value: f"{value['out']}", json=json)


@app.command()
def delete(segment: Segment, json: Json = False) -> None:
    """Delete a segment that no other one uses. 删除人群；被其他人群引用时会拒绝。

    Example: cdp segment delete looked
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings(), segments=True) as client:
        deleted = client.delete(_path(client, segment))
    answer(deleted, lambda value: f"{value['name']} is deleted. 已删除。", json=json)


@app.command()
def template(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Which; else all are listed. 模板名。")] = None,
    put: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAMETER=VALUE", help="Another value than the usual one. 修改参数。"),
    ] = None,
    json: Json = False,
) -> None:
    """Print a ready definition to begin with, or list them. 输出内置模板，作为起点。

    Example: cdp segment template viewed_without_contact --set viewed=page_viewed --set wait=PT1H
    """
    from cdp.cli.segment_tables import templates_of
    from cdp.errors import NotFound
    from segments.templates import templates

    if name is None:
        listed = {each.id: dict(each.title) for each in templates().values()}
        answer(listed, lambda _: templates_of(templates().values()), json=json)
        return
    if name not in templates():
        raise NotFound("template", name)
    chosen = templates()[name]
    document = chosen.filled(dict(_value(chosen, each) for each in put or ()))
    # Into a file, as it is.
    answer(document, lambda _: "", json=True)


def _value(chosen: Template, text: str) -> tuple[str, Any]:
    """PARAMETER=VALUE, the value as the kind of its parameter has it."""
    import json

    name, equals, value = text.partition("=")
    kinds = {each.name: each.kind for each in chosen.parameters}
    if not equals or name not in kinds:
        raise typer.BadParameter(f"PARAMETER=VALUE of {', '.join(kinds)}, not {text!r}", param_hint="--set")
    kind = kinds[name]
    if kind == "texts":
        return name, value.split(",")
    if kind != "number":
        return name, value
    try:
        return name, json.loads(value)
    except ValueError:
        raise typer.BadParameter(f"{name} is a number, not {value!r}", param_hint="--set") from None


def _read(path: Path) -> Any:
    """The JSON in a file; what is wrong in it is the API's to say."""
    from segments.faults import MalformedSegment
    from segments.reading import read_json

    try:
        return read_json(path.read_text(encoding="utf-8-sig"))
    except MalformedSegment as error:
        [fault] = error.faults
        raise typer.BadParameter(f"{path}: expected {fault.expected}, got {fault.got}. {fault.help}") from None
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} is no readable JSON: {error}") from None


def _path(client: ApiClient, segment: str) -> str:
    """Where a segment lies, by its id or its name."""
    return f"/segments/{quote(_id(client, segment), safe='')}"


def _id(client: ApiClient, segment: str) -> str:
    from cdp.errors import NotFound

    if segment.startswith("sg_"):
        return segment
    found = [each["id"] for each in client.all("/segments", "segments") if each["name"] == segment]
    if not found:
        raise NotFound("segment", segment)
    return str(found[0])


def _is_id(who: str) -> bool:
    """Whether it is an id of ours. Anything else may be a personal value, which no URL may hold."""
    from uuid import UUID

    try:
        return who.startswith("ld_") or bool(UUID(who))
    except ValueError:
        return False


def _coming(client: ApiClient, path: str, limit: int) -> Iterator[dict[str, Any]]:
    """The newest changes, oldest first, and then each further one."""
    newest = client.get(path, limit=MAX_PAGE)["changes"]
    yield from reversed(newest[:limit])
    while True:
        time.sleep(POLL_S)
        seen = {_named(each) for each in newest}
        newest = _scanned(client, path, seen)
        # When somebody is erased, what was told of them comes once more, under a name that means nobody.
        told = {(change, at) for _, change, at in seen}
        news = [each for each in newest if _named(each) not in seen]
        yield from reversed([each for each in news if not (_is_nobody(each) and _named(each)[1:] in told)])


def _scanned(client: ApiClient, path: str, seen: set[Named]) -> list[dict[str, Any]]:
    """The newest changes: pages of them, up to the first with one that was seen."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.get(path, limit=MAX_PAGE, cursor=cursor)
        found += page["changes"]
        cursor = page["next"]
        if not cursor or any(_named(each) in seen for each in page["changes"]):
            return found


def _is_nobody(change: dict[str, Any]) -> bool:
    from segments.stays import ERASED

    return _named(change)[0].startswith(ERASED)


def _named(change: dict[str, Any]) -> Named:
    return str(change.get("person") or change.get("lead")), change["change"], change["at"]
