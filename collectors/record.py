"""From one record of a hit to one event: what all dialects do alike.

A record that is no event is data, not an error: it becomes Dropped with its index, and the others go on. Fields of
an unexpected shape are left out, and the event stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit
from cdp.model import Dropped, DropReason, Event, Fact, Hit, Identifier, Operation, Source, TraitChange, as_json
from collectors.dialect import MAX_EVENT_BYTES, SourceOfKey

T = TypeVar("T", bound=msgspec.Struct)

Scalar = str | int | float | None
"""What an id or a name may come as; numbers are read as text."""

NOTHING = Raw(b"")
"""A field that is not there; msgspec takes no `Raw | None`."""

MAX_DEPTH = 64
"""Of properties; whoever reads them later must not meet the end of a stack."""

KIND_ORDER = (
    "member_id", "phone", "email", "wx_unionid", "wx_openid", "id_card", "vin", "plate", "crm_id", "lead_id",
    "device_id", "anonymous_id", "click_id",
)  # fmt: skip
"""The kinds that a dialect may emit, strongest first."""
MAX_IDENTIFIERS = 12
"""Taken of what a sender names itself, besides its dialect's own fields."""
_RANK = {kind: rank for rank, kind in enumerate(KIND_ORDER)}


class NotAnEventError(Exception):
    """Raised while a record is read that is no event; `detail` holds no value of it."""

    def __init__(self, detail: str, reason: DropReason = DropReason.MALFORMED_EVENT) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason


def outcomes(
    hit: Hit, hit_id: str, records: Sequence[Raw], event_of: Callable[[int, bytes], Event]
) -> list[Event | Dropped]:
    """One outcome per record, in their order."""
    found: list[Event | Dropped] = []
    for index, record in enumerate(records):
        try:
            checked_size(record)
            found.append(event_of(index, bytes(record)))
        except NotAnEventError as error:
            source = "" if error.reason is DropReason.UNKNOWN_KEY else hit.source
            found.append(Dropped(source=source, reason=error.reason, detail=error.detail, index=index, hit=hit_id))
    return found


def checked_size(record: Raw) -> None:
    """Raises NotAnEventError over MAX_EVENT_BYTES."""
    if len(record) > MAX_EVENT_BYTES:
        raise NotAnEventError(f"over {MAX_EVENT_BYTES:,} bytes", DropReason.EVENT_TOO_LARGE)


class Keys:
    """To which source the records of a hit belong.

    `deciding` are the keys that the request names, the one that counts first, `first` finds the first one in the body.
    A record without a key, or with one of these, is of the source that the hit was accepted for, also when the key has
    been taken out of use since; a record with another key is of the source of that key. A hit that was kept for nobody
    is of the source that has its key by now: a collector of another machine may hear of a new key last.
    """

    def __init__(
        self, hit: Hit, source_of_key: SourceOfKey, *, deciding: Collection[str], first: Callable[[], str]
    ) -> None:
        self._source_of_key = source_of_key
        self._deciding = deciding
        self._first = first
        self._known: dict[str, Source | None] = {}
        self._accepted = hit.source or self._id_by_now()

    def source(self, key: str) -> str:
        """The source's id. Raises NotAnEventError(UNKNOWN_KEY)."""
        if not key or key in self._deciding:
            return self._accepted
        found = self.lookup(key)
        if found is not None:
            return found.id
        if key == self._first():
            return self._accepted
        raise NotAnEventError("the key is of no enabled source", DropReason.UNKNOWN_KEY)

    def lookup(self, key: str) -> Source | None:
        if key not in self._known:
            self._known[key] = self._source_of_key(key)
        return self._known[key]

    def sender(self) -> Source | None:
        """The source that has the hit's own key by now."""
        return self.lookup(next(iter(self._deciding), "") or self._first())

    def _id_by_now(self) -> str:
        source = self.sender()
        return source.id if source else ""


def first_key(records: Iterable[Raw], decoder: msgspec.json.Decoder[T], key_of: Callable[[T], str]) -> str:
    """The first key that a record has, '' where none has one."""
    for record in records:
        try:
            key = key_of(decoder.decode(record))
        except (msgspec.ValidationError, RecursionError):
            continue
        if key:
            return key
    return ""


def text(value: object) -> str:
    """A string trimmed and without NUL, which PostgreSQL does not store; a number as text; '' for all else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip() if "\0" not in value else value.replace("\0", "").strip()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    return str(int(value)) if value == int(value) else str(value)


def decoded(record: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The record, without the fields of a wrong shape. Raises NotAnEventError where it is no object."""
    try:
        return decoder.decode(record)
    except (msgspec.ValidationError, RecursionError):
        pass
    try:
        return loosely(record, decoder.type)
    except msgspec.ValidationError:
        raise NotAnEventError("a record is a JSON object") from None
    except RecursionError:
        raise NotAnEventError("nested without end") from None


