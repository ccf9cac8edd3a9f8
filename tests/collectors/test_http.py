"""The connection: order, limits, time, back-pressure and the end, without a network."""

from __future__ import annotations

import pytest

from collectors.dialect import Answer, Request
from collectors.http_answer import CONTINUE, Reply
from collectors.http_request import KNOWN_HEADS
from tests.collectors.wire import Client, Waiter, make_connections, make_request, responses

GET = make_request(method="GET")
TEAPOT = Answer(418, b"short and stout", "text/plain")
LAST = make_request("/last", "Connection: close", method="GET")


def test_a_connection_stays_open_for_the_next_request() -> None:
    client = Client(make_connections()).send(GET).send(make_request("/b", body=b"hello"))
    assert [response.body for response in responses(client.wire.sent)] == [b"GET /  0 ", b"POST /b  5 hello"]
    assert not client.wire.closed


def test_a_request_that_says_close_is_the_last_and_is_told_so() -> None:
    client = Client(make_connections()).send(LAST + GET)
    (response,) = responses(client.wire.sent)
    assert response.headers["connection"] == "close"
    assert client.wire.closed


def test_http_1_0_ends_the_connection_unless_it_asks_to_keep_it() -> None:
    once = Client(make_connections()).send(make_request(method="GET", version="1.0"))
    assert once.wire.closed
    kept = Client(make_connections()).send(make_request("/", "Connection: keep-alive", method="GET", version="1.0"))
    assert responses(kept.wire.sent)[0].headers["connection"] == "keep-alive"
    assert not kept.wire.closed


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_head_that_came_before_is_read_as_it_was_the_first_time_however_it_is_cut(method: str) -> None:
    """It is not parsed again where it comes whole, also on another connection."""
    bodies = [b"one", b"two", b"six"]
    requests = [make_request("/a%20b?c=d", "X-Kind: test", method=method, body=body) for body in bodies]
    fresh = b"".join(Client(make_connections()).send(request).wire.sent for request in requests)
    connections = make_connections()
    assert Client(connections).send(*requests).wire.sent == fresh
    assert len(connections.known_heads) == 1
    assert Client(connections).send(*requests).wire.sent == fresh
    for cut in range(1, len(requests[1])):
        client = Client(connections).send(requests[0], requests[1][:cut], requests[1][cut:] + requests[2])
        assert client.wire.sent == fresh


def test_only_heads_that_fix_the_end_of_their_request_are_remembered() -> None:
    connections = make_connections()
    Client(connections).send(GET + GET).send(LAST)
    Client(connections).send(make_request("/", "Transfer-Encoding: chunked") + b"3\r\none\r\n0\r\n\r\n")
    Client(connections).send(make_request("/", "Expect: 100-continue", body=b"one"))
    Client(connections).send(make_request("/", f"Cookie: {'x' * 3_000}", method="GET"))
    Client(connections).send(make_request(method="GET", version="1.0"))
    assert len(connections.known_heads) == 0


def test_the_heads_that_are_remembered_are_bounded() -> None:
    connections = make_connections()
    client = Client(connections)
    for number in range(KNOWN_HEADS + 10):
        client.send(make_request(f"/{number}", method="GET"))
    assert 0 < len(connections.known_heads) <= KNOWN_HEADS


def test_head_is_answered_with_the_length_and_without_the_body() -> None:
    client = Client(make_connections()).send(make_request("/a", method="HEAD") + GET)
    first, second = responses(client.wire.sent, ("HEAD", "GET"))
    assert (first.headers["content-length"], first.body) == (str(len("HEAD /a  0 ")), b"")
    assert second.body == b"GET /  0 "


def test_each_answer_has_the_date_of_the_last_tick() -> None:
    client = Client(make_connections()).send(GET)
    assert responses(client.wire.sent)[0].headers["date"] == "Mon, 02 Mar 2026 12:00:00 GMT"


def test_answers_keep_the_order_of_requests_however_they_finish() -> None:
    handler = Waiter()
    client = Client(make_connections(handler)).send(b"".join(make_request(f"/{n}", method="GET") for n in range(4)))
    handler.answer(2)
    handler.answer(2)
    assert client.wire.sent == b""
    handler.answer(0)
    assert [response.body for response in responses(client.wire.sent)] == [b"GET /0  0 "]
    handler.answer(0)
    assert [response.body for response in responses(client.wire.sent)] == [b"GET /%d  0 " % n for n in range(4)]


