"""One event of gtag.js or another browser client of Google Analytics 4, spelled as the fields of a query.

Parameters (`ep.`, and `epn.` for numbers) are the properties, user properties (`up.`, `upn.`) the traits. What else
the client says is kept beside the parameters under its name on the wire with `$` before it (`$gcs`, `$sct`). The
first visit and a session's start are no events of their own here: they are `$_fv` and `$_ss` on the first that comes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from cdp.errors import MalformedHit
from cdp.model import NO_CAMPAIGN, Campaign, Device, Event, EventType, Hit, Identifier, Page, as_json
from collectors import event_names as names
from collectors.campaign import campaign_of
from collectors.ids import event_id, hashed
from collectors.numbers import as_number
from collectors.record import NotAnEventError, contacts_of, fact_of, in_order, path_of, set_traits, text
from collectors.user_agent import device_of

MAX_EVENT_FIELDS = 500
"""Of an event: Google takes 25 parameters and 25 user properties, and 200 items."""

_HAS_A_PLACE = frozenset({"v", "tid", "cid", "uid", "sid", "en", "dl", "dt", "dr", "ul", "uam", "_uip"})
_HASHED_CONTACTS = frozenset({"em", "eme"})
"""A plain hash of a phone number is as good as the number: all of them are tried in a minute."""
_WORDS = {"_et": "engagement_time_msec", "cu": "currency"}
"""Parameters that the wire abbreviates, by the name that servers send them under."""
_NUMBERS = frozenset({"_et"})
_ITEM = re.compile(r"pr\d{1,3}")


def fields_of(query: str) -> dict[str, str]:
    """The fields of a query, the last of each name. Raises MalformedHit over MAX_EVENT_FIELDS."""
    try:
        return dict(parse_qsl(query, max_num_fields=MAX_EVENT_FIELDS))
    except ValueError:
        raise MalformedHit(f"up to {MAX_EVENT_FIELDS} fields in an event", "more") from None


class BrowserDelivery:
    """The events of one hit: what they share in its query, and each one's event."""

    def __init__(self, hit: Hit, hit_id: str, shared: Mapping[str, str]) -> None:
        self._hit = hit
        self._hit_id = hit_id
        self._shared = shared

    def event(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        hit = self._hit
        told = self._told(record)
        original = text(told.get("en"))
        if not original:
            raise NotAnEventError("`en`, the event's name, is missing")
        name = names.GA4.get(original, original)
        client_id = self._stand_in(told, index)
        traits = dict(_typed(told, "up.", "upn."))
        identifiers = in_order(_identifiers(told, traits))
        url = text(told.get("dl"))
        return Event(
            id=event_id(hit.source, client_id),
            client_id=client_id,
            type=names.TYPES.get(name, EventType.TRACK),
            name=name,
            original_name=original,
            # The wire tells no time: a browser sends within seconds, and never again.
            occurred_at=hit.received_at,
            received_at=hit.received_at,
            source=hit.source,
            dialect=hit.dialect,
            hit=self._hit_id,
            platform="web",
            session=text(told.get("sid")),
            identifiers=identifiers,
            page=Page(url, path_of(url), text(told.get("dt")), text(told.get("dr"))),
            campaign=campaign_of(_campaign(told), url),
            device=self._device(told),
            locale=text(told.get("ul")),
            # Told by a server that passes a browser's hits on.
            ip=text(told.get("_uip")) or hit.client_ip,
            properties=_properties(told),
            traits=set_traits(traits),
            fact=fact_of(identifiers),
        )

    def _told(self, line: bytes) -> Mapping[str, str]:
        if not line:
            return self._shared
        try:
            return {**self._shared, **fields_of(line.decode("utf-8", "replace"))}
        except MalformedHit as error:
            raise NotAnEventError(f"over {MAX_EVENT_FIELDS} fields") from error

    def _stand_in(self, told: Mapping[str, str], index: int) -> str:
        """A page load (`_p`) and its count of hits (`_s`) tell one event from the next; without them, how it came."""
        moment = f"{index}" if "_p" in told and "_s" in told else f"{self._hit_id}/{index}"
        return hashed(*(f"{name}={told[name]}" for name in sorted(told)), moment)

    def _device(self, told: Mapping[str, str]) -> Device:
        device = device_of(self._hit.headers.get("user-agent", ""))
        model = text(told.get("uam"))
        return msgspec.structs.replace(device, model=model) if model else device


def _identifiers(told: Mapping[str, str], traits: Mapping[str, Any]) -> Iterator[Identifier]:
    for field, kind in (("uid", "member_id"), ("cid", "anonymous_id")):
        if value := text(told.get(field)):
            yield Identifier(kind, value)
    yield from contacts_of(traits)


def _typed(told: Mapping[str, str], texts: str, numbers: str) -> Iterator[tuple[str, Any]]:
    """What stands under two prefixes, without them: texts as they are, numbers where they are numbers."""
    for name, value in told.items():
        if name.startswith(texts):
            yield name.removeprefix(texts), value
        elif name.startswith(numbers):
            yield name.removeprefix(numbers), as_number(value)


def _campaign(told: Mapping[str, str]) -> Campaign:
    """A campaign that the page sets. Without a medium, `cs` and `cn` are a promotion's slot and creative."""
    if not told.get("cm"):
        return NO_CAMPAIGN
    source, medium, name, content = (text(told.get(field)) for field in ("cs", "cm", "cn", "cc"))
    return Campaign(source, medium, name, text(told.get("ct") or told.get("ck")), content)


def _properties(told: Mapping[str, str]) -> bytes:
    said = dict(_typed(told, "ep.", "epn."))
    for name, value in told.items():
        if name in _WORDS:
            said.setdefault(_WORDS[name], as_number(value) if name in _NUMBERS else value)
        elif _ITEM.fullmatch(name):
            said[name] = value
        elif not (name in _HAS_A_PLACE or name in _HASHED_CONTACTS or name.startswith(("ep.", "epn.", "up.", "upn."))):
            said[f"${name}"] = value
    return as_json(said).encode()
