"""What the columns of a file mean: guessed from their names and values, told by a map, asked where that is unsure.

A meaning is a word: a kind of identifier, a field of contact or interest, `external_id`, `occurred_at`, `event_name`,
`channel`, `campaign.FIELD`, `trait.NAME`, `property.NAME` or `ignore`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC
from enum import StrEnum

import msgspec

from cdp.errors import Refused
from cdp.model import Campaign, mask
from cdp.scrub import scrub_text
from collectors.cells import (
    DigitsLostError,
    identifier_text,
    is_empty,
    moment_of,
    names_nobody,
    parts_of,
    says_none,
)
from collectors.record import KIND_ORDER
from collectors.tabular import Cell, Layout, NumberedRow, shown
from identity.normalise import doubtful, normalise
from leads.contact import can_be, fields_of
from leads.lead import INTEREST_FIELDS


class RowKind(StrEnum):
    """What a row is: an enquiry, somebody that is known (of a CRM, say), or something that happened."""

    LEADS = "leads"
    PEOPLE = "people"
    EVENTS = "events"


IGNORE, EXTERNAL_ID, OCCURRED_AT, EVENT_NAME = "ignore", "external_id", "occurred_at", "event_name"
FIELDS = ("name", "wechat", "channel", *INTEREST_FIELDS)
CAMPAIGN = tuple(f"campaign.{name}" for name in Campaign.__struct_fields__ if name != "click_ids")
SEVERAL = frozenset({"phone", "email", "vin", "plate"})
SINGLE = frozenset({EXTERNAL_ID, OCCURRED_AT, EVENT_NAME, *FIELDS, *CAMPAIGN, *KIND_ORDER}) - SEVERAL
"""Meanings that one column has at most; of phones, addresses and cars somebody may have several, in one cell too."""
CONTACTS = frozenset({"phone", "email", "wechat"})
NAMED = ("trait.", "property.")

SAMPLE_ROWS = 1_000
SAMPLES = 3
EXTENSION_DIGITS = 6
"""Of a telephone behind a comma; more are another number."""
MOST, ALMOST_ALL = 0.6, 0.95
"""Shares of a column's values that fit: enough to confirm its name, and to say something without one."""

_SPELLINGS = {
    EXTERNAL_ID: "externalid recordid recordno rowid leadno leadnumber orderno orderid ordernumber "
    "编号 记录编号 线索编号 线索id 订单号 订单编号 序列号 工单号",
    OCCURRED_AT: "time date datetime timestamp occurredat eventtime createdat createtime createdtime submittime "
    "updatedat updatetime ordertime 时间 日期 创建时间 提交时间 留资时间 发生时间 登记时间 更新时间 录入时间 "
    "下单时间 到店时间 行为时间",
    EVENT_NAME: "event eventname action behavior behaviour 事件 事件名 事件名称 行为 行为类型",
    "member_id": "memberid userid uid membershipno 会员id 会员号 会员编号 用户id",
    "wx_unionid": "unionid wxunionid wechatunionid 微信unionid",
    "wx_openid": "openid wxopenid wechatopenid 微信openid",
    "id_card": "idcard idnumber idno identityno identitycard 身份证 身份证号 身份证号码 证件号 证件号码",
    "vin": "vin vinno vincode chassisno 车架号 车辆识别码 车辆识别代号 底盘号",
    "plate": "plate plateno platenumber licenseplate licenceplate 车牌 车牌号 车牌号码",
    "crm_id": "crmid customerid customerno customercode clientid 客户id 客户编号 客户号 客户编码",
    "device_id": "deviceid imei oaid idfa 设备id 设备号",
    "anonymous_id": "anonymousid visitorid cookieid 访客id 匿名id",
    "campaign.source": "utmsource",
    "campaign.medium": "utmmedium",
    "campaign.name": "utmcampaign campaign campaignname 活动 活动名称 投放计划",
    "campaign.term": "utmterm",
    "campaign.content": "utmcontent",
    IGNORE: "no index 序号 行号",
}
"""Beside those of `leads.contact`, which are for forms and for files alike."""
_MEANING_OF = {spelling: meaning for meaning, spellings in _SPELLINGS.items() for spelling in spellings.split()}


class ImportMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the columns of one file mean. A column that is not named is left out; `event` names the events of a file
    that has no column for it."""

    kind: RowKind
    columns: dict[str, str]
    event: str = ""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column as it is shown before anything is taken: `samples` are masked, `fits` is the share of its values that
    can be what it means, null where that cannot be told of values."""

    name: str
    meaning: str
    sure: bool
    fits: float | None
    filled: float
    samples: list[str]


