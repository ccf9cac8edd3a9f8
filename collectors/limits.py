"""Hold each key to its rate, so that one noisy page does not starve the other sources."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

BURST_S = 1.0
"""How much of its allowance a key may use at once after a rest."""


class RateLimits:
    """A token bucket per key, kept as one number: the moment at which the bucket is full again (GCRA, the generic
    cell rate algorithm of ATM). Only keys with a rate are kept, and those are as few as the sources."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def wait_s(self, key: str, per_second: int, *, take: int = 1) -> int:
        """Take one hit's worth and return 0, or the whole seconds, at least 1, after which to come again.

        `take` is for rates of something else, such as bytes; more than `BURST_S` allows at once is never given.
        """
        now = self._clock()
        full_at = max(now, self._full_at.get(key, now)) + take / per_second
        over = full_at - now - BURST_S
        # Sums of 1 / per_second are inexact; without the slack the last hit of a full bucket could be refused.
        if over > 1e-9:
            return max(1, math.ceil(over))
        self._full_at[key] = full_at
        return 0
