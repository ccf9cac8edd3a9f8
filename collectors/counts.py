"""What a collector counts, for Prometheus. Plain dictionaries, because a labelled counter costs 2 µs per hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cdp.log import Spooled


class Counts(Collector):
    """`collector` labels all of it, since each collector process answers /metrics for itself."""

    def __init__(self, collector: str, spooled: Callable[[], Spooled]) -> None:
        self._collector = collector
        self._spooled = spooled
        self.kept: Counter[tuple[str, str, str]] = Counter()
        """Durable hits by source, dialect and state: readable, unreadable."""
        self.refused: Counter[tuple[str, str]] = Counter()
        """Requests to a dialect that left nothing in the log, by dialect and code."""

    def collect(self) -> Iterator[Metric]:
        kept = CounterMetricFamily(
            "xunji_collector_hits", "Hits made durable.", labels=["collector", "source", "dialect", "state"]
        )
        for (source, dialect, state), count in self.kept.items():
            kept.add_metric([self._collector, source, dialect, state], count)
        refused = CounterMetricFamily(
            "xunji_collector_refused", "Requests refused, not in the log.", labels=["collector", "dialect", "code"]
        )
        for (dialect, code), count in self.refused.items():
            refused.add_metric([self._collector, dialect, code], count)
        yield from (kept, refused, *self._spool())

    def _spool(self) -> Iterator[Metric]:
        hits, size = self._spooled()
        for name, about, value in (
            ("xunji_spooled_hits", "Hits on this machine's disk that the brokers do not have yet.", hits),
            ("xunji_spooled_bytes", "Bytes of these hits.", size),
        ):
            gauge = GaugeMetricFamily(name, about, labels=["collector"])
            gauge.add_metric([self._collector], value)
            yield gauge
