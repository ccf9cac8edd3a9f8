"""What callers type: times and identifiers, checked before anything is opened."""

from __future__ import annotations

from typing import NamedTuple

import typer


def parse_time(text: str) -> str:
    """A time as the API takes it. Raises typer.BadParameter."""
    from cdp.moments import parse_rfc3339

    try:
        parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"a time with a zone such as 2026-11-22T03:10:39Z, not {text!r}") from None
    return text


class KindAndValue(NamedTuple):
    kind: str
    value: str


def parse_identifier(text: str) -> KindAndValue:
    """KIND:VALUE, split at the first colon. Raises typer.BadParameter, whose text does not repeat the value."""
    kind, colon, value = text.partition(":")
    if not (kind and colon and value.strip()):
        raise typer.BadParameter("an identifier is KIND:VALUE, such as phone:+8613812345678")
    return KindAndValue(kind, value)
