"""Any bytes, in any pieces, answered in any order: nothing raises, hangs or leaks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collectors.test_http_conformance import SAME, STRICTER
from tests.collectors.wire import Client, Waiter, make_connections, responses

FRAGMENTS = [
    *(raw for raw in SAME.values() if len(raw) < 2000),
    *(raw for raw, _ in STRICTER.values() if len(raw) < 2000),
    b"POST / HTTP/1.1\r\n",
    b"Host: a\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Content-Length: 5\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"X" * 3000,
]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Valid requests and parts of them, then a few bytes changed."""
    raw = bytearray(b"".join(draw(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=40), max_size=5))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


@settings(max_examples=600, deadline=None)
@given(streams(), st.lists(st.integers(1, 400), max_size=8), st.randoms(use_true_random=False))
def test_any_bytes_are_answered_or_the_connection_ends(raw: bytes, cuts: list[int], random) -> None:  # type: ignore[no-untyped-def]
    handler = Waiter()
    connections = make_connections(handler, waiting=3, held_bytes=5000)
    client = Client(connections)
    taken = []
    for size in [*cuts, len(raw)]:
        client.send(raw[:size])
        raw = raw[size:]
        if handler.waiting and random.random() < 0.5:
            at = random.randrange(len(handler.waiting))
            taken.append(handler.waiting[at][0])
            handler.answer(at)
    client.end()
    while handler.waiting:
        at = random.randrange(len(handler.waiting))
        taken.append(handler.waiting[at][0])
        handler.answer(at)
    assert client.wire.closed
    client.hang_up()
    assert (connections.held_bytes, connections.open) == (0, set())
    if all(request.method != "HEAD" for request in taken):
        statuses = [response.status for response in responses(client.wire.sent)]
        assert statuses.count(200) == len(taken)
        assert 200 not in statuses[len(taken) :]
        assert len(statuses) - len(taken) in (0, 1)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(SAME.values())), st.integers(0, 10)), min_size=1, max_size=6))
def test_the_clock_ends_whatever_a_client_leaves_behind(parts: list[tuple[bytes, int]]) -> None:
    connections = make_connections()
    client = Client(connections)
    for part, kept in parts:
        client.send(part[: len(part) * kept // 10])
    for second in range(200):
        if client.wire.closed:
            break
        connections.tick(second, 0.0)
    assert client.wire.closed
