"""What of a lead is compared, and the keys by which leads that may be alike find each other.

A row is clear and lives in memory only. A key is a function of one row: what two rows of one person share although
one of them has a slip. The table holds keyed hashes of keys, never what they were made of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    String,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
)

from cdp.hot import HotQuery, hot_reading
from cdp.model import Identifier, Millis, SetId
from cdp.records import chunks, insert_ignoring, metadata, reading
from identity.matching.normalise import pinyin, surname_zh
from identity.observation import ObservationId
from leads.lead import LeadId
from leads.open_leads import open_rows
from leads.store import Card, lead_rows

CAP = 50
"""Leads of one key. A name that more of them have in one city says nothing, and the key is passed over for all."""

SEEN = ""
"""The key of a lead that has none, so that it is known to have been looked at."""

PAGE = 500
PHONE_TAIL = 8
VIN_TAIL = 8

key_rows = Table(
    "similar_keys",
    metadata,
    Column("key", String(20), primary_key=True),
    Column("lead", String(40), primary_key=True, index=True),
    Column("at", BigInteger, nullable=False),
)
pair_rows = Table(
    "similar_pairs",
    metadata,
    Column("a", String(40), primary_key=True),
    Column("b", String(40), primary_key=True, index=True),
    Column("model", String(16), nullable=False),
    Column("probability", Float, nullable=False),
    Column("review", String(27)),
    Column("observation", BigInteger),
    Column("at", BigInteger, nullable=False),
)

# Without an offset of its own SQLite's dialect makes one, of a name that no caller knows.
_HOLDING = HotQuery(
    select(key_rows.c.lead)
    .where(key_rows.c.key == bindparam("key"))
    .limit(bindparam("most"))
    .offset(bindparam("first"))
)

Row = Mapping[str, str]
"""Clear values by column of the model: name, phone, city, dealer, series, plate, vin; '' where a lead has none."""


class Pair(NamedTuple):
    """Two leads found alike, the smaller id first: by which model, how probably, and which review or observation came
    of it."""

    a: LeadId
    b: LeadId
    model: str
    probability: float
    review: str | None
    observation: ObservationId | None


class Asked(NamedTuple):
    """A lead as it is compared, values still tokens. `subject` is 0 where it has no identifier or was erased."""

    id: LeadId
    subject: SetId
    frozen_at: Millis
    card: Card


# Rows

_NOBODY = re.compile(r"(?:先生|女士|小姐|客户|用户|微信用户|匿名|未知|测试|test|null|none)\d*")
_TITLE = re.compile(r"(?:先生|女士|小姐|太太|老师|师傅|经理|老板)$")
_SHORT_TITLE = re.compile(r"[总哥姐工]$")


def row_of(asked: Asked, own: Iterable[Identifier], clear: Mapping[str, str]) -> Row:
    """`own` are the lead's identifiers and `clear` what the vault has of its tokens."""
    interest, contact = asked.card.interest, asked.card.contact
    cars = {each.kind: clear.get(each.value, "") for each in own if each.kind in ("plate", "vin")}
    return {
        "name": plain_name(clear.get(contact.get("name", ""), "")),
        "phone": clear.get(contact.get("phone", ""), ""),
        "city": _plain(interest.get("city")).removesuffix("市"),
        "dealer": _plain(interest.get("dealer")),
        "series": _plain(interest.get("series") or interest.get("model")),
        "plate": cars.get("plate", ""),
        "vin": cars.get("vin", ""),
    }


def tokens_of(asked: Asked, own: Iterable[Identifier]) -> set[str]:
    """Of which tokens a row needs the clear values."""
    cars = {each.value for each in own if each.kind in ("plate", "vin")}
    return cars | {token for kind, token in asked.card.contact.items() if kind in ("name", "phone")}


def plain_name(name: str) -> str:
    """A name without the title that stands for the rest of it: 李女士 is 李, and 先生 is nobody."""
    text = _plain(name).replace(" ", "").replace("·", "")
    if _NOBODY.fullmatch(text):
        return ""
    text = _TITLE.sub("", text)
    shorter = _SHORT_TITLE.sub("", text)
    return shorter if is_surname(shorter) else text


def is_surname(name: str) -> bool:
    """Whether no given name came with it."""
    return name == surname_zh(name)


def _plain(value: object) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split()) if isinstance(value, str) else ""


def keys_of(row: Row) -> set[str]:
    """The keys of a row, clear.

    The phone's have one digit left out, so that two that differ in one digit, or in two that changed places, share
    one; and they have the surname, for a slip counts with the name alone.
    """
    return {"\0".join(key) for key in _keys(row)}


