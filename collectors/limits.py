"""Hold each key, or each client of a form, to its rate, so that one noisy page does not starve the others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

BURST_S = 1.0
"""How much of its allowance a key may use at once after a rest, where nothing else is said."""
MAX_BUCKETS = 50_000
"""About 10 MB: addresses are many, and whoever has an IPv6 network has as many as he likes."""


class RateLimits:
    """A token bucket per key, kept as one number: the moment at which the bucket is full again (GCRA, the generic
    cell rate algorithm of ATM). Of more than `MAX_BUCKETS` the fullest are forgotten, which gives them one more burst.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def wait_s(self, key: str, per_second: float, *, take: int = 1, burst_s: float = BURST_S) -> int:
        """Take one hit's worth and return 0, or the whole seconds, at least 1, after which to come again.

        `take` is for rates of something else, such as bytes; more than `burst_s` allows at once is never given.
        """
        now = self._clock()
        full_at = max(now, self._full_at.get(key, now)) + take / per_second
        over = full_at - now - burst_s
        # Sums of 1 / per_second are inexact; without the slack the last hit of a full bucket could be refused.
        if over > 1e-9:
            return max(1, math.ceil(over))
        self._full_at[key] = full_at
        if len(self._full_at) > MAX_BUCKETS:
            emptiest = sorted(self._full_at.items(), key=lambda bucket: bucket[1])[MAX_BUCKETS // 2 :]
            self._full_at = dict(emptiest)
        return 0