def test_a_second_reply_to_one_request_changes_nothing() -> None:
    handler = Waiter()
    client = Client(make_connections(handler)).send(GET + GET)
    _, reply = handler.waiting[0]
    handler.answer()
    reply(TEAPOT, b"")
    handler.answer()
    assert client.statuses == [200, 200]


def test_a_body_may_come_in_chunks_and_its_trailers_decide_nothing() -> None:
    seen: list[Request] = []

    def note(request: Request, reply: Reply) -> None:
        seen.append(request)
        reply(TEAPOT, b"")

    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Real: yes\r\n\r\n"
    Client(make_connections(note)).send(
        head + b"3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Real: no\r\nAuthorization: t\r\n\r\n"
    )
    assert seen[0].body == b"abcde"
    assert seen[0].headers["x-real"] == "yes"
    assert "authorization" not in seen[0].headers


def test_100_continue_is_said_once_and_only_where_the_body_is_waited_for() -> None:
    head, body = make_request("/", "Expect: 100-continue", body=b"hello").split(b"\r\n\r\n")
    waits = Client(make_connections()).send(head + b"\r\n\r\n")
    assert waits.wire.sent == CONTINUE
    waits.send(body[:2]).send(body[2:])
    assert waits.wire.sent.count(CONTINUE) == 1
    assert waits.statuses == [200]
    hurries = Client(make_connections()).send(head + b"\r\n\r\n" + body)
    assert CONTINUE not in hurries.wire.sent


def test_100_continue_does_not_overtake_the_answer_before_it() -> None:
    handler = Waiter()
    head = make_request("/", "Expect: 100-continue", body=b"hello")[:-5]
    client = Client(make_connections(handler)).send(GET + head)
    assert client.wire.sent == b""
    handler.answer()
    assert client.wire.sent.endswith(b"GET /  0 " + CONTINUE)


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent() -> None:
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
    client = Client(make_connections(body_bytes=1000)).send(request)
    assert client.statuses == [413]
    assert client.wire.eof_sent


def test_a_page_may_read_why_its_request_is_refused_before_it_is_whole() -> None:
    lines = ("Origin: https://shop.example.com", "Content-Length: 2000")
    head = b"\r\n".join([b"POST /v1/t HTTP/1.1", b"Host: a", *(line.encode() for line in lines), b"\r\n"])
    refused = responses(Client(make_connections(body_bytes=1000)).send(head).wire.sent)[0]
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (413, "https://shop.example.com")
    busy = responses(Client(make_connections(held_bytes=100)).send(head, b"x" * 200).wire.sent)[0]
    assert (busy.status, busy.headers["access-control-allow-origin"]) == (503, "https://shop.example.com")
    assert "Retry-After" in busy.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (make_request("/" + "a" * 16_400), 414),
        (make_request("/", "X: " + "a" * 65_600), 431),
        (make_request("/", *(["a:"] * 2000)), 431),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n"
            + b"x" * 1000
            + b"\r\n1\r\ny\r\n",
            413,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
def test_what_breaks_a_rule_is_refused_after_what_came_before_and_nothing_more_is_read(
    request_bytes: bytes, status: int
) -> None:
    client = Client(make_connections(body_bytes=1000)).send(GET + request_bytes, GET)
    assert client.statuses == [200, status]
    assert responses(client.wire.sent)[1].headers["connection"] == "close"
    assert client.wire.eof_sent


@pytest.mark.parametrize(
    ("start", "more", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"a" * 10_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 10_000, 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a" * 10_000, 413),
    ],
)
def test_a_header_extension_or_trailer_without_end_is_cut(start: bytes, more: bytes, status: int) -> None:
    client = Client(make_connections(body_bytes=1000)).send(start)
    for _ in range(20):
        client.send(more)
    assert client.statuses == [status]


