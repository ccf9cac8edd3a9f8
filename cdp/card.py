"""A lead and a person as cards: what an adviser reads before the call, in Chinese and English, on any terminal.

In a pipe the same card is plain text. What came from outside is escaped and loses its control characters, so that
no page title paints the card or steers the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

NEWEST = 12
"""Events of the trail on a lead's card."""
MOST = 6
"""Interests on a card."""
REASONS = 8
LONG = 16
"""Characters of an identifier on a lead's card; of longer ones the two ends are shown."""
BAR = 12
"""Columns of the longest bar."""
ACCENT = "cyan"

PROOFS = {
    "steward": "steward 数据管家",
    "proved": "signed login 签名登录",
    "login": "login 登录",
    "crm": "CRM 客户系统",
    "form": "form 表单",
    "co_occurrence": "seen together 同时出现",
    "similar": "records alike 资料相似",
    "policy": "policy 策略",
}
NAMES = {
    "page_viewed": "viewed 浏览",
    "app_opened": "opened 打开",
    "app_closed": "left 离开",
    "session_started": "came back 再次进入",
    "identified": "signed in 登录",
    "video_played": "watched 观看视频",
    "post_liked": "liked 点赞",
    "gallery_viewed": "photos 看图",
    "shared": "shared 分享",
    "element_clicked": "clicked 点击",
    "lead_submitted": "left contact 留资",
    "profile_updated": "profile 更新资料",
}
"""How events are called on a card; others keep their names."""


def lead_card(lead: Mapping[str, Any], zone: tzinfo) -> RenderableType:
    """A lead of the API; times in `zone`."""
    lead = printable(lead)
    trail = lead["trail"]
    events = trail.get("events") or []
    parts: list[RenderableType] = [_contact(lead, zone), "", _summary(lead["summary"])]
    if lead["interests"]:
        parts += ["", _heading("关心什么", "cares about"), _interests(lead["interests"], zone)]
    if events:
        shown = f"latest {min(NEWEST, len(events))} of {trail['total']}"
        parts += ["", _heading("最近的行为", shown), _events(events[:NEWEST], zone)]
    if trail.get("additions"):
        parts += [
            "",
            _heading("留资后补充", "added later"),
            _events([each["event"] for each in trail["additions"]], zone),
        ]
    if lead["why"]:
        parts += ["", _heading("为什么是同一个人", "why we believe these visits were hers"), _why(lead["why"])]
    return _panel(Group(*parts), title=f"线索 Lead {lead['id']}", foot=_completeness(trail))


def person_card(person: Mapping[str, Any], zone: tzinfo) -> RenderableType:
    """A person of the API with `trail`, the newest events, besides."""
    person = printable(person)
    seen = (
        f"{person['events']:,} 条行为 events · {_time(person['first_seen'], zone)} – {_time(person['last_seen'], zone)}"
    )
    parts: list[RenderableType] = [Text(seen), "", _heading("标识", "identifiers"), _identifiers(person, zone)]
    if person["traits"]:
        parts += ["", _heading("特征", "traits"), _traits(person["traits"], zone)]
    if person["trail"]:
        parts += ["", _heading("最近的行为", "trail"), _events(person["trail"], zone)]
    return _panel(Group(*parts), title=f"人 Person {person['id']}")


