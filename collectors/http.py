"""Speak HTTP/1.1 with SDKs: bytes in, requests up, answers down in the order of the requests.

What a server owes besides parsing is here: order under pipelining, limits on time and memory, back-pressure both
ways, and an end in which everything that came is answered. It knows no dialect: `handle` gets a request and a way
to reply. No request costs a task or a timer; `Connections.tick` looks at all clocks once a second.
"""

from __future__ import annotations

from asyncio import BaseTransport, Protocol, Transport
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from math import inf
from typing import cast

from collectors.cors import cors_lines
from collectors.dialect import Answer, Request
from collectors.http_answer import CLOSE, CONTINUE, KEEP_ALIVE, Reply, failure, problem, render
from collectors.http_limits import Limits
from collectors.http_request import HEAD, IDLE, KnownHeads, Refusal, RequestReader, malformed

Handle = Callable[[Request, Reply], None]
"""Takes one request and replies to it once, at once or later."""


class Connections:
    """All open connections of a process, and what they share: limits, the hour, the memory that they hold."""

    def __init__(self, handle: Handle, limits: Limits | None = None) -> None:
        self.handle = handle
        self.limits = limits or Limits()
        self.known_heads = KnownHeads()
        self.open: set[Connection] = set()
        self.held_bytes = 0
        self.draining = False
        self.now = 0.0
        self.date = b""

    def connect(self) -> Connection:
        """A protocol for one new connection; the factory that asyncio's `create_server` takes."""
        return Connection(self)

    def tick(self, now: float, wall: float) -> None:
        """Tell the time, about once a second: `now` in seconds of any steady clock, `wall` since 1970.

        Cuts those whose time is over. The Date header is as old as the last tick.
        """
        self.now = now
        self.date = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode()
        for connection in tuple(self.open):
            connection.check_time()

    def drain(self) -> None:
        """Let idle connections go, and each other one after it has answered what came. May be called twice."""
        self.draining = True
        for connection in tuple(self.open):
            connection.drain()

    def abort(self) -> None:
        """Cut all that are left."""
        for connection in tuple(self.open):
            connection.abort()


class Exchange:
    """One request and the place of its answer in the order of answers.

    `last` ends the connection; `old` is HTTP/1.0, where a connection that stays open must say so; `held` is what
    its unfinished request held of the memory that all share.
    """

    __slots__ = ("_connection", "answer", "body_wanted", "held", "last", "lines", "old", "request", "size")

    def __init__(self, connection: Connection, request: Request | None, last: bool, old: bool, held: int) -> None:
        self._connection = connection
        self.request = request
        self.last = last
        self.old = old
        self.held = held
        self.answer: Answer | None = None
        if request is not None:
            self.size = len(request.body)
            self.body_wanted = request.method != "HEAD"
        else:
            self.size = 0
            self.body_wanted = True

    def reply(self, answer: Answer, lines: bytes = b"") -> None:
        if self.answer is None:
            self.answer = answer
            self.lines = lines
            self._connection.advance()


