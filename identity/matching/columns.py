"""What the columns of a file mean: the Columns TOML, and the types that it may name.

A type stands for a normaliser (`normalise`), a comparator (`compare`) and blocking keys (`blocking`). There is one
default for each and nothing to set per file, so that a result can be reproduced from the file and this mapping.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cdp.errors import ConfigurationError


class ColumnType(StrEnum):
    """The meaning of a column."""

    GIVEN_NAME = "given_name"
    SURNAME = "surname"
    FULL_NAME = "full_name"
    NAME_ZH = "name_zh"
    DATE = "date"
    PHONE = "phone"
    EMAIL = "email"
    POSTCODE = "postcode"
    ADDRESS = "address"
    PLACE = "place"
    CATEGORY = "category"
    ID_NUMBER = "id_number"
    VIN = "vin"
    PLATE = "plate"
    TEXT = "text"


PERSONAL = frozenset(
    (
        ColumnType.GIVEN_NAME,
        ColumnType.FULL_NAME,
        ColumnType.NAME_ZH,
        ColumnType.DATE,
        ColumnType.EMAIL,
        ColumnType.ID_NUMBER,
    )
)
"""Types in which relatives agree no more than strangers do. They may share a surname, a home, a phone and a car."""


class Mode(StrEnum):
    DEDUPE = "dedupe"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is the id, which the source, and what the others mean, in the order in which they were named.

    In mode `link` only records of different sources are compared; in mode `dedupe` a source is not looked at.
    """

    id: str
    types: Mapping[str, ColumnType]
    source: str | None = None
    mode: Mode = Mode.DEDUPE

    @property
    def names(self) -> list[str]:
        """Every column that a file must have."""
        return [self.id, *([self.source] if self.source else []), *self.types]


def read_columns(text: str) -> Columns:
    """Read the TOML. Raises ConfigurationError, which says what is wrong and what is allowed."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # ValueError is wider than TOMLDecodeError: numbers of thousands of digits raise it too.
        raise ConfigurationError("--columns", came=f"no TOML ({error})", allowed="a TOML file") from None
    unknown = sorted(set(table) - {"id", "source", "mode", "columns"})
    if unknown:
        raise ConfigurationError(f"--columns: {unknown[0]!r}", came="set", allowed="id, source, mode and [columns]")
    columns = Columns(
        id=_name(table, "id"),
        types=_types(table.get("columns")),
        source=_name(table, "source") if "source" in table else None,
        mode=_mode(table.get("mode", Mode.DEDUPE)),
    )
    doubled = sorted({columns.id, columns.source or columns.id} & set(columns.types))
    if doubled or columns.id == columns.source:
        name = doubled[0] if doubled else columns.id
        raise ConfigurationError(f"--columns: {name!r}", came="used twice", allowed="one use per column")
    return columns


def _name(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"--columns: {key}", came=repr(value), allowed="the name of a column")
    return value.strip()


def _mode(value: Any) -> Mode:
    if not isinstance(value, str) or value not in set(Mode):
        raise ConfigurationError("--columns: mode", came=repr(value), allowed='"dedupe" or "link"')
    return Mode(value)


def _types(table: Any) -> dict[str, ColumnType]:
    if not isinstance(table, dict) or not table:
        raise ConfigurationError(
            "--columns: [columns]", came="empty or no table", allowed='lines such as name = "surname"'
        )
    types = {}
    for name, kind in table.items():
        if not isinstance(kind, str) or kind not in set(ColumnType):
            raise ConfigurationError(f"--columns: {name}", came=repr(kind), allowed=", ".join(ColumnType))
        types[name.strip()] = ColumnType(kind)
    return types