def test_a_refusal_tells_its_reason_as_python_sdks_read_it() -> None:
    client = Client(make_connections()).send(b"nonsense\r\n\r\n")
    response = responses(client.wire.sent)[0]
    assert response.headers["content-type"] == "application/problem+json"
    assert b'"code":"malformed_request"' in response.body
    assert b'"message":' in response.body
    assert b'"result":"drop"' in response.body


def test_the_rest_of_a_refused_request_is_read_so_that_the_answer_arrives() -> None:
    connections = make_connections(body_bytes=10, linger_s=2)
    client = Client(connections).send(make_request(body=b"x" * 1000)).send(b"x" * 100_000)
    assert not client.wire.closed
    connections.tick(3.0, 0.0)
    assert client.wire.closed


def test_another_protocol_is_not_taken_up() -> None:
    request = make_request("/a", "Connection: Upgrade", "Upgrade: h2c", method="GET")
    client = Client(make_connections()).send(request + b"PRI * HTTP/2.0\r\n\r\n")
    assert client.statuses == [200]
    assert client.wire.closed


def test_names_of_headers_are_lower_case_values_have_no_space_around_and_the_last_counts() -> None:
    seen: list[Request] = []
    client = Client(make_connections(lambda request, reply: seen.append(request)))
    client.send(make_request("/", "X-A:   one\t ", "x-a: b c ", "X-Empty:", "X-Latin: \u00e9"))
    expected = {"host": "xunji.test", "x-a": "b c", "x-empty": "", "x-latin": "\u00c3\u00a9"}
    assert (seen[0].headers, seen[0].client_ip) == (expected, "192.0.2.7")


def test_an_absolute_target_is_read_as_its_path() -> None:
    client = Client(make_connections()).send(make_request("http://proxy.test/v1/t?a=%20b", method="GET"))
    assert responses(client.wire.sent)[0].body == b"GET /v1/t a=%20b 0 "


def test_a_handler_that_raises_is_answered_500_and_the_connection_lives(caplog: pytest.LogCaptureFixture) -> None:
    def raises(request: Request, reply: Reply) -> None:
        raise ValueError(request.path)

    client = Client(make_connections(raises)).send(make_request("/13812345678") * 2)
    assert client.statuses == [500, 500]
    assert not client.wire.closed
    assert "ValueError" in caplog.text
    assert "raises" in caplog.text
    assert "13812345678" not in caplog.text + client.wire.sent.decode()


# Time.


def test_a_client_that_never_finishes_its_headers_is_cut() -> None:
    connections = make_connections(head_s=10)
    client = Client(connections).send(b"POST / HTTP/1.1\r\n")
    for second in range(1, 11):
        connections.tick(second, 0.0)
        client.send(b"X: y\r\n")
    assert client.statuses == []
    connections.tick(11, 0.0)
    assert client.statuses == [408]
    assert client.wire.eof_sent


def test_a_client_that_never_finishes_its_body_is_cut() -> None:
    connections = make_connections(head_s=1, body_s=60)
    client = Client(connections).send(make_request(body=b"x" * 1000)[:-900])
    for second in range(1, 61):
        connections.tick(second, 0.0)
        client.send(b"x")
    assert client.statuses == []
    connections.tick(61, 0.0)
    assert client.statuses == [408]


def test_each_request_of_a_connection_has_its_own_time() -> None:
    connections = make_connections(head_s=10)
    client = Client(connections)
    for second in range(0, 100, 6):
        connections.tick(second, 0.0)
        client.send(GET[:5])
        connections.tick(second + 5, 0.0)
        client.send(GET[5:])
    assert set(client.statuses) == {200}


def test_an_idle_connection_is_closed_without_a_word() -> None:
    connections = make_connections(idle_s=75)
    client = Client(connections).send(GET)
    connections.tick(75, 0.0)
    assert not client.wire.closed
    connections.tick(76, 0.0)
    assert client.wire.closed
    assert client.statuses == [200]


def test_a_client_that_waits_for_us_is_never_cut() -> None:
    handler = Waiter()
    connections = make_connections(handler)
    client = Client(connections).send(GET)
    connections.tick(10_000, 0.0)
    handler.answer()
    assert client.statuses == [200]


