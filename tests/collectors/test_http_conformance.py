"""The same bytes to our server and to uvicorn (with the same parser under it), over real sockets; then each request
cut at every byte, which must change nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from collectors.http_answer import CONTINUE
from collectors.server import listen, run, serve_collector
from tests.collectors.wire import Client, echo_at_once, make_connections, make_request, responses

LAST = make_request("/last", "Connection: close", method="GET")
CHUNKED = "Transfer-Encoding: chunked"

SAME = {
    "get": make_request("/a?b=c", method="GET") + LAST,
    "post": make_request("/v1/track", body=b'{"a":1}') + LAST,
    "head": make_request(method="HEAD") + LAST,
    "options": make_request("/x", "Origin: https://a.test", method="OPTIONS") + LAST,
    "query with odd letters": make_request("/sa.gif?data=a%2Bb+c&&=%%3", method="GET") + LAST,
    "escaped path": make_request("/a%20b/%E4%BD%A0", method="GET") + LAST,
    "pipelined": make_request("/1", body=b"one")
    + make_request("/2", method="GET")
    + make_request("/3", body=b"3")
    + LAST,
    "chunked": make_request("/c", CHUNKED) + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n" + LAST,
    "chunked with trailers": make_request("/c", CHUNKED) + b"3\r\nabc\r\n0\r\nX-A: b\r\n\r\n" + LAST,
    "empty chunked": make_request("/c", CHUNKED) + b"0\r\n\r\n" + LAST,
    "empty body": make_request("/", "Content-Length: 0") + LAST,
    "http/1.0": make_request("/old", method="GET", version="1.0"),
    "http/1.0 with a body": make_request("/old", body=b"abc", version="1.0"),
    "close": make_request("/", "Connection: close", body=b"abc"),
    "header with spaces": make_request("/", "X-A:    b   ", "Accept:", method="GET") + LAST,
    "many headers": make_request("/", *(f"X-{n}: {n}" for n in range(90)), method="GET") + LAST,
    "empty lines before": b"\r\n\r\n" + make_request(method="GET") + LAST,
    "expect": make_request("/", "Expect: 100-continue", body=b"hello") + LAST,
    "unknown expectation": make_request("/", "Expect: wonders", body=b"hello") + LAST,
    "body of 200 KB": make_request("/", body=b"x" * 200_000) + LAST,
    # Refused by both.
    "no http": b"hello there\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "length and chunked": make_request("/", "Content-Length: 3", CHUNKED) + b"0\r\n\r\n",
    "chunked and length": make_request("/", CHUNKED, "Content-Length: 3") + b"0\r\n\r\n",
    "two lengths": make_request("/", "Content-Length: 3", "Content-Length: 3") + b"abc",
    "two lengths in one": make_request("/", "Content-Length: 3, 3") + b"abc",
    "length with sign": make_request("/", "Content-Length: +3") + b"abc",
    "length in hex": make_request("/", "Content-Length: 0x3") + b"abc",
    "chunked not last": make_request("/", "Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
    "chunked in disguise": make_request("/", "Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "chunk size with sign": make_request("/", CHUNKED) + b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk longer than told": make_request("/", CHUNKED) + b"3\r\nabcd\r\n0\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\n\n",
    "folded header": make_request("/", "X: a\r\n b", method="GET"),
    "space before colon": make_request("/", "X : a", method="GET"),
    "space in a name": make_request("/", "X Y: a", method="GET"),
    "nul in a value": make_request("/", "X: a\0b", method="GET"),
    "http/1.2": make_request("/", method="GET", version="1.2"),
    "unknown method": make_request("/", method="BREW"),
}

STRICTER = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", [400]),  # RFC 9112, 3.2
    "two hosts": (make_request("/", "Host: other.test", method="GET"), [400]),  # 3.2
    "chunked in http/1.0": (make_request("/", CHUNKED, version="1.0") + b"0\r\n\r\n", [400]),  # 6.1
    "gzip as transfer encoding": (make_request("/", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", [501]),  # 6.1
    "http/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", [505]),
    "http/0.9": (b"GET /\r\n\r\n", [505]),
    "line of 17 KB": (make_request("/" + "a" * 17_000, method="GET"), [414]),
    "headers of 70 KB": (make_request("/", "X: " + "a" * 70_000, method="GET"), [431]),
}
"""Where uvicorn answers 200 and we do not."""


async def _echo_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    message = await receive()
    body = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    text = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {len(body)} ".encode() + body
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture(scope="module")
def theirs() -> Iterator[int]:
    config = uvicorn.Config(
        _echo_app,  # type: ignore[arg-type]
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="critical",
    )
    server = uvicorn.Server(config)
    listener = listen("127.0.0.1", 0)
    listener.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def ours() -> Iterator[int]:
    ports: list[int] = []
    listening = threading.Event()
    stopping: list[Any] = []

    def told(port: int) -> None:
        ports.append(port)
        listening.set()

    async def main() -> None:
        stop = asyncio.Event()
        stopping.extend([asyncio.get_running_loop(), stop])
        await serve_collector(host="127.0.0.1", port=0, accept=echo_at_once, stop=stop, listening=told)

    thread = threading.Thread(target=lambda: run(main()))
    thread.start()
    assert listening.wait(20)
    yield ports[0]
    loop, stop = stopping
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def talk(port: int, *parts: bytes) -> bytes:
    """Everything that comes back until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        for part in parts:
            client.sendall(part)
        received = b""
        try:
            while data := client.recv(65_536):
                received += data
        except ConnectionResetError:  # uvicorn may close before it has read all
            pass
        return received


