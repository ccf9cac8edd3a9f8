"""Whom a PostHog event is about: which of its ids is a member's, and which a visitor's.

`distinct_id` is a visitor's until identify() and the team's own id after it, and only flags beside it tell which; old
SDKs send none. Where nothing tells, the shape does: what an SDK drew at random is a visitor's. A wrong guess may part
one trail in two, but must never join two people. So an id that a bug sends for everybody is none, and no event names
two members.

`$device_id` is the visitor's id until the first identify(); reset(), which a page calls when somebody logs out, gives
the next visitor a new id and leaves the device's. So it is the weakest of all: it never stands beside a visitor's
newer id, and beside a member's only where the event proves nothing, for the case that the identify was lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cdp.model import Fact, Identifier
from collectors.record import Scalar, in_order, text

IDENTIFY = "$identify"
GROUP = "$groupidentify"
ALIAS = "$create_alias"
MERGE = "$merge_dangerously"

MEMBER = "member_id"
VISITOR = "anonymous_id"

_OTHER_ID = {IDENTIFY: "$anon_distinct_id", ALIAS: "alias", MERGE: "alias"}
"""Where an event names a second id of its person."""
_NOBODY = frozenset(
    {
        "$posthog_cookieless", "00000000-0000-0000-0000-000000000000", "[object Object]", "NaN", "None", "none", "null",
        "0",
    }
)  # fmt: skip
_NOBODY_IN_ANY_CASE = frozenset(
    {
        "anonymous",
        "guest",
        "distinctid",
        "distinct_id",
        "id",
        "not_authenticated",
        "email",
        "undefined",
        "true",
        "false",
    }
)
"""What programs send where they know no id; PostHog's server refuses the same."""

_DRAWN = re.compile(r"[0-9a-f]{8,16}(-[0-9a-f]{1,16}){3}-[0-9a-f]{10,16}", re.I)
"""A UUID of any version, or what posthog-js drew before it had those."""
_DRAWN_IN_A_BROWSER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.I)
"""A UUID of version 7, which a server passes on from the page. One of version 4 may well be the team's own."""


def identifiers_of(
    call: str, distinct_id: Scalar, said: Mapping[str, Any], contacts: Iterable[Identifier], *, lib: str, client: bool
) -> tuple[tuple[Identifier, ...], Fact]:
    """All ids of an event, strongest first, and what it says of them.

    `call` is the event's name, '' where a property update came without one; `said` are its properties, `contacts` are
    among what it sets; `client` says that an SDK on the person's own device sent it.
    """
    distinct = usable(distinct_id) or usable(said.get("distinct_id"))
    device = usable(said.get("$device_id"))
    other = usable(said.get(_OTHER_ID[call])) if call in _OTHER_ID else ""
    if call == GROUP and not client and (distinct.startswith("$") or _DRAWN.fullmatch(distinct)):
        # Servers make one up for the group, and mean nobody by it.
        distinct = ""
    member = bool(distinct) and _is_member(call, distinct, device, said, lib=lib, client=client)
    found = [Identifier(MEMBER if member else VISITOR, distinct)] if distinct else []
    if other and other != distinct:
        found.append(Identifier(_kind_of_other(call, other, member, client=client), other))
    found += contacts
    proves = (call in _OTHER_ID or len(found) > 1) and any(identifier.kind == MEMBER for identifier in found)
    if device and device != distinct and ((member and not proves) or not found):
        found.append(Identifier(VISITOR, device))
    return in_order(found), Fact.LOGIN if proves and len(found) > 1 else Fact.CO_OCCURRENCE


def usable(value: object) -> str:
    """An id as text, '' for what stands for nobody."""
    found = text(value)
    bare = found.strip("\"'")
    return "" if bare in _NOBODY or bare.lower() in _NOBODY_IN_ANY_CASE else found


def _is_member(call: str, distinct: str, device: str, said: Mapping[str, Any], *, lib: str, client: bool) -> bool:
    if call == IDENTIFY:
        return True
    flag = said.get("$is_identified")
    if distinct == device:
        return flag is True and not _DRAWN.fullmatch(distinct)
    if isinstance(flag, bool):
        return flag
    if user := usable(said.get("$user_id")):
        return user == distinct
    if said.get("$process_person_profile") is False:
        return False
    if call == ALIAS and lib == "posthog-python":
        # alias(previous_id, distinct_id) sends the former as distinct_id, where all others send the latter.
        return False
    return not _looks_drawn(distinct, client=client)


def _kind_of_other(call: str, other: str, member: bool, *, client: bool) -> str:
    """A visitor's, but for the alias that tells a visitor's member id."""
    return VISITOR if call == IDENTIFY or member or _looks_drawn(other, client=client) else MEMBER


def _looks_drawn(value: str, *, client: bool) -> bool:
    return (_DRAWN if client else _DRAWN_IN_A_BROWSER).fullmatch(value) is not None
