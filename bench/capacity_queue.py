"""A simulation of workers that take batches through the stores they share, in queues, on figures that were measured.

Events come to each worker at an even rate with the scatter of chance. A worker takes what has come, up to the largest
batch, and goes through the steps one after the other; each step waits for its turn at the part that does it. So the
delay of events, the size of batches and who is busy come out, and not in.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OWN = "worker"
"""The part that each worker is for itself."""
IDLE_S = 0.01
"""Until an idle worker looks again."""
WARM = 0.25
"""The share of the time that is not counted."""


@dataclass(frozen=True, slots=True)
class Step:
    """Keeps a part busy for `ms` a batch and `us` for each event, or new observation, after `wait_ms` of nobody's."""

    name: str
    part: str
    per: str = "event"
    wait_ms: float = 0
    ms: float = 0
    us: float = 0

    def busy_s(self, events: float, observations: float) -> float:
        return self.ms / 1e3 + self.us / 1e6 * (observations if self.per == "observation" else events)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Delays from receipt to commit, of the oldest event of each batch, weighed by events; `busy` by part, 0 to 1.

    `behind_s` is the age of the oldest event that no worker has taken at the end: it grows where capacity is short.
    """

    p50_s: float
    p99_s: float
    batch: float
    behind_s: float
    busy: Mapping[str, float]

    @property
    def busiest(self) -> str:
        return max(self.busy, key=self.busy.__getitem__)


class _Part:
    """Serves in the order of arrival, as many at once as it has servers."""

    def __init__(self, servers: int) -> None:
        self._free_at = [0.0] * servers
        self.busy_s = 0.0

    def serve(self, at: float, busy_s: float) -> float:
        done = max(at, self._free_at[0]) + busy_s
        heapq.heapreplace(self._free_at, done)
        self.busy_s += busy_s
        return done


@dataclass(slots=True)
class _Batch:
    worker: int
    oldest: float
    events: int
    observations: float
    step: int = 0


def simulate(
    steps: Sequence[Step],
    servers: Mapping[str, int],
    *,
    rate: float,
    new: float,
    largest: int,
    seconds: float,
    seed: int = 1,
) -> Outcome:
    """`servers` says how many of each part there are, `rate` how many events come a second, and `new` how many new
    observations come with an event. The same seed gives the same outcome."""
    chance = random.Random(seed)
    own = servers[OWN]
    each = rate / own
    shared = {name: _Part(count) for name, count in servers.items() if name != OWN}
    own_busy_s = 0.0
    taken_until = [0.0] * own
    done: list[tuple[float, int]] = []
    # Workers begin at different moments, as they do in life.
    queue: list[tuple[float, int, _Batch]] = [
        (chance.random() * IDLE_S, worker, _Batch(worker, 0, 0, 0, len(steps))) for worker in range(own)
    ]
    heapq.heapify(queue)
    while queue[0][0] < seconds:
        now, worker, batch = heapq.heappop(queue)
        if batch.step < len(steps):
            step = steps[batch.step]
            batch.step += 1
            busy_s = step.busy_s(batch.events, batch.observations)
            if step.part == OWN:
                own_busy_s += busy_s
                after = now + busy_s
            else:
                after = shared[step.part].serve(now + step.wait_ms / 1e3, busy_s)
            heapq.heappush(queue, (after, worker, batch))
            continue
        if batch.events and now > seconds * WARM:
            done.append((now - batch.oldest, batch.events))
        since = taken_until[worker]
        events = _scattered(chance, each * (now - since))
        if not events:
            heapq.heappush(queue, (now + IDLE_S, worker, batch))
            continue
        if events > largest:
            events, taken_until[worker] = largest, since + largest / each
        else:
            taken_until[worker] = now
        heapq.heappush(queue, (now, worker, _Batch(worker, since, events, events * new)))
    busy = {name: part.busy_s / servers[name] / seconds for name, part in shared.items()}
    busy[OWN] = own_busy_s / own / seconds
    events = sum(count for _, count in done)
    return Outcome(
        p50_s=_quantile(done, events, 0.5),
        p99_s=_quantile(done, events, 0.99),
        batch=events / len(done) if done else 0,
        behind_s=seconds - min(taken_until),
        busy=busy,
    )


def _scattered(chance: random.Random, mean: float) -> int:
    return max(0, round(chance.gauss(mean, math.sqrt(mean)))) if mean > 0 else 0


def _quantile(delays: Sequence[tuple[float, int]], events: int, share: float) -> float:
    left = events * share
    for delay, count in sorted(delays):
        left -= count
        if left <= 0:
            return delay
    return math.inf
