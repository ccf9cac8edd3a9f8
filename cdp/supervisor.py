"""The parent of `cdp serve`: starts the collectors and the app, restarts what dies, and stops all of them cleanly.

Children stay in the supervisor's process group. Each holds the reading end of a pipe whose writing end only the
supervisor has: when the supervisor dies, however that happens, the pipe closes and the child ends itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

import structlog

log = structlog.get_logger()

WRONG_CALL = 2
"""The exit code of a child whose settings are wrong: another start would end the same way."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
HEALTHY_S = 30.0
"""A child that lived this long is restarted at once when it dies."""
STOP_S = 20.0
"""How long children may take to end what is in flight before they are killed."""
SUPERVISED = "XUNJI_SUPERVISED"


@dataclass
class Child:
    """One process that should run. `command` is what follows `cdp`."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    due: float = field(default=0.0)

    def start(self) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cdp", *self.command],
            stdin=subprocess.PIPE,
            env=os.environ | {SUPERVISED: "1"},
        )
        log.info("child_started", child=self.name, pid=self.process.pid)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        if self.process is not None and self.alive():
            self.process.send_signal(number)


class Supervisor:
    """Runs children until a SIGTERM or SIGINT comes; `run` returns the exit code for the whole."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = list(children)
        self._stop = threading.Event()

    def run(self, once_started: Callable[[], None] = lambda: None) -> int:
        """Start all, call `once_started`, watch, and stop in order: collectors first, so that nothing comes in any
        more, then the app, which ends its batch."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        for child in self._children:
            child.start()
        threading.Thread(target=once_started, name="once-started", daemon=True).start()
        code = self._watch()
        self._end()
        return code

    def stop(self) -> None:
        self._stop.set()

    def _asked_to_stop(self, number: int, _frame: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        self._stop.set()

    def _watch(self) -> int:
        while not self._stop.wait(0.1):
            for child in self._children:
                if child.alive():
                    continue
                code = child.process.returncode if child.process else 0
                if code == WRONG_CALL:
                    return WRONG_CALL
                self._restart(child, code)
        return 0

    def _restart(self, child: Child, code: int) -> None:
        now = time.monotonic()
        if not child.due:
            child.pause_s = FIRST_PAUSE_S if now - child.started > HEALTHY_S else child.pause_s
            child.due = now + child.pause_s
            child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)
            log.error("child_died", child=child.name, exit_code=code, restarts_in_s=round(child.due - now, 1))
        elif now >= child.due:
            child.due = 0.0
            child.start()

    def _end(self) -> None:
        deadline = time.monotonic() + STOP_S
        collectors = [child for child in self._children if child.name.startswith("collector")]
        for group in (collectors, [child for child in self._children if child not in collectors]):
            for child in group:
                child.signal(signal.SIGTERM)
            for child in group:
                self._wait(child, deadline)

    def _wait(self, child: Child, deadline: float) -> None:
        if child.process is None:
            return
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("child_killed", child=child.name, waited_s=STOP_S)
            child.process.kill()
            child.process.wait()


def stop_on_signal(stop: asyncio.Event) -> None:
    """In a child's event loop: set `stop` at SIGTERM, at SIGINT, and when the supervisor is gone."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)

    def stop_soon() -> None:
        loop.call_soon_threadsafe(stop.set)

    end_with_supervisor(stop_soon)


def stop_event() -> threading.Event:
    """In a child without an event loop: an event that SIGTERM, SIGINT and the end of the supervisor set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    end_with_supervisor(stop.set)
    return stop


def end_with_supervisor(stop: Callable[[], None]) -> None:
    """In a child: call `stop` when the supervisor is gone, and leave Ctrl-C, which the terminal sends to the whole
    group, to the supervisor. Does nothing in a process that has no supervisor."""
    if SUPERVISED not in os.environ:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch_pipe, args=(stop,), name="supervisor-watch", daemon=True).start()


def _watch_pipe(stop: Callable[[], None]) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    stop()
    time.sleep(STOP_S)
    # Whatever is stuck must not hold the ports and files that the next start needs.
    os._exit(1)
