"""All measurements, one after the other: `make bench`. Takes an hour and a half; nothing else should run meanwhile.

Each part can be run alone, as `python -m bench.intake`; so can `bench.events` and `bench.log`.
"""

from __future__ import annotations

import subprocess
import sys

PARTS = (
    "bench.identity_stream",
    "bench.match",
    "bench.identity",
    "bench.intake",
    "bench.dialects",
    "bench.fuzz",
    "bench.journey",
    "bench.segments",
    "bench.segments_live",
)

for part in PARTS:
    print(f"\n== {part}", flush=True)
    # A process each: the engine of the event store opens one folder in the life of a process.
    subprocess.run([sys.executable, "-m", part], check=True)
