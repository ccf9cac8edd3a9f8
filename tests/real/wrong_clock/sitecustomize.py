"""Python loads this at its start where this folder is in PYTHONPATH: the clock of the machine is then so many seconds
wrong for all Python code. Clocks that only count on, and libraries in C, keep the right time."""

import os
import time

OFF_S = int(os.environ["WRONG_CLOCK_S"])
_time, _time_ns = time.time, time.time_ns

time.time = lambda: _time() + OFF_S
time.time_ns = lambda: _time_ns() + OFF_S * 1_000_000_000
