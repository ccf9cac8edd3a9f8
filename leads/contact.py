"""How a person can be reached: found in the properties of an event, checked, and made comparable.

Forms of twenty years call a phone by many names, and what people type is often not quite a phone. Whatever was
typed is kept: only a value that can be right identifies anybody, and one that cannot is marked as doubtful.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cdp.model import Identifier
from identity.kinds import blocked
from identity.normalise import doubtful, normalise
from leads.lead import CONTACT_FIELDS

MAX_VALUE = 5_000
"""Characters taken from one property of an event."""

IDENTIFYING = ("phone", "email")
"""Contact fields that are identifiers; a WeChat number typed into a form is no id that any SDK sends."""

WORDS = ("name", "wechat")
"""Contact fields whose values no pattern finds."""

_CHINESE_MOBILE = re.compile(r"\+861[3-9]\d{9}")

_SPELLINGS = {
    "name": "name contactname fullname realname username customername 姓名 称呼 客户姓名 联系人",
    "phone": "phone mobile tel telephone cellphone phonenumber mobilephone mobilenumber contactphone phoneno "
    "mobileno customerphone 手机 手机号 手机号码 电话 电话号码 联系电话 联系方式",
    "email": "email mail emailaddress contactemail 邮箱 电子邮箱 邮件",
    "wechat": "wechat wechatid weixin wx wxid wechatno 微信 微信号",
    "series": "series seriesname seriesid carseries vehicleseries 车系 意向车系",
    "model": "model modelname modelid carmodel vehiclemodel 车型 意向车型",
    "dealer": "dealer dealername dealerid dealercode store storename storeid 经销商 门店 意向门店",
    "city": "city cityname 城市 所在城市 意向城市",
    "note": "note remark remarks message comment comments 备注 留言",
    "channel": "channel channelname leadchannel 渠道 来源渠道",
}
_FIELD_OF = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()}

_NESTED = ("contact", "lead", "form", "interest", "联系信息")
"""Objects inside properties in which the same fields are looked for; what stands outside goes before."""


def field_of(spelling: str) -> str | None:
    """The field of contact, interest or channel that a form calls so; None for what is none of these."""
    return _FIELD_OF.get(_plain(spelling))


def fields_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """The fields of contact, interest and channel in an event's properties, as they were typed.

    Of several spellings of one field the first that holds anything counts.
    """
    found: dict[str, str] = {}
    nested = [inner for key in _NESTED if isinstance(inner := properties.get(key), dict)]
    for fields in (properties, *nested):
        for key, value in fields.items():
            name = field_of(key)
            if name and name not in found and (text := _text(value)):
                found[name] = text
    return found


def contact_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """The contact in an event's properties as it was typed; {} where nobody can be reached by it."""
    found = fields_of(properties)
    contact = {name: found[name] for name in CONTACT_FIELDS if name in found}
    return contact if set(contact) - {"name"} else {}


def hide_words(properties: dict[str, Any], hide: Callable[[str, str], str]) -> None:
    """Put `hide(kind, value)` in the place of each name and WeChat number in an enquiry's properties, however they are
    called there: they look like any other words, but here it is known where they stand."""
    nested = [inner for key in (*_NESTED, "also") if isinstance(inner := properties.get(key), dict)]
    for fields in (properties, *nested):
        for key, value in fields.items():
            kind = field_of(key)
            if kind in WORDS and isinstance(value, str) and value:
                fields[key] = hide(kind, value)


def consent_of(properties: Mapping[str, Any]) -> dict[str, Any] | None:
    """The consent in an event's properties, None where it is not told in the shape of the contract."""
    told = properties.get("consent")
    if not isinstance(told, dict):
        return None
    purposes, text_version, at = (told.get(name) for name in ("purposes", "text_version", "at"))
    if not (isinstance(purposes, list) and isinstance(text_version, str) and isinstance(at, str)):
        return None
    return {"purposes": [each for each in purposes if isinstance(each, str)], "text_version": text_version, "at": at}


def _plain(key: str) -> str:
    # What begins with $ is of the SDK: $model is the handset.
    return key.lower().replace("_", "").replace("-", "").replace(" ", "")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()[:MAX_VALUE] if isinstance(value, str | int) else ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A contact as it is kept: `values` normalised where they can be, `identifiers` those that identify somebody.

    Paths in `invalid` hold what nobody can be reached by, those in `unsure` what is probably a slip or a
    placeholder; the first a caller is asked to correct, both are shown as doubtful.
    """

    values: dict[str, str]
    identifiers: tuple[Identifier, ...] = ()
    invalid: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()

    @property
    def doubtful(self) -> tuple[str, ...]:
        return (*self.invalid, *self.unsure)


def check_contact(typed: Mapping[str, str | None], *, region: str) -> Checked:
    """Normalise a contact; what is blank counts as not given, and nothing that was typed is lost."""
    values = {name: text for name in CONTACT_FIELDS if (text := (typed.get(name) or "").strip())}
    identifiers, invalid, unsure = [], [], []
    for kind in IDENTIFYING:
        if kind not in values:
            continue
        value = normalise(kind, values[kind], region=region)
        values[kind] = value or values[kind]
        # Two people who type 138 are not one person, so what cannot be a number joins nobody.
        if value is None or not can_be(kind, value):
            invalid.append(f"contact.{kind}")
            continue
        identifiers.append(Identifier(kind, value))
        if doubtful(kind, value) or blocked(kind, value):
            unsure.append(f"contact.{kind}")
    return Checked(values, tuple(identifiers), tuple(invalid), tuple(unsure))


def can_be(kind: str, normal: str) -> bool:
    """Whether a normalised value may be real. Numbering plans are published later than numbers are sold, so a
    Chinese mobile of the right length may be, whatever the plan says."""
    return kind != "phone" or _CHINESE_MOBILE.fullmatch(normal) is not None or doubtful(kind, normal) is None
