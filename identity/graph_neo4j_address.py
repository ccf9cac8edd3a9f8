"""Where a graph in Neo4j is: what its URL says, and whether what answers there will do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from cdp.errors import ConfigurationError

SETTING = "XUNJI_GRAPH_URL"
FORM = "neo4j://user:password@host:7687/database (bolt:// for a single server, neo4j+s:// and bolt+s:// over TLS)"
SCHEMES = frozenset({"neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc"})
OLDEST = (5, 7)
"""The first version of Neo4j in which an edge can be unique."""


@dataclass(frozen=True, slots=True)
class Address:
    """What the driver is told; `uri` has no password in it."""

    uri: str
    auth: tuple[str, str] | None = field(repr=False)
    database: str | None


def address_of(url: str) -> Address:
    """The parts of the URL. Raises ConfigurationError where it is of another form, without repeating it."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in SCHEMES and parts.hostname is not None and parts.port != 0
    except ValueError:
        whole = False
    if not whole or "/" in parts.path.strip("/") or parts.fragment:
        raise ConfigurationError(SETTING, came="an address that Neo4j's driver does not understand", allowed=FORM)
    query = f"?{parts.query}" if parts.query else ""
    uri = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{query}"
    return Address(uri, _auth(parts), unquote(parts.path.strip("/")) or None)


def _auth(parts: SplitResult) -> tuple[str, str] | None:
    return (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def check_version(agent: str) -> None:
    """Of a server that names itself so. Raises ConfigurationError where it is too old, or none of Neo4j's."""
    named = re.fullmatch(r"Neo4j/(\d+)\.(\d+)[\w.+-]*", agent)
    if named is None or (int(named[1]), int(named[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ConfigurationError(SETTING, came=f"the address of {agent}", allowed=f"that of Neo4j {oldest} or later")