class Connection(Protocol):
    """One client."""

    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._transport = cast(Transport, None)
        self._reader = cast(RequestReader, None)
        self._exchanges: deque[Exchange] = deque()
        self._started = 0
        """How many of the exchanges, from the left, were given to `handle`."""
        self._waiting_bytes = 0
        self._held = 0
        """Bytes of the unfinished request, as counted in `Connections.held_bytes`."""
        self._stage = (0, IDLE)
        """The number of the unfinished request, and the phase that it is in."""
        self._since = 0.0
        """When the stage began, or the last answer left."""
        self._unread_since = inf
        """Since when the client does not take its answers."""
        self._deaf = False
        """What still comes is thrown away: the last request of this connection is here, or one was refused."""
        self._lingers = False
        self._paused = False
        self._advancing = False

    # What the transport tells us.

    def connection_made(self, transport: BaseTransport) -> None:
        self._transport = cast(Transport, transport)
        peer = transport.get_extra_info("peername")
        self._reader = RequestReader(self._limits, self._shared.known_heads, peer[0] if peer else "", self._receive)
        self._since = self._shared.now
        if len(self._shared.open) >= self._limits.connections or self._shared.draining:
            self._refuse(_BUSY)
        self._shared.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.open.discard(self)
        self._shared.held_bytes -= self._held + sum(exchange.held for exchange in self._exchanges)
        self._held = 0
        self._deaf = True
        self._transport = cast(Transport, None)
        self._exchanges.clear()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        reader = self._reader
        try:
            reader.feed(data)
        except Refusal as refusal:
            if not self._deaf:
                self._refuse(refusal.answer)
        if reader.phase != IDLE and not self._deaf:
            self._await_rest(len(data))

    def _await_rest(self, more: int) -> None:
        self._held += more
        self._shared.held_bytes += more
        stage = (self._reader.number, self._reader.phase)
        if stage != self._stage:
            self._stage = stage
            self._since = self._shared.now
        if self._shared.held_bytes > self._limits.held_bytes:
            self._refuse(_BUSY)
        elif self._reader.expects_continue and not self._exchanges:
            self._write_ready()

    def eof_received(self) -> bool:
        """A client may close its side and wait for its answers: True keeps ours open for them."""
        if self._reader.phase != IDLE and not self._deaf:
            self._refuse(malformed("it ended before it was whole"))
        self._deaf = True
        self._lingers = False
        if self._exchanges:
            self._exchanges[-1].last = True
        return bool(self._exchanges)

    def pause_writing(self) -> None:
        self._unread_since = self._shared.now
        self._throttle()

    def resume_writing(self) -> None:
        self._unread_since = inf
        self.advance()

    # What we do about it.

    def _receive(self, request: Request, last: bool, old: bool) -> None:
        if self._deaf:
            return  # The rest of a chunk whose first requests were the last to be answered.
        self._deaf = last
        self._exchanges.append(Exchange(self, request, last, old, self._held))
        self._waiting_bytes += len(request.body)
        self._held = 0
        self.advance()

    def advance(self) -> None:
        """Write the answers whose turn it is, give waiting requests to `handle`, go on or stop reading."""
        # A reply that comes while we are at it is seen by the loop below; answering it from inside would nest as
        # deep as requests were pipelined.
        if self._advancing or self._transport is None:
            return
        self._advancing = True
        exchanges = self._exchanges
        try:
            while True:
                if exchanges and exchanges[0].answer is not None:
                    self._write_ready()
                if self._started == len(exchanges) or not self._may_start():
                    break
                self._start_next()
        finally:
            self._advancing = False
        if self._paused or (exchanges and self._crowded()):
            self._throttle()

    def _write_ready(self) -> None:
        exchanges = self._exchanges
        ready = b""
        while exchanges and (answer := exchanges[0].answer) is not None:
            exchange = exchanges.popleft()
            if self._started:  # A refusal has its answer without being started.
                self._started -= 1
            self._waiting_bytes -= exchange.size
            self._shared.held_bytes -= exchange.held
            last = exchange.last or (self._shared.draining and not exchanges and self._reader.phase == IDLE)
            connection = CLOSE if last else KEEP_ALIVE if exchange.old else b""
            ready += render(answer, exchange.lines, self._shared.date, connection, exchange.body_wanted)
            if last:
                self._finish(ready)
                return
        if not exchanges:
            self._since = self._shared.now
            if self._reader.expects_continue:
                self._reader.expects_continue = False
                ready += CONTINUE
        if ready:
            self._transport.write(ready)

    def _finish(self, ready: bytes) -> None:
        """Send the last bytes of this connection, and end it."""
        self._deaf = True
        self._since = self._shared.now
        self._transport.write(ready)
        if not self._lingers:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def _may_start(self) -> bool:
        return self._started < self._limits.waiting and self._unread_since == inf

    def _start_next(self) -> None:
        exchange = self._exchanges[self._started]
        self._started += 1
        request, exchange.request = exchange.request, None
        if request is None:
            return
        try:
            self._shared.handle(request, exchange.reply)
        except Exception as error:
            exchange.reply(failure(error))

    def _crowded(self) -> bool:
        """Whether too much waits for an answer, or answers wait for the client to read them."""
        return (
            len(self._exchanges) >= self._limits.waiting
            or self._waiting_bytes > self._limits.waiting_bytes
            or self._unread_since != inf
        )

    def _throttle(self) -> None:
        """Stop or go on reading."""
        crowded = self._crowded() and not self._deaf
        if crowded == self._paused or self._transport is None or self._transport.is_closing():
            return
        self._paused = crowded
        if crowded:
            self._transport.pause_reading()
        else:
            # The time for which we did not listen is not the client's.
            self._since = self._shared.now
            self._transport.resume_reading()

    def _refuse(self, answer: Answer) -> None:
        """Answer what cannot be read on from, after all that came before it, and end the connection."""
        self._deaf = True
        self._lingers = True
        exchange = Exchange(self, None, True, False, self._held)
        self._held = 0
        self._exchanges.append(exchange)
        # A page that may not read 413 takes it for a broken network, and sends the same again for ever.
        exchange.reply(answer, cors_lines(self._reader.origin))

    # What the clock and the end of the process ask for.

    def check_time(self) -> None:
        """Cut a client that is too slow, or idle for too long."""
        now, limits, phase = self._shared.now, self._limits, self._reader.phase
        age = now - self._since
        if now - self._unread_since > limits.send_s:
            self.abort()
        elif self._exchanges or self._paused:
            return  # It waits for us.
        elif self._deaf:
            if age > limits.linger_s:
                self.abort()
        elif phase == IDLE:
            if age > limits.idle_s:
                self._transport.close()
        elif age > (limits.head_s if phase == HEAD else limits.body_s):
            self._refuse(_SLOW)

    def drain(self) -> None:
        if not self._exchanges and self._reader.phase == IDLE:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


_SLOW = problem(408, "request_timeout", "Too slow", "The request did not come in time. Send it again.")
_BUSY = problem(503, "busy", "Too busy", "The collector holds all it can. Send it again.", retry_after_s=5)
