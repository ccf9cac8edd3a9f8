"""All measurements on real servers, one after the other: `make bench-real`. Takes about 20 minutes; nothing else
should run meanwhile, for servers, roles and the generator of load share the machine's cores.

Each part can be run alone, as `python -m bench.real_trail`.
"""

from __future__ import annotations

import subprocess
import sys

PARTS = (
    ("bench.intake", "--kafka"),
    ("bench.real_trail", "--profile"),
    ("bench.real_standby",),
    ("bench.real_reads",),
    ("bench.capacity",),
)

for part in PARTS:
    print(f"\n== {' '.join(part)}", flush=True)
    subprocess.run([sys.executable, "-m", *part], check=True)
