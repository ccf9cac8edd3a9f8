"""What a process of ours may be: parts of one program, not services."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """`collector` takes hits, `worker` processes them, `identity` alone writes the graph, `api` answers people and
    programs, `scheduler` does what takes long or comes round."""

    COLLECTOR = "collector"
    WORKER = "worker"
    IDENTITY = "identity"
    API = "api"
    SCHEDULER = "scheduler"


APP = frozenset(Role) - {Role.COLLECTOR}
"""The roles of the one app process where stores are embedded in it."""
