"""Stands before a server and passes bytes on late, or not at all: a network that is slow or cut."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

CHUNK = 65_536


class SlowProxy:
    """`delay_s` counts for each piece of what a server answers; with `cut` set nothing gets through and every
    connection ends."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self.delay_s = 0.0
        self.cut = False
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._handling: set[asyncio.Task[None]] = set()

    async def serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        await _closed(self._writers)
        # Each ends by its connections' end.
        if self._handling:
            await asyncio.wait(self._handling)

    def stop(self) -> None:
        """From another thread."""
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handling.add(task)
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
            ends.append(back)
            self._writers.update(ends)
            await asyncio.gather(self._pass(reader, back, late=False), self._pass(there, writer, late=True))
        except OSError:
            # The server is away, and so is the proxy.
            pass
        finally:
            self._writers.difference_update(ends)
            await _closed(ends)
            self._handling.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool) -> None:
        with suppress(OSError):
            while (data := await reader.read(CHUNK)) and not self.cut:
                if late and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        writer.close()


async def _closed(writers: Iterable[asyncio.StreamWriter]) -> None:
    ending = list(writers)
    for writer in ending:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in ending), return_exceptions=True)


@contextmanager
def slow_proxy(upstream: int) -> Iterator[SlowProxy]:
    """A proxy before this port of this machine, fast until told otherwise."""
    proxy, ready = SlowProxy(upstream), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve(ready)), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(10)