class Question(msgspec.Struct, frozen=True):
    """What a person must decide, of one column or ('') of the file."""

    column: str
    zh: str
    en: str
    options: list[str] = []


def guess(layout: Layout, rows: Sequence[NumberedRow], kind: RowKind, *, region: str) -> list[Column]:
    """What each column probably means; `rows` are some below the header."""
    found: list[Column] = []
    taken: set[str] = set()
    for index, name in enumerate(layout.names):
        cells = [row[index] for _, row in rows if index < len(row) and not says_none(row[index])]
        meaning, sure, fits = _meaning(name, cells, kind, region)
        if meaning in SINGLE and meaning in taken:
            meaning, sure = _own(name, kind), meaning not in KIND_ORDER
        taken.add(meaning)
        found.append(
            Column(
                name=name,
                meaning=meaning,
                sure=sure,
                fits=None if fits is None else round(fits, 3),
                filled=round(len(cells) / len(rows), 3) if rows else 0.0,
                samples=[masked(cell, meaning) for cell in dict.fromkeys(cells[:50])][:SAMPLES],
            )
        )
    return found


def questions_of(columns: Sequence[Column], kind: RowKind) -> list[Question]:
    """What is unsure, and what the file lacks."""
    return [_unsure(each) for each in columns if not each.sure] + lacking({each.meaning for each in columns}, kind)


def lacking(meanings: Collection[str], kind: RowKind, event: str = "") -> list[Question]:
    """What no column says though rows of this kind need it."""
    found = []
    if kind is RowKind.LEADS and not CONTACTS & set(meanings):
        zh = "没有电话、邮箱或微信列，线索无法联系。哪一列是？"
        found.append(
            Question("", zh, "No column is a phone, an email or a wechat, so nobody could be reached. Which one is?")
        )
    if kind is RowKind.PEOPLE and not set(KIND_ORDER) & set(meanings):
        zh = "没有能识别人的列（手机、会员号、VIN 等）。哪一列是？"
        found.append(
            Question("", zh, "No column identifies anybody, such as a phone, a member id or a VIN. Which one?")
        )
    if kind is RowKind.EVENTS and not event and EVENT_NAME not in meanings:
        zh = "没有事件名列。请指定一列，或在映射中写 event = 事件名。"
        found.append(Question("", zh, "No column names the events. Name one, or set `event` in the map."))
    return found


def map_of(columns: Sequence[Column], kind: RowKind, event: str = "") -> ImportMap:
    return ImportMap(kind=kind, columns={each.name: each.meaning for each in columns}, event=event)


def check_map(told: ImportMap, names: Sequence[str]) -> None:
    """Raises Refused (422), naming each column that the file has not and each meaning that there is none."""
    wrong = [
        _problem(column, "a column of the file: " + ", ".join(names), "none of them", "Mend the name, or leave it out.")
        for column in told.columns
        if column not in names
    ]
    wrong += [
        _problem(column, "a meaning, see docs/import.md", meaning, "Use one of its words.")
        for column, meaning in told.columns.items()
        if not is_meaning(meaning)
    ]
    meanings = list(told.columns.values())
    wrong += [
        _problem(
            column, f"one column that is {meaning}", "another one", "Make one of them `property.NAME` or `ignore`."
        )
        for index, (column, meaning) in enumerate(told.columns.items())
        if meaning in SINGLE and meaning in meanings[:index]
    ]
    wrong += [
        _problem("columns", each.en, "none", "Name the column in the map.")
        for each in lacking(meanings, told.kind, told.event)
    ]
    if wrong:
        paths = ", ".join(each["path"] for each in wrong)
        raise Refused(f"The map cannot be used because of {paths}. Correct what `errors` names.", wrong)


def is_meaning(word: str) -> bool:
    prefixed = any(word.startswith(prefix) and len(word) > len(prefix) for prefix in NAMED)
    return prefixed or word in SINGLE or word in KIND_ORDER or word == IGNORE


def holds_nothing(cell: Cell, meaning: str) -> bool:
    """Whether a cell says nothing in a column of this meaning. In one that has a name of its own 无 is a value."""
    if meaning in KIND_ORDER or meaning == EXTERNAL_ID:
        return names_nobody(cell)
    prefix, _, name = meaning.partition(".")
    return is_empty(cell) if f"{prefix}." in NAMED and name not in FIELDS else says_none(cell)


def identifiers_in(kind: str, cell: Cell, *, region: str) -> list[str]:
    """The identifiers of a kind in a cell, as they are written; none where it cannot be one, or only a part of it can.
    Raises DigitsLostError."""
    text = identifier_text(cell)
    parts = parts_of(text) if kind in SEVERAL else []
    if len(parts) > 1:
        if all(_is_one(kind, part, region) for part in parts):
            return parts
        if kind == "phone" and any(sum(map(str.isdigit, part)) > EXTENSION_DIGITS for part in parts[1:]):
            return []
    return [text] if _is_one(kind, text, region) else []