def printable(value: Any) -> Any:
    """A JSON value without control characters in its texts."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(sign if sign.isprintable() else " " for sign in value)
    if isinstance(value, Mapping):
        return {name: printable(each) for name, each in value.items()}
    return [printable(each) for each in value] if isinstance(value, list) else value


def _panel(body: RenderableType, *, title: str, foot: str | None = None) -> Panel:
    return Panel(body, box=ROUNDED, title=f"[bold]{escape(title)}[/]", title_align="left", subtitle=foot,
                 subtitle_align="right", border_style=ACCENT, padding=(1, 2))  # fmt: skip


def _heading(zh: str, en: str) -> Text:
    return Text.assemble((zh, f"bold {ACCENT}"), "  ", (en, "dim"))


def _contact(lead: Mapping[str, Any], zone: tzinfo) -> RenderableType:
    contact = dict(lead["contact"])
    name = Text(contact.pop("name", "—"), style="bold")
    ways = Text("   ").join(Text(str(value), style="bold green") for value in contact.values())
    wish = [str(value) for value in lead["interest"].values() if value]
    campaign = lead.get("campaign") or {}
    came = [lead["source"], lead.get("channel") or "", str(campaign.get("name") or "")]
    table = _grid()
    table.add_row(_label("客户", "contact"), Text("   ").join([name, ways]))
    if wish:
        table.add_row(_label("意向", "wishes"), Text(" · ".join(wish)))
    table.add_row(_label("留资", "captured"), Text(" · ".join([_time(lead["created_at"], zone), *filter(None, came)])))
    table.add_row(_label("人", "person"), Text(lead.get("person") or "—", style="dim"))
    return table


def _label(zh: str, en: str) -> Text:
    return Text.assemble(zh, " ", (en, "dim"))


def _summary(summary: Mapping[str, str]) -> RenderableType:
    return Padding(Group(Text(summary["zh"], style="bold"), Text(summary["en"], style="italic")), (0, 0, 0, 2))


def _interests(interests: Sequence[Mapping[str, Any]], zone: tzinfo) -> RenderableType:
    strongest = max(each["score"] for each in interests) or 1
    table = _table("topic 主题", "score 得分", "", "events 次数", "last 最近", right=(1, 3))
    for each in interests[:MOST]:
        label = each.get("label") or {"zh": each["topic"], "en": ""}
        bar = "█" * max(1, round(BAR * each["score"] / strongest))
        table.add_row(
            Text.assemble(label["zh"], "  ", (label["en"], "dim")),
            f"{each['score']:.2f}",
            Text(bar, style=ACCENT, no_wrap=True),
            str(each["events"]),
            _time(each["last_at"], zone),
        )
    return table


def _events(events: Iterable[Mapping[str, Any]], zone: tzinfo) -> RenderableType:
    table = _table("time 时间", "where 触点", "did 行为", "what 内容")
    for event in events:
        table.add_row(
            _time(event["occurred_at"], zone),
            Text(event["source"], style="dim"),
            NAMES.get(event["name"], escape(event["name"])),
            Text(_what(event), overflow="ellipsis", no_wrap=True),
        )
    return table


def _what(event: Mapping[str, Any]) -> str:
    """What an event was about: a title, else the scene of a launch, else the path."""
    properties, page = event.get("properties") or {}, event.get("page") or {}
    named = (properties.get("title"), page.get("title"), properties.get("$scene"), page.get("path"))
    return next((value for value in named if isinstance(value, str) and value), "")


def _why(reasons: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Links are known by the day, in UTC."""
    table = _table("identifier 标识", "tied to 关联到", "by 依据", "strength 强度", "since 自", right=(3,))
    for reason in reasons[:REASONS]:
        table.add_row(
            _identifier(reason["identifier"]),
            _identifier(reason["with"]) if reason.get("with") else Text(""),
            PROOFS.get(reason["linked_by"], escape(str(reason["linked_by"]))),
            str(reason["strength"]),
            reason["since"][:10],
        )
    if len(reasons) > REASONS:
        table.add_row(Text(f"… {len(reasons) - REASONS} more 更多", style="dim"))
    return table


def _identifier(identifier: Mapping[str, str]) -> Text:
    value = identifier["value"]
    shown = value if len(value) <= LONG else f"{value[: LONG - 10]}…{value[-9:]}"
    return Text.assemble((f"{identifier['kind']} ", "dim"), shown)


def _identifiers(person: Mapping[str, Any], zone: tzinfo) -> RenderableType:
    table = _table("kind 类型", "value 值", "first seen 首次", "last seen 最近")
    for each in person["identifiers"]:
        table.add_row(
            each["kind"], Text(each["value"]), _time(each["first_seen"], zone), _time(each["last_seen"], zone)
        )
    return table


def _traits(traits: Mapping[str, Mapping[str, Any]], zone: tzinfo) -> RenderableType:
    table = _table("name 名称", "value 值", "source 来源", "since 自")
    for name, trait in traits.items():
        table.add_row(Text(name), Text(str(trait["value"])), Text(trait["source"]), _time(trait["at"], zone))
    return table


def _completeness(trail: Mapping[str, Any]) -> str:
    if trail["complete"]:
        return "[green]✓ complete 轨迹完整[/]"
    return "[yellow]… incomplete, late events are added 轨迹未全，迟到的行为会补上[/]"


def _time(text: str | None, zone: tzinfo) -> str:
    return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M}" if text else "—"


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _table(*headers: str, right: Sequence[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, header in enumerate(headers):
        table.add_column(
            header,
            justify="right" if index in right else "left",
            overflow="fold",
            min_width=BAR if not header else None,
        )
    return table
