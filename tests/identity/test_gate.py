from __future__ import annotations

import threading
import time

import pytest

from cdp.errors import GateClosed
from identity.gate import Gate


def test_many_pass_together() -> None:
    gate, inside = Gate(), threading.Barrier(3)

    def enter() -> None:
        with gate.together():
            inside.wait(5)

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    with gate.together():
        inside.wait(5)
    for thread in threads:
        thread.join(5)
    assert not inside.broken


def test_whoever_is_alone_meets_nobody_and_is_not_kept_out() -> None:
    gate, ended, met, inside = Gate(), threading.Event(), [], []

    def read() -> None:
        while not ended.is_set():
            with gate.together():
                inside.append(1)
                time.sleep(0.001)
                inside.pop()

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(50):
            with gate.alone():
                met.append(len(inside))
    finally:
        ended.set()
    for reader in readers:
        reader.join(5)
    assert met == [0] * 50


def test_what_is_done_in_turn_is_done_by_one_at_a_time_also_together_with_others() -> None:
    gate, inside, met = Gate(), [], []

    def decide() -> None:
        for _ in range(20):
            with gate.together(), gate.turn("decide"), gate.turn("other"):
                inside.append(1)
                time.sleep(0.001)
                met.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=decide) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert met == [1] * 80


def test_whoever_waits_for_so_long_only_is_turned_away_and_enters_later() -> None:
    gate, turned_away = Gate(), []

    def enter() -> None:
        with pytest.raises(GateClosed), gate.together(within_s=0.01):
            raise AssertionError("inside")
        turned_away.append(1)

    thread = threading.Thread(target=enter)
    with gate.alone():
        thread.start()
        thread.join(30)
    assert turned_away == [1]
    with gate.together(within_s=0.01), gate.together(within_s=0.01):
        pass
