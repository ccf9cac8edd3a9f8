"""Ten million events of half a million made-up car buyers, in the tables that segments read.

Made by the engine itself, past the product's own ways in, in about a minute; kept in a folder from run to run.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from cdp.model import Millis
from profiles.events_clickhouse import ClickHouseEvents
from profiles.events_clickhouse_tables import SCHEMA
from profiles.store import BEGINNING

NOW: Millis = 1_795_600_000_000
DAYS = 120
PERSONS = 500_000
SETS = 650_000
HUBS = 20
LEADS = 20_000
PIECES = 16

KEPT = Path(__file__).parents[1] / ".cache" / "bench"

NAMES = {
    "page_viewed": 440,
    "element_clicked": 150,
    "model_page_viewed": 120,
    "app_opened": 70,
    "config_page_viewed": 50,
    "video_played": 50,
    "finance_calc_used": 30,
    "login": 30,
    "search_used": 20,
    "article_liked": 15,
    "test_drive_form_opened": 12,
    "lead_submitted": 7,
    "test_drive_requested": 4,
    "test_drive_done": 2,
}
"""How many of a thousand events have each name."""

MAKING = {"max_threads": 2, "max_memory_usage": 6 * 2**30, "max_partitions_per_insert_block": 0}

# A hash of the row's number, other for each use.
_DICE = "cityHash64(number, {})"
_SET = "toInt64(bitShiftRight(cityHash64('set', {}), 1))"
_PERSON = "reinterpretAsUUID(MD5(concat('person', toString({}))))"
_OWNER = f"if(n < {PERSONS}, n, cityHash64('owner', n) % {PERSONS})"


def _pick(values: tuple[str, ...], salt: int) -> str:
    return f"{list(values)}[{_DICE.format(salt)} % {len(values)} + 1]"


def _name() -> str:
    bounds, upto = [], 0
    for name, share in NAMES.items():
        upto += share
        bounds.append(f"r < {upto}, '{name}'")
    return f"multiIf({', '.join(bounds)}, 'other')"


CITIES = ("成都", "重庆", "北京", "上海", "广州", "杭州")
CHANNELS = ("douyin", "dongchedi", "wechat", "site", "autohome")

# The product of two dice: some sets have a hundred events and many have one. Each set comes in six visits of an hour.
_EVENTS = f"""
INSERT INTO typed_events (name, set, occurred_at, id, received_at, source, type, platform, dialect, session, app_id,
    app_version, page_path, page_title, campaign_source, device_kind, device_os, locale, ip_city, properties)
SELECT {_name()} AS name, {_SET.format("n")} AS set, least({NOW}, start + {_DICE.format(5)} % 3600000) AS occurred_at,
    lower(hex(MD5(toString(number)))) AS id, occurred_at + 900 AS received_at, 'site' AS source,
    'track', 'mini_program', 'wechat', concat('s', toString(start)), 'wxa1b2', concat('3.2.', toString(n % 5)),
    concat('/cars/', toString({_DICE.format(6)} % 300)), 'X9 后排空间',
    if({_DICE.format(7)} % 4 = 0, {_pick(CHANNELS, 8)}, ''), 'mobile', 'iOS', 'zh-CN', {_pick(CITIES, 9)},
    concat('{{"model_id":"m', toString({_DICE.format(10)} % 20), '","series":"s',
        toString({_DICE.format(11)} % 6), '","stay_seconds":', toString({_DICE.format(12)} % 120),
        ',"channel":"', {_pick(CHANNELS, 13)}, '","city":"', {_pick(CITIES, 14)},
        '","price":', toString(({_DICE.format(15)} % 3000) / 10), '}}')