def _is_one(kind: str, text: str, region: str) -> bool:
    value = normalise(kind, text, region=region)
    return value is not None and can_be(kind, value)


def masked(cell: Cell, meaning: str) -> str:
    """A cell as somebody may see it who may not see personal values."""
    text = shown(cell)
    if meaning in KIND_ORDER or meaning.removeprefix("trait.") in ("name", "wechat", EXTERNAL_ID):
        return mask(text)
    return scrub_text(text[:200], lambda _, value: mask(value)) if _MAY_BE_A_NUMBER.search(text) is None else mask(text)


_MAY_BE_A_NUMBER = re.compile(r"\d{7,}|@|\d[.]\d+[eE]\+\d")
"""What may be somebody's number in a column of which that is not known."""


def _meaning(name: str, cells: Sequence[Cell], kind: RowKind, region: str) -> tuple[str, bool, float | None]:
    """Meaning, whether it is sure, and which share of the values fits it."""
    named = _by_name(name)
    if named is not None:
        test = _TESTS.get(named)
        if test is None:
            return _for_kind(named, name, kind), True, None
        if not cells:
            return named, True, None
        fits = _share(cells, test, region)
        if fits >= MOST:
            return named, True, fits
        return (named, False, fits) if fits else (_own(name, kind), False, fits)
    for meaning, test in _TELLING.items():
        fits = _share(cells, test, region)
        if fits >= ALMOST_ALL and cells:
            return meaning, False, fits
    return _own(name, kind), True, None


def _by_name(name: str) -> str | None:
    """By the whole name, else by the last word of a name of two lines."""
    for words in (name, name.rpartition(" ")[2]):
        plain = re.sub(r"[\s_\-*:：()（）]", "", unicodedata.normalize("NFKC", words)).lower()
        if found := _MEANING_OF.get(plain):
            return found
        if found := next(iter(fields_of({plain: "x"})), None):
            return found
    return None


def _for_kind(meaning: str, name: str, kind: RowKind) -> str:
    # What is known of somebody is a trait, by the same name on all ends.
    return _own(name, kind, meaning) if kind is RowKind.PEOPLE and meaning in FIELDS else meaning


def _own(name: str, kind: RowKind, as_: str = "") -> str:
    return f"{'trait' if kind is RowKind.PEOPLE else 'property'}.{as_ or name}"


def _share(cells: Sequence[Cell], test: Callable[[Cell, str], bool], region: str) -> float:
    return sum(test(cell, region) for cell in cells) / len(cells) if cells else 0.0


def _can_be(kind: str) -> Callable[[Cell, str], bool]:
    def test(cell: Cell, region: str) -> bool:
        try:
            return bool(identifiers_in(kind, cell, region=region))
        except DigitsLostError:
            return kind in ("phone", "id_card")

    return test


def _surely(kind: str) -> Callable[[Cell, str], bool]:
    """As `_can_be`, and where values of the kind have a check digit or a plan, by that."""
    fits = _can_be(kind)

    def test(cell: Cell, region: str) -> bool:
        if not fits(cell, region):
            return False
        try:
            found = [normalise(kind, each, region=region) for each in identifiers_in(kind, cell, region=region)]
        except DigitsLostError:
            return False
        return all(value is not None and doubtful(kind, value) is None for value in found)

    return test


def _is_time(cell: Cell, region: str) -> bool:
    return moment_of(cell, UTC) is not None


_TESTS: Mapping[str, Callable[[Cell, str], bool]] = {
    **{kind: _can_be(kind) for kind in ("phone", "email", "vin", "id_card", "plate")},
    OCCURRED_AT: _is_time,
}
_TELLING = {kind: _surely(kind) for kind in ("email", "id_card", "vin", "phone", "plate")}


def _unsure(column: Column) -> Question:
    share = "" if column.fits is None else f"{column.fits:.0%}"
    return Question(
        column.name,
        f"“{column.name}”是 {column.meaning} 吗？" + (f"（{share} 的值符合）" if share else ""),
        f"Is {column.name!r} {column.meaning}?" + (f" {share} of its values can be." if share else ""),
        list(dict.fromkeys([column.meaning, f"property.{column.name}", IGNORE])),
    )


def _problem(path: str, expected: str, got: str, advice: str) -> dict[str, str]:
    return {"path": path, "expected": expected, "got": got, "help": advice}
