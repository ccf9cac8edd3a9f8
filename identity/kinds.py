"""What each kind of identifier may do: the policy, and the one that is built in.

A policy is a value: the same evidence under the same policy gives the same persons. Its fields are those of the
policy file. Kinds that a policy does not name are counted as evidence and never linked on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

import msgspec

PLACEHOLDER = "a placeholder that many people type"
PLACEHOLDER_FORM = "the form of a placeholder: zeros, one repeated sign, a run of digits or a test range"


@dataclass(frozen=True, slots=True)
class Kind:
    """The rules of one kind of identifier.

    `priority`: the highest of an event's identifiers says whose event it is. `max_per_person`: None for any number.
    `exclusive`: two values in one observation contradict each other. `limit_per`: both hold for each part of the
    value before this sign, such as the appid of an openid. `fan_out`: a value seen with more than n different values
    of the other kind is a hub. `changes_hands`, `gap_days`: the value may get another owner after so many days.
    `blocked`: normalised values, or /patterns/ searched in them.
    """

    priority: int = 0
    max_per_person: int | None = None
    exclusive: bool = False
    changes_hands: bool = False
    gap_days: int = 0
    fan_out: Mapping[str, int] = field(default_factory=dict)
    evidence_only: bool = False
    blocked: tuple[str, ...] = ()
    limit_per: str = ""


RULES = 2
"""Of resolution itself. With another number all conclusions are derived again from the evidence at the next start, as
they are under another policy."""

NOT_NAMED = Kind(evidence_only=True)

_Rules = tuple[frozenset[str], tuple[re.Pattern[str], ...]]
_NOTHING: _Rules = (frozenset(), ())


@dataclass(frozen=True, eq=False)
class Policy:
    """Rules by kind. Compared by identity, so that it can key a cache."""

    kinds: Mapping[str, Kind]
    max_cluster: int = 400
    owner_strength: int = 4

    @cached_property
    def name(self) -> str:
        """16 hexadecimal digits that stand for its content: equal rules have equal names in every process."""
        content = msgspec.json.encode((RULES, self.kinds, self.max_cluster, self.owner_strength), order="sorted")
        return blake2b(content, digest_size=8).hexdigest()

    def kind(self, name: str) -> Kind:
        return self.kinds.get(name, NOT_NAMED)

    def links(self, name: str) -> bool:
        """Whether values of this kind may join people at all."""
        return name in self._linking

    def counts(self, name: str) -> bool:
        """Whether a value of this kind in an observation can change any conclusion."""
        return self.links(name) or name in self._counted

    def anchors(self, name: str) -> bool:
        """Whether values of this kind can own what changes hands: of one person only, and better than anything owned,
        such as a member id for phones and devices."""
        return name in self._anchors

    def group(self, name: str, value: str) -> tuple[str, str]:
        """What a limit is counted by: the kind, and the part of the value that `limit_per` cuts off."""
        sign = self.kind(name).limit_per
        return name, value.partition(sign)[0] if sign and sign in value else ""

    def blocked(self, name: str, value: str) -> str | None:
        """Why this normalised clear value must never link, or None. Tokens must be asked for before they are made."""
        values, patterns = self._blocked.get(name, _NOTHING)
        if value in values:
            return PLACEHOLDER
        return PLACEHOLDER_FORM if any(pattern.search(value) for pattern in patterns) else None

    @cached_property
    def _linking(self) -> frozenset[str]:
        return frozenset(name for name, kind in self.kinds.items() if not kind.evidence_only)

    @cached_property
    def _anchors(self) -> frozenset[str]:
        owned = max((kind.priority for kind in self.kinds.values() if kind.changes_hands), default=0)
        return frozenset(name for name, kind in self.kinds.items() if kind.exclusive and kind.priority > owned)

    @cached_property
    def _counted(self) -> frozenset[str]:
        return frozenset(other for kind in self.kinds.values() for other in kind.fan_out)

    @cached_property
    def _blocked(self) -> dict[str, _Rules]:
        return {name: _compiled(kind.blocked) for name, kind in self.kinds.items() if kind.blocked}


def _compiled(rules: tuple[str, ...]) -> _Rules:
    patterns = [rule for rule in rules if len(rule) > 2 and rule[0] == rule[-1] == "/"]
    return frozenset(rules).difference(patterns), tuple(re.compile(rule[1:-1]) for rule in patterns)


_UP = "|".join(f"{digit}(?={(digit + 1) % 10}|$)" for digit in range(10))
_DOWN = "|".join(f"{digit}(?={(digit - 1) % 10}|$)" for digit in range(10))
_WORDS = (
    r"null|undefined|unknown|none|nil|nan|n/a|-1|true|false|anonymous|guest|admin|test|default|object"
    r"|visitor|\(null\)|<null>|\[object object\]|无|暂无|未知|没有|空|测试|游客|访客"
    # What Sensors' and ThinkingData's SDKs write where they found nothing, and teams pass on as an id.
    r"|未取到.*|系统没有取到值|取值异常|直接打开|url的domain解析失败|未知搜索引擎"
)

NO_VALUE = (f"/^(?:[^/]*/)?(?i:{_WORDS})$/", r"/^(?:[^/]*/)?[0:.{}\[\]-]+$/")
"""Words and zeros that programs write where they know nothing, also behind the appid of an openid."""
ONE_SIGN = r"/^[:{}-]*(\w)(?:[:{}-]*\1){5,}[:{}-]*$/"
RUN = f"/^(?:(?:{_UP}){{8,}}|(?:{_DOWN}){{8,}})$/"

_PHONE = (
    "+8613800138000",  # China Mobile's old recharge hotline
    "+8613000000000",
    "+8613900000000",
    r"/^\+\d{1,2}(\d)\1{7,}$/",
    r"/^\+86\d{3}(\d)\1{7}$/",
    rf"/^\+86(?:(?:{_UP}){{10,}}|(?:{_DOWN}){{10,}})$/",
    r"/^\+1\d{3}55501\d\d$/",  # reserved for fiction
)
_EMAIL = ("test@test.com", "a@a.com", "123@qq.com", "123456@qq.com", f"/^(?i:{_WORDS})@/", r"/^no-?reply@/")
_DEVICE = (*NO_VALUE, ONE_SIGN, RUN, "9774d56d682e549c", "02:00:00:00:00:00")  # Android's shared id, iOS's fixed MAC
_DOCUMENT = (*NO_VALUE, r"/(\w)\1{9}/", RUN)

BUILT_IN = Policy(
    kinds={
        "member_id": Kind(priority=100, max_per_person=1, exclusive=True, blocked=NO_VALUE),
        "id_card": Kind(priority=95, max_per_person=1, exclusive=True, blocked=_DOCUMENT),
        "wx_unionid": Kind(priority=90, max_per_person=1, exclusive=True, limit_per="/", blocked=(*NO_VALUE, ONE_SIGN)),
        "phone": Kind(
            priority=80,
            max_per_person=3,
            changes_hands=True,
            gap_days=60,
            fan_out={"member_id": 3, "wx_unionid": 3, "name": 4},
            blocked=_PHONE,
        ),
        "wx_openid": Kind(priority=75, max_per_person=1, exclusive=True, limit_per="/", blocked=NO_VALUE),
        "email": Kind(priority=70, max_per_person=5, fan_out={"member_id": 3, "phone": 4}, blocked=_EMAIL),
        "crm_id": Kind(priority=60, max_per_person=20, blocked=NO_VALUE),
        "vin": Kind(priority=50, max_per_person=5, fan_out={"phone": 4}, blocked=_DOCUMENT),
        "plate": Kind(priority=45, max_per_person=5, fan_out={"phone": 4}, blocked=(*NO_VALUE, "/0{5}$/")),
        "device_id": Kind(
            priority=40, max_per_person=6, changes_hands=True, fan_out={"member_id": 3, "phone": 4}, blocked=_DEVICE
        ),
        "anonymous_id": Kind(
            priority=30, max_per_person=40, changes_hands=True, fan_out={"member_id": 2, "phone": 2}, blocked=_DEVICE
        ),
        "lead_id": Kind(priority=20, max_per_person=60, blocked=NO_VALUE),
        "click_id": Kind(priority=10, max_per_person=60, blocked=NO_VALUE),
        "name": NOT_NAMED,
        "city": NOT_NAMED,
        "ip": NOT_NAMED,
    }
)


def blocked(name: str, value: str) -> str | None:
    """`Policy.blocked` of the built-in policy."""
    return BUILT_IN.blocked(name, value)
