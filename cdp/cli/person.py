"""`cdp person`: who somebody is, what they did, and why two identifiers are one person or not."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.cli.arguments import KindAndValue, parse_identifier
from cdp.cli.output import Json, answer

if TYPE_CHECKING:
    from datetime import tzinfo

    from rich.console import RenderableType

    from cdp.api_client import ApiClient

app = typer.Typer(help="Persons: profile, trail, reasons. 人：画像、轨迹与依据。", no_args_is_help=True)

POLL_S = 0.2
DESTROYED = {
    "observations": "observations 证据",
    "events": "events 行为",
    "traits": "traits 画像属性",
    "vault": "clear values 明文",
    "leads": "leads 线索",
    "trails_of_others": "trails of others 他人线索轨迹",
    "hits": "kept hits 原始请求",
    "hits_of_others": "of them with others' events 其中含他人行为",
}
"""What a receipt counts, as it is printed."""
EVIDENCE_SHOWN = 3
"""Newest observations printed for each step; --json has more."""


@app.command()
def show(
    identifier: Annotated[
        KindAndValue,
        typer.Argument(parser=parse_identifier, metavar="KIND:VALUE", help="Any identifier of hers. 任一标识。"),
    ],
    limit: Annotated[int, typer.Option(min=0, max=1000, help="Newest events to show. 最近行为条数。")] = 20,
    json: Json = False,
) -> None:
    """Show a person's profile and newest events. 查看画像与最近的行为。

    Example: cdp person show phone:+8613812345678
    """
    from cdp.api_client import connect
    from cdp.card import person_card
    from cdp.settings import load_settings

    settings = load_settings()
    with connect(settings) as client:
        # The value travels in a body, where no log of a proxy keeps it.
        person: dict[str, Any] = client.post("/persons/lookup", identifier._asdict())
        trail = client.get(f"/persons/{person['id']}/trail", limit=limit)["events"] if limit else []
    answer({**person, "trail": trail}, lambda value: person_card(value, settings.zone), json=json)


@app.command()
def why(
    one: Annotated[
        KindAndValue,
        typer.Argument(parser=parse_identifier, metavar="KIND:VALUE", help="One identifier. 一个标识。"),
    ],
    other: Annotated[
        KindAndValue,
        typer.Argument(parser=parse_identifier, metavar="KIND:VALUE", help="Another one. 另一个标识。"),
    ],
    json: Json = False,
) -> None:
    """Tell the evidence that joins two identifiers, or what keeps them apart. 说明两个标识为何是或不是同一个人。

    Example: cdp person why phone:+8613812345678 member_id:YQ20418837
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    settings = load_settings()
    with connect(settings) as client:
        found = client.post("/identity/explain", {"a": one._asdict(), "b": other._asdict()})
    # Either way the question is answered, so the exit code is 0; programs read `same`.
    answer(found, lambda value: _joined(value, settings.zone) if value["same"] else _apart(value), json=json)


def _joined(found: dict[str, Any], zone: tzinfo) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("from 从", "to 到", "proved by 依据", "when 时间", "source 来源"):
        table.add_column(column, overflow="fold")
    for step in found["path"]:
        table.add_row(*_step(step, zone))
    verdict = "[bold green]One person. 是同一个人。[/]"
    if not found["path"]:
        return Group(verdict, "Both are the same identifier. 两者是同一个标识。")
    weakest = min(step["strength"] for step in found["path"])
    return Group(
        verdict, "", table, "", f"[dim]The weakest step has strength {weakest} of 9. 最弱一环强度 {weakest}。[/]"
    )


def _step(step: dict[str, Any], zone: tzinfo) -> list[str]:
    from rich.markup import escape

    from cdp.card import PROOFS
    from leads.freeze import PROOFS as NAMES

    shown = step["evidence"][:EVIDENCE_SHOWN]
    proof = PROOFS.get(NAMES.get(step["strength"], ""), "")
    more = len(step["evidence"]) - len(shown)
    times = [_day(each["at"], zone) for each in shown] + ([f"+{more}"] if more else [])
    sources = [_said(each) for each in shown]
    ends = [escape(f"{end['kind']} {end['value']}") for end in (step["a"], step["b"])]
    return [*ends, f"{step['strength']} {proof}", "\n".join(times), escape("\n".join(sources))]


def _said(each: dict[str, Any]) -> str:
    note = each.get("note")
    return f"{each['source']} {note['by']}: {note['reason']}" if note else str(each["source"])


def _day(at: str, zone: tzinfo) -> str:
    from datetime import datetime

    return f"{datetime.fromisoformat(at).astimezone(zone):%Y-%m-%d}"


def _apart(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.markup import escape

    said = [
        line
        for each in found["refusals"]
        for line in (escape(each["sentence"]["zh"]), escape(each["sentence"]["en"]), "")
    ]
    return Group("[bold]Two persons. 不是同一个人。[/]", "", *said[:-1])


@app.command()
def erase(
    identifier: Annotated[
        KindAndValue,
        typer.Argument(parser=parse_identifier, metavar="KIND:VALUE", help="Any identifier of hers. 任一标识。"),
    ],
    reason: Annotated[str, typer.Option(help="Why; it stands on the receipt. 原因，写入回执。")],
    json: Json = False,
) -> None:
    """Erase a person for good, wait, and print the receipt. 彻底删除此人的数据并打印回执，不可恢复。

    Example: cdp person erase phone:+8613812345678 --reason case-311
    """
    from cdp.api_client import connect
    from cdp.settings import load_settings

    with connect(load_settings(), processing=True) as client:
        person: dict[str, Any] = client.post("/persons/lookup", identifier._asdict())
        job = _followed(client, client.post(f"/persons/{person['id']}/erase", {"reason": reason}))
    answer(job["receipt"], _receipt, json=json)


def _followed(client: ApiClient, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end, with a bar on stderr where somebody sees it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("erase 删除", total=job["steps"])
        while job["receipt"] is None:
            time.sleep(POLL_S)
            job = client.get(f"/persons/erasures/{job['id']}")
            progress.update(bar, completed=job["steps_done"], description=f"erase 删除: {job['step'] or 'done'}")
    return job


def _receipt(receipt: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    for kind, count in receipt["identifiers"].items():
        table.add_row(f"identifiers 标识 {kind}", f"{count:,}")
    for name, label in DESTROYED.items():
        table.add_row(label, f"{receipt[name]:,}")
    stores = [f"{each['store']} ({each['kind']})" for each in receipt["stores"] if each["overwritten"]]
    later = [f"{each['store']} ({each['kind']})" for each in receipt["stores"] if not each["overwritten"]]
    lines: list[RenderableType] = [
        f"[bold]Receipt 回执 {receipt['id']}[/]",
        escape(f"{receipt['by']}: {receipt['reason']}"),
        f"{receipt['requested_at']} – {receipt['done_at']}",
        "",
        table,
        "",
        f"Overwritten 已覆写: {', '.join(stores)}",
    ]
    if later:
        lines.append(f"Left to the server's own housekeeping 由数据库自行清理: {', '.join(later)}")
    return Group(*lines)
