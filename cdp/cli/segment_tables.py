"""Answers about segments as people read them, in Chinese and English."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from segments.templates import Template

JsonObject = Mapping[str, Any]


def checked(found: JsonObject) -> RenderableType:
    verdict = "[bold green]Right. 定义正确。[/]" if found["valid"] else "[bold red]Not usable. 定义有误。[/]"
    parts: list[RenderableType] = [verdict]
    if found["sentence"]:
        parts += ["", *_both(found["sentence"])]
    for title, faults in (("wrong 错误", found["errors"]), ("odd 提醒", found["warnings"])):
        if faults:
            parts += ["", f"[bold]{title}[/]", _faults(faults)]
    if found["valid"]:
        rows = ((each["path"], each["sentence"]["zh"], each["mode"]) for each in found["leaves"])
        parts += ["", _table(("where 位置", "condition 条件", "known 更新"), rows)]
    return Group(*parts)


def _faults(faults: Iterable[JsonObject]) -> Table:
    columns = ("where 位置", "expected 应为", "got 实为", "help 建议")
    return _table(columns, ((each["path"], each["expected"], each["got"], each["help"]) for each in faults))


def previewed(found: JsonObject) -> RenderableType:
    if found["estimate"]:
        low, high = found["estimate"]["low"], found["estimate"]["high"]
        return f"[bold]≈ {found['count']:,}[/] ({low:,} – {high:,}, 95 %)"
    parts: list[RenderableType] = [f"[bold]{found['count']:,}[/]  {found['at']}"]
    for title, counts in (("reached by 可触达", found["reach"]), ("channels 渠道", found["channels"])):
        if counts:
            parts.append(f"{title}: " + " · ".join(f"{escape(name)} {count:,}" for name, count in counts.items()))
    if found["missing"]:
        rows = ((each["sentence"]["zh"], f"{each['zero']:,}", f"{each['missing']:,}") for each in found["missing"])
        parts += ["", _table(("condition 条件", "zero 为零", "missing 无值"), rows)]
    if found["sample"]:
        parts += ["", _table(("who 谁", "known by 标识", "why 原因"), map(_sampled, found["sample"]))]
    return Group(*parts)


def _sampled(each: JsonObject) -> tuple[str, str, str]:
    known = "\n".join(f"{one['kind']} {one['value']}" for one in each["identifiers"])
    return _unit(each), known, "\n".join(one["zh"] for one in each["why"])


def one(segment: JsonObject) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    lag = segment["lag"]
    for label, value in (
        ("segment 人群", segment["id"]),
        ("name 名称", segment["name"]),
        ("means 含义", f"{segment['sentence']['zh']}\n{segment['sentence']['en']}"),
        ("size 人数", f"{segment['size']:,}"),
        ("state 状态", f"{segment['state']}: {segment['refused']}" if segment["refused"] else segment["state"]),
        ("fresh 截至", segment["fresh_at"] or "–"),
        ("lag 延迟", f"p50 {lag['p50_ms']} ms, p95 {lag['p95_ms']} ms" if lag else "–"),
    ):
        table.add_row(f"[dim]{label}[/]", escape(value))
    return table


def listed(segments: Iterable[JsonObject]) -> Table:
    columns = ("segment 人群", "name 名称", "size 人数", "state 状态", "lag p95 延迟", "per day 日变动")
    rows = (
        (
            each["id"],
            each["name"],
            f"{each['size']:,}",
            each["state"],
            f"{each['lag']['p95_ms']} ms" if each["lag"] else "–",
            "–" if each["volatility"] is None else f"{each['volatility']:.0%}",
        )
        for each in segments
    )
    return _table(columns, rows)


def members_of(members: Iterable[JsonObject], zone: tzinfo) -> Table:
    return _table(
        ("who 谁", "since 自"),
        ((_unit(each), _time(each["since"], zone) if each["since"] else "–") for each in members),
    )


def changes_of(changes: Iterable[JsonObject], zone: tzinfo) -> Table:
    columns = ("at 时间", "who 谁", "change 变化", "reason 原因", "event 事件")
    return _table(columns, (_changed(each, zone) for each in changes))


def change(each: JsonObject, zone: tzinfo) -> str:
    """One line."""
    return "  ".join(_changed(each, zone)).rstrip()


def _changed(each: JsonObject, zone: tzinfo) -> tuple[str, ...]:
    return _time(each["at"], zone), _unit(each), each["change"], each["reason"], each["cause_event"] or ""


def explained(found: JsonObject, zone: tzinfo) -> RenderableType:
    verdict = "[bold green]In it. 在其中。[/]" if found["member"] else "[bold]Not in it. 不在其中。[/]"
    if found["recorded"] not in (None, found["member"]):
        verdict += "  Recorded otherwise then. 与当时的记录不同。"
    columns = ("", "condition 条件", "events 依据", "changes 下次变化")
    rows = _truths(found["leaves"], zone, depth=0)
    return Group(f"{verdict}  {_unit(found)}  {found['at']}", "", _table(columns, rows))


def _truths(leaves: Iterable[JsonObject], zone: tzinfo, *, depth: int) -> Iterator[tuple[str, ...]]:
    for each in leaves:
        yield (
            "  " * depth + ("✓" if each["truth"] else "✗"),
            each["sentence"]["zh"],
            "\n".join(f"{_time(one['occurred_at'], zone)} {one['name']}" for one in each["events"]),
            _time(each["next"], zone) if each["next"] else "",
        )
        yield from _truths(each["leaves"], zone, depth=depth + 1)


def overlapping(found: JsonObject, names: Sequence[str]) -> Table:
    rows = (
        (" + ".join(names[each] for each in region["segments"]), f"{region['size']:,}") for region in found["regions"]
    )
    return _table(("only in 仅在", "size 人数"), rows)


def templates_of(found: Iterable[Template]) -> Table:
    rows = (
        (each.id, each.title["zh"], each.title["en"], ", ".join(one.name for one in each.parameters)) for each in found
    )
    return _table(("template 模板", "", "", "parameters 参数"), rows)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _both(sentence: JsonObject) -> tuple[str, str]:
    return escape(sentence["zh"]), escape(sentence["en"])


def _unit(each: JsonObject) -> str:
    return str(each.get("person") or each.get("lead"))


def _time(at: str, zone: tzinfo) -> str:
    return f"{datetime.fromisoformat(at).astimezone(zone):%Y-%m-%d %H:%M:%S}"