def understood(raw: bytes, request: bytes) -> list[tuple[int, bytes]]:
    """Status of each response, and the body where it is the echo."""
    methods = ("HEAD",) if request.startswith(b"HEAD") else ()
    return [(found.status, found.body if found.status == 200 else b"") for found in responses(raw, methods)]


@pytest.mark.parametrize("request_bytes", SAME.values(), ids=SAME)
def test_our_server_understands_a_request_as_uvicorn_does(theirs: int, ours: int, request_bytes: bytes) -> None:
    expected = understood(talk(theirs, request_bytes), request_bytes)
    assert expected
    assert understood(talk(ours, request_bytes), request_bytes) == expected


@pytest.mark.parametrize(("request_bytes", "statuses"), STRICTER.values(), ids=STRICTER)
def test_our_server_refuses_what_the_standard_forbids_though_uvicorn_does_not(
    theirs: int, ours: int, request_bytes: bytes, statuses: list[int]
) -> None:
    last = b"" if request_bytes.endswith(b"GET /\r\n\r\n") else LAST
    assert {found.status for found in responses(talk(theirs, request_bytes + last))} == {200}
    assert [found.status for found in responses(talk(ours, request_bytes))] == statuses


def test_a_request_in_pieces_over_a_real_socket(ours: int) -> None:
    request = make_request("/p", CHUNKED) + b"3\r\nabc\r\n0\r\n\r\n" + LAST
    pieces = [request[at : at + 7] for at in range(0, len(request), 7)]
    assert understood(talk(ours, *pieces), request) == [(200, b"POST /p  3 abc"), (200, b"GET /last  0 ")]


def test_a_sender_that_waits_for_100_continue_gets_it(ours: int) -> None:
    request = make_request("/", "Expect: 100-continue", "Connection: close", body=b"hello")
    with socket.create_connection(("127.0.0.1", ours), timeout=20) as client:
        client.sendall(request[:-5])
        assert client.recv(1000) == CONTINUE
        client.sendall(b"hello")
        assert responses(client.recv(1000))[0].body == b"POST /  5 hello"


def test_a_refused_sender_that_is_still_sending_can_read_why(ours: int) -> None:
    head = make_request("/", "Content-Length: 30000000")
    raw = talk(ours, head, *([b"x" * 100_000] * 30))
    assert [found.status for found in responses(raw)] == [413]


CUT = [pytest.param(raw, id=name) for name, raw in SAME.items() if len(raw) < 2000] + [
    pytest.param(raw, id=name) for name, (raw, _) in STRICTER.items() if len(raw) < 2000
]


@pytest.mark.parametrize("request_bytes", CUT)
def test_a_request_cut_at_any_byte_is_the_same_request(request_bytes: bytes) -> None:
    whole = Client(make_connections()).send(request_bytes).end()
    for at in range(1, len(request_bytes)):
        cut = Client(make_connections()).send(request_bytes[:at], request_bytes[at:]).end()
        assert (cut.sent, cut.wire.closed) == (whole.sent, whole.wire.closed), at


@pytest.mark.parametrize("request_bytes", CUT)
def test_a_request_that_comes_byte_by_byte_is_the_same_request(request_bytes: bytes) -> None:
    whole = Client(make_connections()).send(request_bytes).end()
    bytewise = Client(make_connections()).send(*(bytes([byte]) for byte in request_bytes)).end()
    assert (bytewise.sent, bytewise.wire.closed) == (whole.sent, whole.wire.closed)
