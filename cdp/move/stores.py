"""The four stores, by name."""

from __future__ import annotations

from enum import StrEnum


class Store(StrEnum):
    LOG = "log"
    GRAPH = "graph"
    EVENTS = "events"
    RECORDS = "records"
