"""Run the intake of one collector process: a listening socket that others may share, a clock, and a clean end."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from collectors.http import Connections, Handle
from collectors.http_limits import Limits

BACKLOG = 2048
TICK_S = 1.0
GRACE_S = 10.0
"""For how long requests that are still coming in may end after the stop."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a collector's main coroutine on uvloop until it returns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def listen(host: str, port: int) -> socket.socket:
    """A socket that several processes may open at once; the kernel deals the connections out among them."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setblocking(False)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


async def serve_collector(
    *,
    host: str,
    port: int,
    accept: Handle,
    stop: asyncio.Event,
    limits: Limits | None = None,
    grace_s: float = GRACE_S,
    listening: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serve until `stop` is set; return when all that came is answered, or `grace_s` later.

    `listening` is called with the port (of use where 0 was asked for) once connections are taken. Raises OSError
    where the address cannot be had. Whoever calls closes the log after it.
    """
    loop = asyncio.get_running_loop()
    connections = Connections(accept, limits)
    connections.tick(loop.time(), time.time())
    listener = listen(host, port)
    server = await loop.create_server(connections.connect, sock=listener, backlog=BACKLOG)
    # What is here now stays: the collector of garbage need not walk it again and again.
    gc.freeze()
    ticking = asyncio.create_task(_tick(connections))
    try:
        listening(listener.getsockname()[1])
        await stop.wait()
        # One turn of the loop takes in what the kernel already holds for us.
        await asyncio.sleep(0)
        server.close()
        await _drain(connections, loop.time() + grace_s)
    finally:
        ticking.cancel()
        connections.abort()


async def _tick(connections: Connections) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(TICK_S)
        connections.tick(loop.time(), time.time())


async def _drain(connections: Connections, until: float) -> None:
    loop = asyncio.get_running_loop()
    connections.drain()
    while connections.open and loop.time() < until:
        await asyncio.sleep(0.02)
