"""A process with the role identity: `python -m tests.servers.identity_process SECONDS`, by so much off its clock is."""

from __future__ import annotations

import sys
import time

from cdp.identity_role import run_identity
from cdp.logs import configure_logs
from cdp.settings import load_settings


def main() -> None:
    off_s, right, right_ns = int(sys.argv[1]), time.time, time.time_ns
    time.time = lambda: right() + off_s
    time.time_ns = lambda: right_ns() + off_s * 10**9
    configure_logs("info")
    run_identity(load_settings())


if __name__ == "__main__":
    main()
