"""Serve the API: uvicorn on uvloop and httptools, quiet about requests, with a clean end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

BACKLOG = 2048
GRACE_S = 10
"""For how long requests that are under way may end after the stop."""
KEEP_ALIVE_S = 75


class _Server(uvicorn.Server):
    """Ends when it is told to, and leaves signals to its caller."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_api(
    app: FastAPI,
    host: str,
    port: int,
    stop: asyncio.Event,
    listening: Callable[[int], None] = lambda _port: None,
    *,
    closing: Callable[[], None] = lambda: None,
) -> None:
    """Serve until `stop` is set; return when what was under way is answered, or after `GRACE_S` seconds.

    `listening` is called with the port (of use where 0 was asked for) once connections are taken, `closing` when the
    end begins. Raises OSError where the address cannot be had.
    """
    with _listen(host, port) as listener:
        server = _Server(_config(app))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        try:
            while not (server.started or serving.done()):
                await asyncio.sleep(0.01)
            if not serving.done():
                listening(listener.getsockname()[1])
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Answers without an end must end first, or the server would wait for them until its patience is over.
            closing()
            server.should_exit = True
            stopping.cancel()
            await serving


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