def _keys(row: Row) -> Iterator[tuple[str, ...]]:
    name = row["name"]
    if name and not is_surname(name):
        spoken = pinyin(name).replace(" ", "")
        yield from ((place, spoken, row[place]) for place in ("city", "dealer") if row[place])
    tail = "".join(sign for sign in row["phone"] if sign.isdecimal())[-PHONE_TAIL:]
    if name and len(tail) == PHONE_TAIL:
        surname = pinyin(surname_zh(name))
        yield from (("phone", surname, tail[:place] + tail[place + 1 :]) for place in range(PHONE_TAIL))
    if row["plate"]:
        yield "plate", row["plate"]
    if row["vin"]:
        yield "vin", row["vin"][-VIN_TAIL:]


# The tables


def asked(connection: Connection, leads: Sequence[LeadId]) -> list[Asked]:
    """These leads, shells left out, in no order."""
    found = []
    columns = (lead_rows.c.id, lead_rows.c.subject, lead_rows.c.frozen_at, lead_rows.c.card)
    for chunk in chunks(leads):
        for row in connection.execute(select(*columns).where(lead_rows.c.id.in_(chunk))):
            card = msgspec.json.decode(row.card, type=Card)
            if not card.erased:
                found.append(Asked(LeadId(row.id), SetId(row.subject), row.frozen_at, card))
    return found


def missing(connection: Connection, after: str = "") -> list[LeadId]:
    """A page of leads that have no key yet, by id."""
    seen = select(key_rows.c.lead).where(key_rows.c.lead == lead_rows.c.id).exists()
    query = select(lead_rows.c.id).where(lead_rows.c.id > after, ~seen).order_by(lead_rows.c.id).limit(PAGE)
    return list(connection.execute(query).scalars())


def announced(connection: Connection, after: int) -> list[LeadId]:
    """Leads that have no key yet, of the captures behind that number."""
    seen = select(key_rows.c.lead).where(key_rows.c.lead == lead_rows.c.id).exists()
    query = select(lead_rows.c.id).join(open_rows, open_rows.c.lead == lead_rows.c.id)
    query = query.where(open_rows.c.n > after, ~seen).order_by(open_rows.c.n).limit(PAGE)
    return list(dict.fromkeys(connection.execute(query).scalars()))


def last_announced(connection: Connection) -> int:
    """The number of the last capture that began."""
    return connection.execute(select(func.max(open_rows.c.n))).scalar() or 0


def has_keys(connection: Connection, lead: LeadId) -> bool:
    found = connection.execute(select(key_rows.c.lead).where(key_rows.c.lead == lead).limit(1))
    return found.first() is not None


def sharing(records: Engine, keys: Iterable[str]) -> set[LeadId]:
    """Leads with one of these hashed keys. Raises StoreUnavailable."""
    found: set[LeadId] = set()
    with hot_reading(records) as reader:
        for key in keys:
            block = _HOLDING.rows(reader, key=key, most=CAP, first=0)
            # With the one that asks it would be more than the cap.
            if len(block) < CAP:
                found.update(LeadId(lead) for (lead,) in block)
    return found


def write(connection: Connection, lead: LeadId, keys: Collection[str], pairs: Iterable[Pair], *, at: Millis) -> None:
    """Note a lead's hashed keys and what it was found alike with, in the caller's transaction. Idempotent."""
    rows = [{"key": key, "lead": lead, "at": at} for key in sorted(keys) or [SEEN]]
    connection.execute(insert_ignoring(connection, key_rows), rows)
    found = [{**pair._asdict(), "at": at} for pair in pairs]
    if found:
        connection.execute(insert_ignoring(connection, pair_rows), found)


def forget(connection: Connection, leads: Sequence[LeadId], *, at: Millis) -> None:
    """Leave nothing of these but that they were looked at, in the caller's transaction."""
    for chunk in chunks(leads):
        connection.execute(delete(key_rows).where(key_rows.c.lead.in_(chunk)))
        connection.execute(delete(pair_rows).where(or_(pair_rows.c.a.in_(chunk), pair_rows.c.b.in_(chunk))))
    for lead in leads:
        write(connection, lead, (), (), at=at)


def pairs_of(records: Engine, lead: LeadId) -> list[Pair]:
    """What a lead was found alike with, most probable first."""
    query = select(pair_rows).where(or_(pair_rows.c.a == lead, pair_rows.c.b == lead))
    with reading(records) as connection:
        found = [Pair(*row[: len(Pair._fields)]) for row in connection.execute(query)]
    return sorted(found, key=lambda pair: (-pair.probability, pair.a, pair.b))
