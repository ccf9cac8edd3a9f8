"""What a collector counts, for Prometheus. Plain dictionaries, because a labelled counter costs 2 µs per hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class Counts(Collector):
    """`partition` labels all of it, since each collector process answers /metrics for itself."""

    def __init__(self, partition: int) -> None:
        self._partition = str(partition)
        self.kept: Counter[tuple[str, str, str]] = Counter()
        """Durable hits by source, dialect and state: readable, unreadable."""
        self.refused: Counter[tuple[str, str]] = Counter()
        """Requests to a dialect that left nothing in the log, by dialect and code."""

    def collect(self) -> Iterator[Metric]:
        kept = CounterMetricFamily(
            "xunji_collector_hits", "Hits made durable.", labels=["partition", "source", "dialect", "state"]
        )
        for (source, dialect, state), count in self.kept.items():
            kept.add_metric([self._partition, source, dialect, state], count)
        refused = CounterMetricFamily(
            "xunji_collector_refused", "Requests refused, not in the log.", labels=["partition", "dialect", "code"]
        )
        for (dialect, code), count in self.refused.items():
            refused.add_metric([self._partition, dialect, code], count)
        yield from (kept, refused)
