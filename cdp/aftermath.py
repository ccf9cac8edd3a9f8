"""What a change of who is who means for everything else, where it did not come with a batch of events."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from cdp.errors import Retryable
from cdp.model import SetId
from cdp.outbox import Outbox
from leads.capture import LeadDesk
from profiles.profile import ProfileReader

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Whoever calls it is in the system's `gate`, together with others who take evidence in."""

    profiles: ProfileReader
    leads: LeadDesk
    outbox: Outbox

    def regrouped(self, sets: Collection[SetId]) -> None:
        """These sets are now another person's: profiles are read anew, recent leads learn what they missed, and
        whoever follows persons is told.

        The graph has it already, and so it never fails: what a store that is away could not take is done with the
        next batch, or after a restart.
        """
        self.profiles.touch(sets)
        try:
            self.leads.catch_up(sets)
        except Retryable as error:
            log.warning("leads_wait", reason=str(error))
        self.outbox.tell()
