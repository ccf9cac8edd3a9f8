"""What the calls work with: the system, and the few things that only the API has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Annotated

from fastapi import Depends, Request

from api.auditing import Auditor
from api.keys import KeyBook, LiveKeys
from api.people import People
from api.showing import Showing
from cdp.wiring import System
from segments.desk import SegmentDesk


@dataclass(frozen=True, slots=True)
class Services:
    """Made once in `create_app`; `closing` is set when the server begins to end, for answers without an end.

    `whole_graph` is held by what goes through all evidence, one at a time, for it takes much memory, and `progress` are
    told how far that is.
    """

    system: System
    keybook: KeyBook
    keys: LiveKeys
    auditor: Auditor
    showing: Showing
    people: People
    closing: Event = field(default_factory=Event)
    whole_graph: Lock = field(default_factory=Lock)
    progress: list[Callable[[int], None]] = field(default_factory=list)

    @property
    def segments(self) -> SegmentDesk:
        return self.system.segments


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Use = Annotated[Services, Depends(_services)]