def loosely(record: bytes, shape: type[T]) -> T:
    """As `shape`, less the fields of another shape. Raises ValidationError where `record` is no object."""
    parts = msgspec.json.decode(record, type=dict[str, Raw])
    kept: dict[str, Any] = {}
    for field in msgspec.structs.fields(shape):
        if field.encode_name in parts:
            value = _loose_field(parts[field.encode_name], field.type)
            if value is not msgspec.UNSET:
                kept[field.name] = value
    return shape(**kept)


def _loose_field(raw: Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        pass
    options = [kind, *get_args(kind)]
    struct = next(
        (option for option in options if isinstance(option, type) and issubclass(option, msgspec.Struct)), None
    )
    try:
        if struct is not None:
            return loosely(bytes(raw), struct)
        if str in options:
            return text(msgspec.json.decode(raw)) or msgspec.UNSET
    except msgspec.ValidationError:
        pass
    return msgspec.UNSET


def is_given(raw: Raw) -> bool:
    return raw is not NOTHING and bytes(raw) not in (b"", b"null")


def properties_json(raw: Raw) -> bytes:
    """The JSON text of an object that everybody can decode. What is no object is kept under `value`.

    Raises NotAnEventError for numbers out of range and for more than MAX_DEPTH levels.
    """
    found = bytes(raw)
    if found in (b"", b"null"):
        return b"{}"
    plain_value(found)
    return found if found.startswith(b"{") else b'{"value":' + found + b"}"


def with_fields(properties: bytes, other: bytes, *more: bytes) -> bytes:
    """One JSON object with the fields of both, and with `more` fields that are JSON text already."""
    inner = (properties.strip()[1:-1].strip(), other[1:-1], *more)
    return b"{" + b",".join(part for part in inner if part) + b"}"


def plain_value(found: bytes) -> Any:
    """The decoded value. Raises NotAnEventError as `properties_json`."""
    try:
        value = msgspec.json.decode(found)
    except msgspec.ValidationError:
        raise NotAnEventError("properties hold a number out of range") from None
    except RecursionError:
        raise NotAnEventError(f"properties nest deeper than {MAX_DEPTH}") from None
    if found.count(b"{") + found.count(b"[") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise NotAnEventError(f"properties nest deeper than {MAX_DEPTH}")
    return value


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for container in level
            if isinstance(container, (dict, list))
            for child in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return any(isinstance(value, (dict, list)) for value in level)


def contacts_of(traits: Mapping[str, Any]) -> Iterator[Identifier]:
    """The phone and e-mail address among somebody's traits, as they came."""
    for trait, kind in (("phone", "phone"), ("mobile", "phone"), ("email", "email")):
        if value := text(traits.get(trait)):
            yield Identifier(kind, value)


def set_traits(traits: Mapping[str, Any]) -> tuple[TraitChange, ...]:
    """One change a trait; null takes the trait away."""
    return tuple(
        TraitChange(Operation.UNSET, name) if value is None else TraitChange(Operation.SET, name, as_json(value))
        for name, value in traits.items()
    )


def trait_changes(operation: Operation, said: Mapping[str, Any]) -> tuple[TraitChange, ...]:
    """What a profile record changes; each element of an appended list is one change. Null changes nothing: a
    placeholder set once would keep out the value that comes later."""
    if operation is Operation.DELETE:
        return (TraitChange(operation, ""),)
    if operation is Operation.UNSET:
        return tuple(TraitChange(operation, name) for name in said)
    values = ((name, value) for name, value in said.items() if value is not None)
    if operation is Operation.APPEND:
        lists = ((name, value if isinstance(value, list) else [value]) for name, value in values)
        return tuple(TraitChange(operation, name, as_json(item)) for name, items in lists for item in items)
    return tuple(TraitChange(operation, name, as_json(value)) for name, value in values)


def path_of(url: str) -> str:
    """The path of an address, '' where there is no address."""
    rest = url.partition("://")[2]
    return "/" + rest.partition("/")[2].partition("?")[0].partition("#")[0] if rest else ""


def in_order(identifiers: Iterable[Identifier]) -> tuple[Identifier, ...]:
    """Strongest kind first, without repeats; among one kind as they came."""
    found = tuple(identifiers)
    return found if len(found) < 2 else tuple(sorted(dict.fromkeys(found), key=_rank))


def _rank(identifier: Identifier) -> int:
    return _RANK[identifier.kind]


def fact_of(identifiers: Sequence[Identifier]) -> Fact:
    """What identifiers in their order say by coming together: with a member id, that this person logged in."""
    return Fact.LOGIN if len(identifiers) > 1 and identifiers[0].kind == "member_id" else Fact.CO_OCCURRENCE


def unreadable(error: Exception) -> MalformedHit:
    """A limit that is met only in translation makes the hit unreadable: nobody is there to be answered."""
    return error if isinstance(error, MalformedHit) else MalformedHit("a hit within the limits", str(error))
