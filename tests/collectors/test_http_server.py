"""The listening process: two on one port, and the end in which nothing that came is lost."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from collectors.http_limits import Limits
from collectors.server import listen, run, serve_collector
from tests.collectors.wire import Waiter, echo_at_once, make_request, responses

GET = make_request(method="GET")


async def start(handle, **options) -> tuple[int, asyncio.Event, asyncio.Task[None]]:  # type: ignore[no-untyped-def]
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_collector(host="127.0.0.1", port=0, accept=handle, stop=stop, listening=port.set_result, **options)
    )
    return await port, stop, serving


def test_after_the_stop_what_came_is_answered_and_nobody_new_is_taken() -> None:
    async def main() -> None:
        handler = Waiter()
        port, stop, serving = await start(handler)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + GET)
        while len(handler.waiting) < 2:
            await asyncio.sleep(0.001)
        stop.set()
        assert await idle_reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not serving.done()
        handler.answer()
        handler.answer()
        answers = responses(await reader.read())
        assert [answer.headers.get("connection") for answer in answers] == [None, "close"]
        await serving
        idle_writer.close()
        writer.close()

    run(main())


def test_a_client_that_does_not_end_is_cut_when_the_grace_is_over() -> None:
    async def main() -> None:
        port, stop, serving = await start(Waiter(), grace_s=0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(make_request(body=b"hello")[:-1])
        await writer.drain()
        stop.set()
        await serving
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()

    run(main())


def test_several_processes_may_take_connections_at_one_port() -> None:
    first = listen("127.0.0.1", 0)
    second = listen("127.0.0.1", first.getsockname()[1])
    assert first.getsockname() == second.getsockname()
    first.close()
    second.close()


def test_an_address_that_cannot_be_had_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_a_thousand_clients_at_once_are_all_answered() -> None:
    async def client(port: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(make_request("/v1/track", "Connection: close", body=b"x" * 700))
        (answer,) = responses(await reader.read())
        writer.close()
        return answer.status

    async def main() -> None:
        port, stop, serving = await start(echo_at_once, limits=Limits())
        statuses = [status for _ in range(5) for status in await asyncio.gather(*(client(port) for _ in range(200)))]
        assert statuses == [200] * 1000
        stop.set()
        await serving

    run(main())
