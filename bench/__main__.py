"""All measurements, one after the other: `make bench`. Takes about 25 minutes; nothing else should run meanwhile.

Parts that can be run alone: `python -m bench.intake`, `bench.journey`, `bench.events`, `bench.log`.
"""

from __future__ import annotations

import subprocess
import sys

PARTS = ("bench.intake", "bench.journey")

for part in PARTS:
    print(f"\n== {part}", flush=True)
    # A process each: the engine of the event store opens one folder in the life of a process.
    subprocess.run([sys.executable, "-m", part], check=True)
