"""Enters the gate of a database in a process of its own, says so, and stays until stdin ends.

python -m tests.servers.in_the_gate URL together|alone
"""

from __future__ import annotations

import sys

from cdp.records import open_engine
from cdp.shared_gate import open_gate

if __name__ == "__main__":
    _, url, how = sys.argv
    gate = open_gate(open_engine(url))
    with gate.alone() if how == "alone" else gate.together():
        print("inside", flush=True)
        sys.stdin.read()
    print("left", flush=True)
