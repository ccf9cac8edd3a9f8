"""What a change of who is who means for everything else, where it did not come with a batch of events."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from cdp.errors import Retryable
from cdp.model import SetId
from cdp.moments import now_ms
from cdp.records import writing
from cdp.wiring import System

log = structlog.get_logger()


def regrouped(system: System, sets: Collection[SetId]) -> None:
    """These sets are now another person's: profiles are read anew, recent leads learn what they missed, and whoever
    follows persons is told.

    The graph has it already, and so it never fails: what a store that is away could not take is done with the next
    batch, or after a restart.
    """
    system.profiles.touch(sets)
    try:
        found = system.leads.additions_for([], sets, at=now_ms())
        if found.additions:
            with writing(system.records) as connection:
                system.leads.write(connection, [], found)
        system.leads.written([], found)
    except Retryable as error:
        log.warning("leads_wait", reason=str(error))
    system.outbox.tell()
