"""The process that writes the graph, as others reach it: over HTTP, wherever it is now."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cdp.errors import ConfigurationError, StoreUnavailable
from identity.calls import CONTENT_TYPE, PATH, read, verb_of

CONNECT_S, READ_S = 3.0, 30.0
ELSEWHERE = {400, 404, 405, 502, 503, 504}
"""Who says so is not, or not yet, an identity role of our version: it is asked again, wherever it is by then."""
LOOK_S = 1.0
"""How often who waits for an answer looks whether the one it asked leads still. A call has no other limit: to derive
everything anew takes minutes, and all who have evidence wait for that."""
SILENT_S, PROBES = 10, 3
"""After so much silence the system asks the other machine whether it is there, so often and so far apart."""


class Leader:
    """Safe from any thread. `address` tells where the leader is, such as http://10.0.0.7:8003; None for nowhere."""

    def __init__(self, address: Callable[[], str | None], key: str) -> None:
        self._find = address
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": CONTENT_TYPE}
        self._address: str | None = None
        self._idle: list[HTTPConnection] = []

    def call(self, call: msgspec.Struct) -> Any:
        """Have something done; what it gave. Raises StoreUnavailable where it may not have been done."""
        verb = verb_of(call)
        try:
            status, body = self._post(PATH + verb, msgspec.msgpack.encode(call))
        except (OSError, HTTPException) as error:
            self._lose()
            raise StoreUnavailable("identity", str(error) or type(error).__name__) from error
        if status == 200:
            return read(verb, body)
        self._lose()
        said = body.decode(errors="replace")
        if status == 401:
            raise ConfigurationError("XUNJI_SECRET", came="another than the identity role's", allowed="one for all")
        if status == 503:
            store, _, cause = said.partition(" ")
            raise StoreUnavailable(store, cause)
        raise RuntimeError(f"The identity role answered {status}: {said}")

    def close(self) -> None:
        """Let go of connections. Another call opens new ones."""
        self._lose()

    def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        address = self._address = self._address or self._find()
        if address is None:
            raise ConnectionError("no process has the role identity now")
        connection = self._connection(address)
        try:
            connection.request("POST", path, body, self._headers)
            while not _readable(connection.sock, LOOK_S):
                if self._find() != address:
                    raise ConnectionError("another process has the role identity now")
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return response.status, answer

    def _connection(self, address: str) -> HTTPConnection:
        place = urlsplit(address)
        while self._idle:
            try:
                kept = self._idle.pop()
            except IndexError:
                break  # another thread's now
            # What can be read before anything was asked is the other's goodbye.
            if (kept.host, kept.port) == (place.hostname, place.port) and not _readable(kept.sock, 0.0):
                return kept
            kept.close()
        fresh = HTTPConnection(place.hostname or "", place.port, timeout=CONNECT_S)
        fresh.connect()
        fresh.sock.settimeout(READ_S)
        _notice_silence(fresh.sock)
        return fresh

    def _lose(self) -> None:
        self._address = None
        while self._idle:
            self._idle.pop().close()


def _readable(sock: socket.socket, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _notice_silence(sock: socket.socket) -> None:
    """A machine that went away says nothing more, and without this one would wait for it for hours."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", SILENT_S), ("TCP_KEEPINTVL", SILENT_S), ("TCP_KEEPCNT", PROBES)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
