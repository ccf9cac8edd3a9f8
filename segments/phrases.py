"""The phrases that sentences about segments are made of, in Chinese and in English.

`{when}` is a window: Chinese says it before what it is about, English after, with a space before it. Between Chinese
and Latin letters `fill` puts the space that Chinese typography asks for, so the phrases need none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Literal

Lang = Literal["zh", "en"]
LANGS: tuple[Lang, Lang] = ("zh", "en")

PHRASES: Mapping[str, tuple[str, str]] = {
    # The whole
    "person": ("符合以下条件的人：{what}。", "People who meet this: {what}."),
    "lead": ("符合以下条件的线索：{what}。", "Leads that meet this: {what}."),
    "all person": ("所有人。", "All people."),
    "all lead": ("所有线索。", "All leads."),
    "person within": ("在满足（{among}）的人当中，{sentence}", "Among people who meet ({among}): {sentence}"),
    "lead within": ("在满足（{among}）的线索当中，{sentence}", "Among leads that meet ({among}): {sentence}"),
    "elsewhere": ("{sentence}时间以时区 {tz} 为准。", "{sentence} Times are those of {tz}."),
    # Connectives
    "and": ("；并且", "; and "),
    "or": ("；或者", "; or "),
    "inner and": ("，且", ", and "),
    "inner or": ("，或", ", or "),
    "group": ("（{what}）", "({what})"),
    "not": ("并非（{what}）", "not ({what})"),
    "not, or missing": ("并非（{what}），没有值的也算", "not ({what}), which includes having no value"),
    "always": ("总是成立", "always true"),
    "never": ("从不成立", "never true"),
    # Comparisons of {x} with {v}
    "is": ("{x}是{v}", "{x} is {v}"),
    "is not": ("{x}有值且不是{v}", "{x} has a value that is not {v}"),
    "not is": ("{x}不是{v}（包括没有值）", "{x} is not {v} (or has no value)"),
    "in": ("{x}是{v}之一", "{x} is one of {v}"),
    "not_in": ("{x}有值且不是{v}之一", "{x} has a value that is none of {v}"),
    "not in": ("{x}不是{v}之一（包括没有值）", "{x} is none of {v} (or has no value)"),
    "one of": ("{x}是{v}之一", "{x} is one of {v}"),
    "none of": ("{x}不是{v}之一", "{x} is none of {v}"),
    "=": ("{x} = {v}", "{x} = {v}"),
    "!=": ("{x} ≠ {v}", "{x} ≠ {v}"),
    ">": ("{x} > {v}", "{x} > {v}"),
    ">=": ("{x} ≥ {v}", "{x} ≥ {v}"),
    "<": ("{x} < {v}", "{x} < {v}"),
    "<=": ("{x} ≤ {v}", "{x} ≤ {v}"),
    "between": ("{x}在{low}到{high}之间（含两端）", "{x} is from {low} to {high}, both included"),
    "contains": ("{x}包含{v}", "{x} contains {v}"),
    "starts": ("{x}以{v}开头", "{x} starts with {v}"),
    "matches": ("{x}匹配正则表达式{v}", "{x} matches the regular expression {v}"),
    "missing": ("{x}没有值", "{x} has no value"),
    "present": ("{x}有值", "{x} has a value"),
    "older_than": ("{x}距今超过{v}", "{x} is more than {v} ago"),
    "newer_than": ("{x}距今不超过{v}", "{x} is at most {v} ago"),
    "zero too": ("{what}（0 也算）", "{what} (0 counts too)"),
    "other": ("{name}的值", "the value of {name}"),
    "text": ("“{text}”", "“{text}”"),
    "no text": ("空文本", "an empty text"),
    "true": ("真", "true"),
    "false": ("假", "false"),
    "comma": ("、", ", "),
    "more": ("{listed}等共 {count} 个值", "{listed} and others ({count} values in all)"),
    # Events and objects
    "any event": ("任意事件", "any event"),
    "one event": ("任意事件", "event"),
    "events": ("任意事件", "events"),
    "or name": ("或", " or "),
    "with": ("{what}（{where}）", "{what} ({where})"),
    "did": ("{when}发生过{what}", "did {what}{when}"),
    "did not": ("{when}没有发生过{what}", "did not do {what}{when}"),
    "leads": ("线索", "leads"),
    "has": ("有{what}", "has {what}"),
    "has not": ("没有{what}", "has no {what}"),
    # Aggregates
    "count": ("{when}{what}的次数", "the number of {what}{when}"),
    "count of leads": ("{what}的条数", "the number of {what}"),
    "sum": ("{when}{what}的{of}之和", "the sum of {of} of {what}{when}"),
    "avg": ("{when}{what}的{of}的平均值", "the average of {of} of {what}{when}"),
    "min": ("{when}{what}的{of}的最小值", "the smallest {of} of {what}{when}"),
    "max": ("{when}{what}的{of}的最大值", "the largest {of} of {what}{when}"),
    "distinct": ("{when}{what}的不同{of}的个数", "the number of different {of} of {what}{when}"),
    "distinct_periods": ("{when}有{what}的不同{period}数", "the number of different {period} with {what}{when}"),
    "first": ("{when}首次{what}的{of}", "{of} of the first {what}{when}"),
    "last": ("{when}最近一次{what}的{of}", "{of} of the last {what}{when}"),
    "nth": ("{when}第{n}次{what}的{of}", "{of} of {what} number {n}{when}"),
    "time": ("时间", "the time"),
    # Windows
    "rolling": ("最近{last}内", " in the last {last}"),
    "rolling until": ("{last}前到{until}前之间", " from {last} ago to {until} ago"),
    "fixed": ("从{start}起", " since {start}"),
    "fixed until": ("从{start}起到{end}前", " from {start} until before {end}"),
    "since": ("从{moment}起{length}内", " within {length} from {moment}"),
    "since attr": ("{attr}的时刻", "the moment in {attr}"),
    "since first": ("首次{what}", "the first {what}"),
    "since last": ("最近一次{what}", "the last {what}"),
    "calendar day 0": ("今天", " today"),
    "calendar day 1": ("昨天", " yesterday"),
    "calendar week 0": ("本周", " this week"),
    "calendar week 1": ("上周", " last week"),
    "calendar month 0": ("本月", " this month"),
    "calendar month 1": ("上月", " last month"),
    "calendar quarter 0": ("本季度", " this quarter"),
    "calendar quarter 1": ("上季度", " last quarter"),
    "calendar year 0": ("今年", " this year"),
    "calendar year 1": ("去年", " last year"),
    "calendar to now": ("包括当前在内的最近{count}", " in the last {count} of the calendar with the present one"),
    "calendar before": ("当前之前的{count}", " in the {count} of the calendar before the present one"),
    "calendar": ("从{back}前开始的{count}", " in {count} of the calendar, beginning {back} ago"),
    # Sequences and what did not follow
    "seq": ("{when}依次发生{steps}{notes}", "did in this order{when}: {steps}{notes}"),
    "then": ("，然后", ", then "),
    "gap": ("距上一步不超过{gap}", "at most {gap} after the step before"),
    "without": ("中间没有{names}", "with no {names} in between"),
    "note": ("；", "; "),
    "within": ("，全程不超过{within}", ", all within {within}"),
    "same": ("，{names}都相同", ", with the same {names}"),
    "absent": (
        "发生过{after}，此后已过{wait}{until}仍没有{absent}{same}",
        "did {after}, and {wait} or more later{until} there is still no {absent}{same}",
    ),
    "absent at once": (
        "发生过{after}，此后{until}没有{absent}{same}",
        "did {after}, and since then{until} no {absent}{same}",
    ),
    "until": ("（不满{until}）", " (but less than {until})"),
    "each": ("（按{names}分别判断）", " (for each {names} apart)"),
    # Other leaves
    "in segment": ("在分群{segment}中", "is in the segment {segment}"),
    "not in segment": ("不在分群{segment}中", "is not in the segment {segment}"),
    "in segment for": ("已连续在分群{segment}中至少{held}", "has been in the segment {segment} for at least {held}"),
    "in segment at": ("{at}时在分群{segment}中", "was in the segment {segment} at {at}"),
    "sample": (
        "在稳定抽样“{salt}”的{start}% 到 {end}% 之内",
        "is in the slice from {start}% to {end}% of the stable sample “{salt}”",
    ),
    # Names that exist by themselves
    "$first_seen": ("首次出现的时间", "the time of the first event"),
    "$last_seen": ("最近出现的时间", "the time of the last event"),
    "$events": ("事件总数", "the number of all events"),
}

_HAN = re.compile("[\u3400-\u9fff]")
_LATIN = re.compile(r"[0-9A-Za-z$_%.-]")


def fill(phrase: str, lang: Lang, parts: Mapping[str, object]) -> str:
    pieces = []
    for literal, name, _, _ in Formatter().parse(PHRASES[phrase][LANGS.index(lang)]):
        pieces += [literal, str(parts[name]) if name else ""]
    return glue(pieces)


def glue(pieces: Iterable[str]) -> str:
    text = ""
    for piece in pieces:
        text += f" {piece}" if text and piece and _apart(text[-1], piece[0]) else piece
    return text


def _apart(left: str, right: str) -> bool:
    return any(_HAN.match(one) and _LATIN.match(other) for one, other in ((left, right), (right, left)))


UNITS: Mapping[str, tuple[str, str, str]] = {
    "D": ("{n} 天", "{n} day", "{n} days"),
    "H": ("{n} 小时", "{n} hour", "{n} hours"),
    "M": ("{n} 分钟", "{n} minute", "{n} minutes"),
    "S": ("{n} 秒", "{n} second", "{n} seconds"),
    "day": ("{n} 个自然日", "{n} day", "{n} days"),
    "week": ("{n} 个自然周", "{n} week", "{n} weeks"),
    "month": ("{n} 个自然月", "{n} month", "{n} months"),
    "quarter": ("{n} 个自然季度", "{n} quarter", "{n} quarters"),
    "year": ("{n} 个自然年", "{n} year", "{n} years"),
}
"""An amount of a unit: in Chinese, one in English, several in English."""

PERIODS: Mapping[str, tuple[str, str]] = {
    "hour": ("小时", "hours"),
    "day": ("天", "days"),
    "week": ("周", "weeks"),
    "month": ("月", "months"),
}
