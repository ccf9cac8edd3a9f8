"""A named pipe in a folder that says to a process of the same machine: look, something is new."""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress
from pathlib import Path

PIPE_BYTES = 65_536


class Doorbell:
    """Never blocks who rings.

    Both ends open it for reading and writing, so that no end has to be there first; a ring stays in the pipe
    until somebody waits. A full pipe already says all there is to say.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "wake"
        with suppress(FileExistsError):
            os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._open = True
        self._using = threading.Lock()
        self._waiting = threading.Lock()

    def ring(self) -> None:
        with self._using, suppress(BlockingIOError):
            if self._open:
                os.write(self._fd, b"\0")

    def wait(self, timeout_s: float) -> None:
        """Until it rings, or has rung since the last wait.

        It is silenced before the caller looks at the log and rung after a commit, so no record is missed: either
        the caller sees it, or the next wait returns at once.
        """
        if not self._waiting.acquire(timeout=timeout_s):
            return
        try:
            if not self._open:
                return
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            if poll.poll(timeout_s * 1000):
                with suppress(BlockingIOError):
                    os.read(self._fd, PIPE_BYTES)
        finally:
            self._waiting.release()

    def close(self) -> None:
        """Whoever waits returns first: a closed number may be another file the moment after."""
        self.ring()
        with self._using:
            was_open, self._open = self._open, False
        if was_open:
            with self._waiting:
                os.close(self._fd)
