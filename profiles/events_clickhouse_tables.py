"""Where the event store's tables lie in ClickHouse, and how they are made.

A store on one engine makes its own (`events.sql`). On a cluster whoever runs it makes them: replicated, or as tables of
the same names that are spread over the shards (`Distributed`). Rows are written and read through these names all the
same; what changes or drops parts is told to the tables beneath, on all servers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from profiles.events_clickhouse_client import Client, do_if_allowed

log = structlog.get_logger()

TEXTS = {"events": "envelope", "traits": "value"}
"""The tables of what is known of persons, and the column that holds what was written."""

DERIVED = ("owners", "owned", "leads")
"""The tables that follow from other stores: a move leaves them behind, and `profiles.owners` and
`segments.lead_rows` fill them again."""

TOKENS_KEPT = 10_000
"""Blocks whose tokens the engine remembers: what is written twice at once is dropped by them."""

DURABLE = {
    "non_replicated_deduplication_window": TOKENS_KEPT,
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    # Merged parts replace synced ones at once, so they are synced too.
    "min_rows_to_fsync_after_merge": 1,
    "min_compressed_bytes_to_fsync_after_merge": 1,
    # Small batches make many parts; rather slow than refused.
    "parts_to_delay_insert": 3_000,
    "parts_to_throw_insert": 100_000,
    "merge_selecting_sleep_ms": 500,
    "max_merge_selecting_sleep_ms": 5_000,
    # A set is looked for in each part. A month in which nothing is written any more becomes one of them.
    "min_age_to_force_merge_seconds": 86_400,
    "min_age_to_force_merge_on_partition_only": 1,
    "enable_max_bytes_limit_for_min_age_to_force_merge": 1,
    # How often rewritten parts are looked for, in seconds: an erasure waits until they are deleted.
    "cleanup_delay_period": 1,
    "max_cleanup_delay_period": 5,
    "cleanup_delay_period_random_add": 0,
}
LEAN = {
    "auto_statistics_types": "''",
    "string_serialization_version": "'single_stream'",
    "compress_per_column_in_compact_parts": 0,
    "write_marks_for_substreams_in_compact_parts": 0,
    "compress_marks": 0,
    "compress_primary_key": 0,
    "ratio_of_defaults_for_sparse_serialization": 1,
}
"""What a part costs beside its rows: a batch of 20 takes a third less with these. Older servers lack some of them."""
PROMPT = {"max_cleanup_delay_period": 1}
"""An erasure waits for each look. Here one costs a tenth of a millisecond, on a cluster a question to Keeper."""

SCHEMA = Path(__file__).parent / "events.sql"

_OF_ONE_ENGINE = ("MergeTree", "ReplacingMergeTree")
_SETTING = re.compile(r"(?:SETTINGS|,) (\w+) = ('[^']*'|\w+)(?=,|$)", re.MULTILINE)
_SPREAD = re.compile(r"Distributed\('(?P<cluster>[^']+)', '(?P<database>[^']*)', '(?P<table>[^']+)'")


class _Table(NamedTuple):
    name: str
    database: str
    engine: str
    engine_full: str


_tables = msgspec.json.Decoder(_Table)


@dataclass(frozen=True, slots=True)
class Place:
    """The table that holds the rows; `cluster` is where it is spread over servers.

    `syncs_tokens` is false where tokens of blocks may be lost with the power, as those of one engine are: it syncs rows
    and not the list of tokens. Replicas keep theirs in Keeper.
    """

    database: str
    table: str
    cluster: str
    syncs_tokens: bool

    @property
    def name(self) -> str:
        return f"`{self.database}`.`{self.table}`"

    @property
    def altered(self) -> str:
        """As ALTER TABLE names it."""
        return f"{self.name} ON CLUSTER '{self.cluster}'" if self.cluster else self.name

    @property
    def parts(self) -> str:
        """The list of all its parts, as FROM takes it."""
        listed = f"clusterAllReplicas('{self.cluster}', system.parts)" if self.cluster else "system.parts"
        return f"{listed} WHERE database = '{self.database}' AND table = '{self.table}'"


def make_tables(client: Client, *, embedded: bool) -> dict[str, Place]:
    """Make the tables that are missing, which several processes may do at once, and say where all of them lie."""
    statements = _statements(embedded=embedded)
    # Who may not create tables can use those that are there.
    for name in statements.keys() - _there(client).keys():
        client.command(statements[name])
    there = _there(client)
    return {name: _place(there[name]) for name in statements}


def add_settings(client: Client, *, embedded: bool) -> None:
    """Give tables of one engine the settings that came since they were made. What was set of a table stays."""
    there = _there(client)
    for name, statement in _statements(embedded=embedded).items():
        made = there[name]
        lacks = [
            f"{each} = {value}" for each, value in _SETTING.findall(statement) if f" {each} = " not in made.engine_full
        ]
        if not lacks or made.engine not in _OF_ONE_ENGINE:
            continue
        if not do_if_allowed(client, f"ALTER TABLE {name} MODIFY SETTING {', '.join(lacks)}"):
            # All works without, only slower.
            log.warning("settings_not_added", table=name, settings=lacks)


def _statements(*, embedded: bool) -> dict[str, str]:
    settings = DURABLE | LEAN | PROMPT if embedded else DURABLE
    listed = ", ".join(f"{name} = {value}" for name, value in settings.items())
    text = SCHEMA.read_text(encoding="utf-8").replace("{settings}", listed)
    made = (re.search(r"CREATE TABLE IF NOT EXISTS (\w+).*", part, re.DOTALL) for part in text.split(";\n"))
    return {each[1]: each[0] for each in made if each}


def _there(client: Client) -> dict[str, _Table]:
    asked = "SELECT name, database, engine, engine_full FROM system.tables WHERE database = currentDatabase()"
    return {table.name: table for table in _tables.decode_lines(client.raw_query(asked, fmt="JSONCompactEachRow"))}


def _place(table: _Table) -> Place:
    spread = _SPREAD.match(table.engine_full)
    if spread is None:
        return Place(table.database, table.name, "", table.engine.startswith("Replicated"))
    return Place(spread["database"] or table.database, spread["table"], spread["cluster"], True)
