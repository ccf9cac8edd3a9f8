"""What processes that share their records on PostgreSQL do to each other: the gate, and what is remembered of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import psycopg
import pytest

from cdp.errors import GateClosed, GateLost, StoreUnavailable
from cdp.records import open_engine
from cdp.shared_gate import TOGETHER, SharedGate, open_gate
from identity.gate import Gate
from tests.real.servers import Postgres
from tests.servers.databases import Databases

WAIT_S = 30.0


class Other:
    """Another process that enters the gate."""

    def __init__(self, url: str, how: str) -> None:
        words = [sys.executable, "-m", "tests.servers.in_the_gate", url, how]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.inside, self.left = threading.Event(), threading.Event()
        self._listener = threading.Thread(target=self._listen, args=[self.process.stdout])
        self._listener.start()

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)
        self.leave()
        self._listener.join(WAIT_S)

    def _listen(self, said: IO[str]) -> None:
        with said:
            for line in said:
                (self.inside if line.strip() == "inside" else self.left).set()


@contextmanager
def other(url: str, how: str) -> Iterator[Other]:
    process = Other(url, how)
    try:
        yield process
    finally:
        process.end()


@pytest.fixture
def url(databases: Databases) -> str:
    return databases.empty()


@pytest.fixture
def gate(url: str) -> Iterator[Gate]:
    opened = open_gate(open_engine(url))
    yield opened
    opened.close()


def enter_aside(gate: Gate, entered: threading.Event, leave: threading.Event) -> threading.Thread:
    def enter() -> None:
        with gate.together():
            entered.set()
            leave.wait(WAIT_S)

    thread = threading.Thread(target=enter)
    thread.start()
    return thread


def until_waiting(url: str, number: int) -> None:
    """Until so many sessions wait for a lock."""
    wanted = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if connection.execute(wanted).fetchone() == (number,):
                return
            time.sleep(0.01)
    raise AssertionError(f"{number} sessions never waited")


def end_sessions(url: str) -> None:
    """As an administrator would, or a server that is started again."""
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(others + "current_database()")


def test_processes_are_together_in_the_gate(url: str, gate: Gate) -> None:
    with other(url, "together") as it, gate.together():
        assert it.inside.wait(WAIT_S)


def test_a_process_that_is_alone_keeps_others_out_until_it_leaves(url: str, gate: Gate) -> None:
    entered, leave = threading.Event(), threading.Event()
    with other(url, "alone") as it:
        assert it.inside.wait(WAIT_S)
        thread = enter_aside(gate, entered, leave)
        until_waiting(url, 1)
        assert not entered.is_set()
        it.leave()
        assert entered.wait(WAIT_S)
    leave.set()
    thread.join(WAIT_S)


def test_a_process_that_is_killed_while_it_is_alone_keeps_nobody_out(url: str, gate: Gate) -> None:
    with other(url, "alone") as it:
        assert it.inside.wait(WAIT_S)
        it.process.send_signal(signal.SIGKILL)
        with gate.together():
            assert it.process.wait(WAIT_S) == -signal.SIGKILL


def test_a_process_that_is_stopped_while_it_is_alone_keeps_others_out(url: str, gate: Gate) -> None:
    entered, leave = threading.Event(), threading.Event()
    with other(url, "alone") as it:
        assert it.inside.wait(WAIT_S)
        os.kill(it.process.pid, signal.SIGSTOP)
        thread = enter_aside(gate, entered, leave)
        until_waiting(url, 1)
        assert not entered.is_set()
        it.end()
        assert entered.wait(WAIT_S)
    leave.set()
    thread.join(WAIT_S)


@pytest.mark.parametrize("how", ["together", "alone"])
def test_a_process_that_is_stopped_inside_is_put_out_by_who_waited_for_long(url: str, how: str) -> None:
    patient = SharedGate(open_engine(url), longest_s=1)
    with other(url, how) as it:
        assert it.inside.wait(WAIT_S)
        os.kill(it.process.pid, signal.SIGSTOP)
        with patient.alone():
            patient.check()
        with patient.together():
            patient.check()
        it.end()
    patient.close()


def test_who_waits_to_be_alone_goes_before_processes_that_come_later(url: str, gate: Gate) -> None:
    with gate.together(), other(url, "alone") as first:
        until_waiting(url, 1)
        with other(url, "together") as later:
            until_waiting(url, 2)
            assert not first.inside.is_set()
            assert not later.inside.is_set(), "it could have joined who is inside"
            # The block ends with neither having entered.
            later.end()


def test_threads_of_one_process_are_inside_together_as_many_as_have_sessions(gate: Gate) -> None:
    leave = threading.Event()
    entered = [threading.Event() for _ in range(TOGETHER)]
    threads = [enter_aside(gate, each, leave) for each in entered]
    assert all(each.wait(WAIT_S) for each in entered)
    late = threading.Event()
    threads.append(enter_aside(gate, late, leave))
    leave.set()
    assert late.wait(WAIT_S)
    for thread in threads:
        thread.join(WAIT_S)


def test_who_answers_a_request_is_turned_away_in_time_and_the_next_with_its_session_waits(url: str, gate: Gate) -> None:
    with gate.together(within_s=WAIT_S):
        pass
    entered, leave = threading.Event(), threading.Event()
    with other(url, "alone") as it:
        assert it.inside.wait(WAIT_S)
        for _ in range(2):
            with pytest.raises(GateClosed), gate.together(within_s=0.05):
                raise AssertionError("inside")
        thread = enter_aside(gate, entered, leave)
        until_waiting(url, 1)
        it.leave()
        assert entered.wait(WAIT_S), "nobody's patience but one's own counts"
    leave.set()
    thread.join(WAIT_S)


def test_who_finds_all_sessions_taken_is_turned_away_in_time_too(gate: Gate) -> None:
    leave = threading.Event()
    entered = [threading.Event() for _ in range(TOGETHER)]
    threads = [enter_aside(gate, each, leave) for each in entered]
    assert all(each.wait(WAIT_S) for each in entered)
    with pytest.raises(GateClosed), gate.together(within_s=0.05):
        raise AssertionError("inside")
    leave.set()
    for thread in threads:
        thread.join(WAIT_S)
    with gate.together(within_s=WAIT_S):
        pass


def test_who_enters_looks_first_and_may_be_turned_away(gate: Gate) -> None:
    assert isinstance(gate, SharedGate)
    looked: list[str] = []

    def turn_away() -> None:
        raise StoreUnavailable("records", "an erasure is half done")

    gate.entering += [lambda: looked.append("looked"), turn_away]
    with pytest.raises(StoreUnavailable), gate.together():
        looked.append("entered")
    assert looked == ["looked"]
    with gate.alone():
        looked.append("nobody is inside any more")


def test_who_lost_the_gate_is_told_before_it_commits_and_enters_again(url: str, gate: Gate) -> None:
    gate.check()
    with gate.together():
        gate.check()
        end_sessions(url)
        for _ in range(2):
            with pytest.raises(GateLost):
                gate.check()
        with other(url, "alone") as it:
            assert it.inside.wait(WAIT_S), "what is lost is given to others"
    with gate.together():
        gate.check()


def test_the_gate_is_closed_while_the_database_is_away(postgres: Postgres, url: str, gate: Gate) -> None:
    with gate.together():
        pass
    postgres.kill()
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable), gate.together():
                raise AssertionError("inside")
    finally:
        postgres.start()
    with gate.alone():
        gate.check()


def test_what_is_done_in_turn_is_done_by_one_process_at_a_time(url: str) -> None:
    here, there = (open_gate(open_engine(url)) for _ in range(2))
    done: list[str] = []

    def follow() -> None:
        with there.together(), there.turn("decide"):
            done.append("there")

    thread = threading.Thread(target=follow)
    with here.together(), here.turn("decide"), here.turn("other"):
        thread.start()
        until_waiting(url, 1)
        done.append("here")
        here.check()
    thread.join(WAIT_S)
    assert done == ["here", "there"]
    for gate in (here, there):
        gate.close()


def test_work_that_fails_inside_leaves_the_gate(gate: Gate) -> None:
    with pytest.raises(KeyError), gate.together():
        raise KeyError
    with gate.alone():
        pass