def test_a_client_that_does_not_read_its_answers_is_cut() -> None:
    connections = make_connections(send_s=30)
    client = Client(connections).send(GET)
    client.connection.pause_writing()
    connections.tick(30, 0.0)
    assert not client.wire.closed
    connections.tick(31, 0.0)
    assert client.wire.closed


# Back-pressure.


def test_reading_pauses_while_too_many_requests_wait() -> None:
    handler = Waiter()
    client = Client(make_connections(handler, waiting=4)).send(GET * 3)
    assert client.wire.reading
    client.send(GET * 3)
    assert not client.wire.reading
    assert len(handler.waiting) == 4
    while handler.waiting:
        handler.answer()
    assert client.statuses == [200] * 6
    assert client.wire.reading


def test_reading_pauses_while_too_many_bytes_wait() -> None:
    handler = Waiter()
    client = Client(make_connections(handler, waiting_bytes=1000)).send(make_request(body=b"x" * 1001))
    assert not client.wire.reading
    handler.answer()
    assert client.wire.reading


def test_a_client_that_does_not_read_gets_nothing_more_to_read() -> None:
    handler = Waiter()
    client = Client(make_connections(handler)).send(GET)
    client.connection.pause_writing()
    assert not client.wire.reading
    client.send(GET)
    assert len(handler.waiting) == 1
    client.connection.resume_writing()
    assert client.wire.reading
    assert len(handler.waiting) == 2


def test_thousands_of_pipelined_requests_do_not_nest() -> None:
    handler = Waiter()
    connections = make_connections()
    connections.handle = handler
    client = Client(connections).send(GET)
    connections.handle = lambda request, reply: reply(TEAPOT, b"")
    client.send(GET * 3_000)
    handler.answer()
    assert client.statuses == [200] + [418] * 3_000


def test_unfinished_requests_share_one_memory_and_give_it_back() -> None:
    connections = make_connections(held_bytes=10_000)
    part = make_request(body=b"x" * 9000)[:5000]
    patient, greedy = Client(connections).send(part), Client(connections).send(part)
    greedy.send(b"x" * 2000)
    assert greedy.statuses == [503]
    assert responses(greedy.wire.sent)[0].headers["retry-after"] == "5"
    patient.send(make_request(body=b"x" * 9000)[5000:])
    assert patient.statuses == [200]
    assert connections.held_bytes == 0


def test_a_client_that_hangs_up_gives_its_memory_back_and_is_forgotten() -> None:
    handler = Waiter()
    connections = make_connections(handler)
    request = make_request(body=b"x" * 9000)
    client = Client(connections).send(request[:100], request[100:], request[:200])
    client.hang_up()
    assert (connections.held_bytes, connections.open) == (0, set())
    handler.answer()
    assert client.wire.sent == b""


def test_connections_over_the_limit_are_sent_away() -> None:
    connections = make_connections(connections=1)
    first, second = Client(connections), Client(connections)
    assert second.statuses == [503]
    assert first.send(GET).statuses == [200]


# The end.


def test_a_client_that_closed_its_side_still_gets_its_answers() -> None:
    handler = Waiter()
    client = Client(make_connections(handler)).send(GET + GET).end()
    assert not client.wire.closed
    handler.answer()
    handler.answer()
    assert client.statuses == [200, 200]
    assert client.wire.closed


def test_a_request_that_ends_too_early_is_not_handled() -> None:
    handler = Waiter()
    client = Client(make_connections(handler)).send(make_request(body=b"hello")[:-1]).end()
    assert client.statuses == [400]
    assert client.wire.closed
    assert handler.waiting == []


def test_drain_lets_idle_connections_go_and_answers_what_came() -> None:
    handler = Waiter()
    connections = make_connections(handler)
    idle, busy, coming = Client(connections), Client(connections), Client(connections)
    busy.send(GET + GET)
    coming.send(GET[:10])
    connections.drain()
    assert idle.wire.closed
    coming.send(GET[10:])
    for _ in range(3):
        handler.answer()
    assert [response.headers.get("connection") for response in responses(busy.wire.sent)] == [None, "close"]
    assert responses(coming.wire.sent)[0].headers["connection"] == "close"
    assert busy.wire.closed
    assert coming.wire.closed
    assert Client(connections).statuses == [503]
