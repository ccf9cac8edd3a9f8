"""What has been seen so far: names of events, their properties, and attributes, with types and a few values.

Reading all of it takes seconds where there are millions of events; so it is read once, and then what came since.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from cdp.model import Millis
from cdp.moments import now_ms
from profiles.store import EventStore
from segments.known import Known, Seen
from segments.personal import has_marker, may_be_told
from segments.sql_values import Params, quoted

FRESH_S = 5.0
BEHIND_MS = 600_000
"""So much earlier an event may have been received than others that were stored before it; what comes later still, such
as a file's, is read with everything."""
ALL_AGAIN_S = 3_600.0
VALUES = 50
"""Texts of one property; of more, none is a list to choose from."""
PATHS = 200
"""Properties of one event whose values are looked at."""

_TYPES = {"String": "string", "Int64": "number", "UInt64": "number", "Float64": "number", "Double": "number"}
_TYPES |= {"Bool": "boolean", "Array": "list", "Object": "object"}
LEAD_FIELDS = ("source", "channel", "stage", "status", "owner")
"""Attributes that every lead may have."""


@dataclass(slots=True)
class _Values:
    """Of one property: types, and texts, of which there may be more than are kept, and personal ones that are not."""

    types: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    told: bool = True
    count: int = 0

    def add(self, name: str, types: Iterable[str], texts: Collection[str], count: int) -> None:
        self.types.update(_TYPES.get(each.partition("(")[0], "object") for each in types)
        self.count = max(self.count, count)
        self.told = self.told and may_be_told(name) and not any(map(has_marker, texts))
        if not self.told:
            self.texts.clear()
        elif len(self.texts) <= VALUES:
            self.texts.update(texts)

    def seen(self) -> Seen:
        complete = self.told and len(self.texts) <= VALUES
        return Seen(frozenset(self.types), frozenset(self.texts), complete, self.count)


class Catalogue:
    """Thread-safe."""

    def __init__(self, events: EventStore) -> None:
        self._store = events
        self._lock = Lock()
        self._read_at = self._all_read_at = -ALL_AGAIN_S
        self._since: Millis = 0
        self._events: dict[str, dict[str, _Values]] = {}
        self._attributes: dict[str, _Values] = {}
        self._leads: dict[str, _Values] = {}

    def known(self, *, fresh: bool = False) -> Known:
        """Not older than a few seconds, or than this call. Raises StoreUnavailable."""
        with self._lock:
            began = time.monotonic()
            if fresh or began - self._read_at > FRESH_S:
                if began - self._all_read_at > ALL_AGAIN_S:
                    self._since, self._events, self._attributes, self._leads = 0, {}, {}, {}
                later = now_ms() - BEHIND_MS
                self._read_events(self._since)
                self._read_attributes(self._since)
                self._read_leads()
                # Only what was read to the end need not be read again.
                self._all_read_at = began if self._since == 0 else self._all_read_at
                self._since, self._read_at = later, time.monotonic()
            return Known(
                attributes={name: each.seen() for name, each in self._attributes.items()},
                of_leads={name: each.seen() for name, each in self._leads.items()},
                events={
                    name: {path: each.seen() for path, each in properties.items()}
                    for name, properties in self._events.items()
                },
            )

    def _read_events(self, since: Millis) -> None:
        rows = self._store.ask(
            "SELECT name, count(), distinctJSONPathsAndTypes(properties) FROM typed_events"
            " WHERE received_at >= {since:Int64} GROUP BY name",
            {"since": since},
        )
        for name, count, paths in rows:
            if has_marker(name):
                continue
            properties = self._events.setdefault(name, {})
            texts = self._texts(name, [path for path in paths if "String" in paths[path]][:PATHS], since)
            for path, types in ((path, types) for path, types in paths.items() if not has_marker(path)):
                properties.setdefault(path, _Values()).add(path, types, texts.get(path, ()), count)

    def _texts(self, name: str, paths: list[str], since: Millis) -> Mapping[str, list[str]]:
        if not paths:
            return {}
        values = ", ".join(f"groupUniqArray({VALUES + 1})(properties.{quoted(path)}.:String)" for path in paths)
        params = Params()
        where = f"name = {params.bind(name, 'String')} AND received_at >= {params.bind(since, 'Int64')}"
        [row] = self._store.ask(f"SELECT {values} FROM typed_events WHERE {where}", params.values)
        return dict(zip(paths, row, strict=True))

    def _read_attributes(self, since: Millis) -> None:
        rows = self._store.ask(
            "SELECT name, count(), groupUniqArray(JSONType(value)),"
            f" groupUniqArrayIf({VALUES + 1})(JSONExtractString(value), JSONType(value) = 'String') FROM traits"
            " WHERE name != '' AND operation NOT IN ('unset', 'delete') AND received_at >= {since:Int64} GROUP BY name",
            {"since": since},
        )
        for name, count, types, texts in rows:
            if not has_marker(name):
                self._attributes.setdefault(name, _Values()).add(name, types, texts, count)

    def _read_leads(self) -> None:
        for name in LEAD_FIELDS:
            self._leads.setdefault(name, _Values()).add(name, ["String"], (), 0)
        [[count, paths]] = self._store.ask("SELECT count(), distinctJSONPathsAndTypes(fields) FROM leads", {})
        for path, types in paths.items():
            [[texts]] = self._store.ask(
                f"SELECT groupUniqArray({VALUES + 1})(fields.{quoted(path)}.:String) FROM leads FINAL", {}
            )
            for name in (path, "status") if path == "stage" else (path,):
                self._leads.setdefault(name, _Values()).add(name, types, texts, count)
