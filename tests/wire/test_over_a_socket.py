"""Every captured request, byte by byte over a socket into a running collector; only the log is a list."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import msgspec
import pytest

from cdp.log import NOTHING_SPOOLED, Spooled
from cdp.model import Hit, Millis, Position
from cdp.vault import Cipher
from collectors.accept import Accept
from collectors.registry import DIALECTS
from collectors.server import run, serve_collector
from tests.wire.replay import FOLDERS, captures_of, expected_status, post, source_of_key, translated

START_TIMEOUT_S = 20.0
MANY_BYTES = 4096
"""A request over it is sent in pieces of seven bytes, which saves seconds."""


class ListLog:
    name = "0"

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    async def append(self, payload: bytes, received_at: Millis, *, key: bytes = b"") -> Position:
        self.payloads.append(payload)
        return Position(0, len(self.payloads) - 1)

    def healthy(self) -> bool:
        return True

    def try_again(self) -> None:
        pass

    def spooled(self) -> Spooled:
        return NOTHING_SPOOLED

    async def close(self) -> None:
        pass


class CaptureSources:
    by_key = staticmethod(source_of_key)


class Collector:
    """A collector in a thread of this process, with what it keeps."""

    def __init__(self) -> None:
        self.log = ListLog()
        self.cipher = Cipher(b"0" * 32, "log")
        self.port = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: run(self._serve()))
        self._thread.start()
        assert self._started.wait(START_TIMEOUT_S)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        accept = Accept(dialects=DIALECTS, sources=CaptureSources(), log=self.log, cipher=self.cipher)
        await serve_collector(host="127.0.0.1", port=0, accept=accept, stop=self._stop, listening=self._listening)

    def _listening(self, port: int) -> None:
        self.port = port
        self._started.set()

    def kept(self) -> list[Hit]:
        return [msgspec.msgpack.decode(self.cipher.open(payload), type=Hit) for payload in self.log.payloads]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_request_is_answered_as_its_sdk_expects_and_kept_as_it_came(folder: str, collector: Collector) -> None:
    for capture in captures_of(folder):
        before = len(collector.log.payloads)
        reply = post("127.0.0.1", collector.port, capture, piece=1 if len(capture.wire()) < MANY_BYTES else 7)
        assert reply.status == expected_status(capture)
        if any(name.lower() == "origin" for name, _ in capture.headers):
            assert reply.headers["access-control-allow-origin"] == dict(capture.headers)["Origin"]
        new = collector.kept()[before:]
        if not capture.is_hit:
            assert new == []
            continue
        (hit,) = new
        assert (hit.method, hit.target, hit.body) == (capture.method, capture.target, capture.body)
        assert reply.headers["x-xunji-hit"] == f"0-{before}"
        # What has no time of its own is known by when it came.
        hit.received_at = capture.received_at
        events = DIALECTS[hit.dialect].translate(hit, f"0-{capture.number}", source_of_key)
        assert [getattr(event, "id", event) for event in events] == [
            getattr(event, "id", event) for event in translated(capture)
        ]
