"""Let the test do something to the collector in the middle of a story."""

import sys


def pause() -> None:
    """Say that the first half is told, and wait for a line; nothing where nobody asked for it."""
    if not sys.stdin.isatty() and sys.stdin.readable():
        print("half", flush=True)
        sys.stdin.readline()
