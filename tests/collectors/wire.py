"""A client without a network: a transport that notes what is done to it, and a reader of raw responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from collectors.dialect import Answer, Request
from collectors.http import Connections
from collectors.http_answer import CONTINUE, Reply
from collectors.http_limits import Limits

NOON = 1_772_452_800.0


class Wire:
    """The transport's side of asyncio's contract, as far as a protocol uses it."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False
        self.eof_sent = False
        self.reading = True

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("192.0.2.7", 5000) if name == "peername" else None

    def write(self, data: bytes) -> None:
        assert not self.closed
        assert not self.eof_sent
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof_sent = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


class Client:
    """One connection to `connections`, with a hand on its transport."""

    def __init__(self, connections: Connections) -> None:
        self.wire = Wire()
        self.connection = connections.connect()
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]

    def send(self, *parts: bytes) -> Client:
        for part in parts:
            if not self.wire.closed:
                self.connection.data_received(part)
        return self

    def end(self) -> Client:
        """Close the client's side, as asyncio tells a protocol of it."""
        if not self.wire.closed and not self.connection.eof_received():
            self.wire.close()
        return self

    def hang_up(self) -> Client:
        self.connection.connection_lost(None)
        return self

    @property
    def sent(self) -> bytes:
        """All that came back, but for 100 Continue, which depends on how a request was cut."""
        return self.wire.sent.replace(CONTINUE, b"")

    @property
    def statuses(self) -> list[int]:
        return [response.status for response in responses(self.wire.sent)]


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def responses(raw: bytes, methods: tuple[str, ...] = ()) -> list[Response]:
    """All responses in the order in which they stand; `methods` of their requests, GET where it is not told."""
    found: list[Response] = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        status = int(lines[0].split(" ")[1])
        if status == 100:
            continue
        head_only = len(methods) > len(found) and methods[len(found)] == "HEAD"
        length = 0 if head_only else int(headers.get("content-length", 0))
        found.append(Response(status, headers, raw[:length]))
        raw = raw[length:]
    return found


def echo(request: Request) -> Answer:
    """What both servers of the comparison answer: how they understood the request."""
    text = f"{request.method} {request.path} {request.query} {len(request.body)} ".encode()
    return Answer(200, text + request.body, "text/plain")


def echo_at_once(request: Request, reply: Reply) -> None:
    reply(echo(request), b"")


class Waiter:
    """A handler that answers when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Request, Reply]] = []

    def __call__(self, request: Request, reply: Reply) -> None:
        self.waiting.append((request, reply))

    def answer(self, index: int = 0) -> None:
        request, reply = self.waiting.pop(index)
        reply(echo(request), b"")


def make_connections(
    handle: Callable[[Request, Reply], None] = echo_at_once, *, now: float = 0.0, **limits: int
) -> Connections:
    connections = Connections(handle, Limits(**limits))
    connections.tick(now, NOON)
    return connections


def make_request(path: str = "/", *lines: str, body: bytes = b"", method: str = "POST", version: str = "1.1") -> bytes:
    host = ["Host: xunji.test"] if version == "1.1" else []
    length = [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([f"{method} {path} HTTP/{version}", *host, *lines, *length])
    return head.encode() + b"\r\n\r\n" + body
