"""The worker rests between batches, but not while somebody waits for it."""

from __future__ import annotations

import threading

import pytest

from cdp.progress import Progress

LONG_S = 60.0
"""Longer than a test waits."""
PATIENCE_S = 10.0


@pytest.mark.parametrize("first", ["the worker rests", "somebody waits"])
def test_the_worker_does_not_rest_while_somebody_waits(first: str) -> None:
    progress = Progress()
    answers: list[bool] = []
    rest = threading.Thread(target=progress.pause, args=(LONG_S,), daemon=True)
    wait = threading.Thread(target=lambda: answers.append(progress.wait_for({0: 1}, LONG_S)), daemon=True)
    for each in (rest, wait) if first == "the worker rests" else (wait, rest):
        each.start()
    rest.join(PATIENCE_S)
    assert not rest.is_alive()
    progress.reached(0, 1)
    wait.join(PATIENCE_S)
    assert answers == [True]


def test_who_has_waited_keeps_nobody_from_resting() -> None:
    progress = Progress()
    assert not progress.wait_for({0: 1}, 0.0)
    rest = threading.Thread(target=progress.pause, args=(LONG_S,), daemon=True)
    rest.start()
    rest.join(0.05)
    assert rest.is_alive()