FROM
(
    SELECT number, {_DICE.format(4)} % 1000 AS r,
        if({_DICE.format(3)} % 500 = 0, {_DICE.format(16)} % {HUBS},
            intDiv(({_DICE.format(1)} % 1000000) * ({_DICE.format(2)} % 1000000), {10**12 // SETS + 1})) AS n,
        {NOW} - toInt64(cityHash64(n, {_DICE.format(17)} % 6) % ({DAYS} * 86400000)) AS start
    FROM numbers({{events}})
)"""

# The same events as a trail reads them, in pieces that leave parts as many batches do: 917 bytes each.
_ENVELOPES = [
    f"""
INSERT INTO events (set, occurred_at, id, received_at, name, source, envelope)
SELECT set, occurred_at, id, received_at, name, source, concat(
    '{{"received_at":', toString(received_at), ',"name":"', name, '","source":"', source,
    '","properties":', toJSONString(properties), ',"client_id":"', lower(hex(MD5(id))), '","type":"', type,
    '","original_name":"', name, '","dialect":"sensors","hit":"', lower(hex(MD5(concat(id, 'h')))),
    '","platform":"', platform, '","app":{{"id":"', app_id, '","name":"寻迹汽车","version":"', app_version,
    '"}},"session":"', session, '","identifiers":[{{"kind":"device_id","value":"', lower(hex(MD5(concat(id, 'i')))),
    '"}},{{"kind":"wx_openid","value":"', lower(hex(MD5(concat(id, 'o')))), '"}}],"page":{{"url":"',
    'https://www.example.cn', page_path, '?utm=', toString(occurred_at % 997), '","path":"', page_path, '","title":"',
    page_title, '","referrer":"https://www.example.cn/"}}',
    if(campaign_source = '', '', concat(',"campaign":{{"source":"', campaign_source, '"}}')),
    ',"device":{{"kind":"mobile","os":"iOS","os_version":"18.1","browser":"MicroMessenger","model":"iPhone 15"}}',
    ',"locale":"zh-CN","ip_city":"', ip_city, '"}}')
FROM typed_events WHERE cityHash64(id) % {PIECES} = {piece}"""
    for piece in range(PIECES)
]

# One set in a hundred passed from one person to another.
_OWNERS = f"""
INSERT INTO owners (set, version, person, starts, persons, kinds)
SELECT {_SET.format("n")}, 1, {_PERSON.format(_OWNER)} AS person,
    if(n % 100 = 7, [{BEGINNING}, {NOW} - toInt64(cityHash64(n) % ({DAYS} * 86400000))], []),
    if(n % 100 = 7, [{_PERSON.format(f"(n + 1) % {PERSONS}")}, person], []),
    arrayFilter(kind -> kind != '', [if(n % 3 = 0, 'wx_openid', ''), if(n % 7 = 0, 'phone', ''), 'device_id'])
FROM (SELECT number AS n FROM numbers({SETS}))"""

_OWNED = """
INSERT INTO owned (person, set, version)
SELECT arrayJoin(if(empty(starts), [person], persons)), set, version FROM owners"""

_TRAITS = f"""
INSERT INTO traits (set, occurred_at, event, `order`, operation, name, value, source, received_at)
SELECT {_SET.format("n")}, {NOW} - toInt64(cityHash64('at', n) % ({DAYS} * 86400000)) AS at,
    lower(hex(MD5(toString(n)))), trait.1, 'set', trait.2, trait.3, 'site', at
FROM
(
    SELECT number AS n, arrayJoin([
        (0, if({_DICE.format(20)} % 10 < 6, 'city', ''), concat('"', {_pick(CITIES, 21)}, '"')),
        (1, if({_DICE.format(22)} % 10 < 3, 'level', ''), concat('"', {_pick(("A", "B", "C"), 23)}, '"')),
        (2, if({_DICE.format(24)} % 10 < 2, 'delivered_at', ''),
            toJSONString(toString(toDate(intDiv({NOW}, 1000) - {_DICE.format(25)} % (400 * 86400), 'UTC'))))]) AS trait
    FROM numbers({PERSONS})
)
WHERE trait.2 != ''"""

_LEADS = f"""
INSERT INTO leads (id, version, subject, created_at, fields)
SELECT concat('ld_', lower(hex(MD5(concat('lead', toString(number)))))), 1,
    {_SET.format(f"{_DICE.format(30)} % {PERSONS}")}, {NOW} - toInt64({_DICE.format(31)} % ({DAYS} * 86400000)),
    concat('{{"source":"form","owner":"adviser-', toString({_DICE.format(32)} % 40),
        '","channel":"', {_pick(CHANNELS, 33)},
        '","stage":"', {_pick(("新建", "跟进中", "战败", "长期未转化"), 34)}, '","interest":{{"series":"s',
        toString({_DICE.format(35)} % 6), '"}},"contact":{{"phone":true}}}}')
FROM numbers({LEADS})"""


def open_made(events: int) -> ClickHouseEvents:
    """The store with so many events, made unless an earlier run left it."""
    texts = [text.replace("{events}", str(events)) for text in _TEXTS]
    made_by = "".join([*texts, _MERGED, SCHEMA.read_text(encoding="utf-8")])
    folder = KEPT / f"segments-{hashlib.sha256(made_by.encode()).hexdigest()[:12]}-{events}"
    made = folder / "made"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    store = ClickHouseEvents(f"chdb:///{folder / 'events'}")
    if not made.exists():
        for text in texts:
            store._background.command(text, settings=MAKING)
        for table in ("typed_events", "owners", "owned", "traits", "leads"):
            store._background.command(f"OPTIMIZE TABLE {table} FINAL", settings=MAKING)
        # As a store is in which events go on coming: a month that has ended is one part, the present one some.
        months = [month for (month,) in store.ask("SELECT DISTINCT _partition_id FROM events ORDER BY 1", {})]
        for month in months[:-1]:
            store._background.command(_MERGED.format(month), settings=MAKING)
        made.touch()
    store._background.command("SYSTEM STOP MERGES")
    return store


_MERGED = "OPTIMIZE TABLE events PARTITION ID '{}' FINAL"
_TEXTS = (_EVENTS, *_ENVELOPES, _OWNERS, _OWNED, _TRAITS, _LEADS)
