"""What keeps two identifiers apart, as sentences for people in Chinese and English."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cdp.model import Identifier
from identity.explain import CHANGED_HANDS, NO_EVIDENCE, PARTED, UNKNOWN, Obstacle
from identity.graph import Value
from identity.resolve import DIFFERENT, State

Show = Callable[[Identifier], str]
"""How an identifier is written for whoever reads it: masked, or clear where that is allowed."""


class Sentence(NamedTuple):
    zh: str
    en: str


def sentence(obstacle: Obstacle, show: Show = repr) -> Sentence:
    one, other = show(obstacle.a.identifier), show(obstacle.b.identifier)
    if obstacle.rule == UNKNOWN:
        return Sentence(f"标识 {one} 从未出现过。", f"The identifier {one} never came.")
    if obstacle.rule == NO_EVIDENCE:
        return Sentence(
            f"没有任何证据把 {one} 与 {other} 联系在一起：它们从未一起出现，也没有共同的可用标识。",
            f"No evidence connects {one} and {other}: they never came together, and nothing that may link was seen "
            "with both.",
        )
    if obstacle.rule == DIFFERENT:
        return Sentence(
            f"已有人工或数据说明 {one} 与 {other} 不是同一个人，其他关联因此不算。",
            f"{one} and {other} were called different, so whatever else joins them does not count.",
        )
    if obstacle.rule == PARTED:
        return Sentence(
            f"{one} 与 {other} 的关联被拒绝：它会把已被说明不是同一个人的标识连在一起。",
            f"The link between {one} and {other} was refused: it would join some that were called different.",
        )
    if obstacle.about is None:
        return Sentence(
            f"{one} 与 {other} 的关联被拒绝：合并后会超出限制（{obstacle.rule}），而另一侧的证据更强或更新。",
            f"The link between {one} and {other} was refused: together they would be {obstacle.rule}, and the other "
            "side is better proved.",
        )
    if obstacle.rule == CHANGED_HANDS:
        return _changed_hands(obstacle.about, show)
    if obstacle.about.identifier in (obstacle.a.identifier, obstacle.b.identifier):
        return _links_nobody(obstacle.about, show)
    name, reason = show(obstacle.about.identifier), obstacle.about.reason
    return Sentence(
        f"{one} 与 {other} 都和 {name} 一起出现过，但它不用于识别（{reason}）。",
        f"Both {one} and {other} were seen with {name}, which links nobody ({reason}).",
    )


_WHY = {
    State.BLOCKED: "已被屏蔽",
    State.EVIDENCE: "只作计数",
    State.HUB: "与太多不同的标识一起出现，像公用设备或代填号码",
    State.SHARED: "在同一时期属于多个人，是共用的",
    State.PAST: "已不再成立",
}


def _links_nobody(value: Value, show: Show) -> Sentence:
    name = show(value.identifier)
    return Sentence(
        f"{name} {_WHY[value.state]}，不用于识别（{value.reason}）。",
        f"{name} links nobody: it is {value.state.value} ({value.reason}).",
    )


def _changed_hands(value: Value, show: Show) -> Sentence:
    name, times = show(value.identifier), len(value.epochs)
    return Sentence(
        f"{name} 换过 {times} 次主人（例如二次放号或转手），每一段时期只属于当时的主人。",
        f"{name} changed hands {times} times, as a number sold again does; each stretch of time is its owner's alone.",
    )
