"""The appending end: a hit is answered when all in-sync replicas have it, or when it lies in the spool of this machine.

The producer never gives a hit up, so the brokers get all of them in order, however long they are away; the spool keeps
beside it what must outlive this process meanwhile. Once a hit has waited for too long, all that are unconfirmed are
written to the spool and answered; from then on hits go into the spool first and from there to the producer, until the
spool is empty. What was under way when a process or a broker died may arrive twice, which the memory of seen ids makes
harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cdp.errors import ConfigurationError, StoreUnavailable
from cdp.kafka_url import KafkaUrl, parse_kafka_url
from cdp.log import NOTHING_SPOOLED, Spooled
from cdp.log_kafka.topic import HITS, LARGEST_BYTES, code_of, ensure_topic, open_admin, options, translated
from cdp.model import Millis, Position
from cdp.spool import Spool, open_free_spool, open_left_spool

log = structlog.get_logger()

SLOW_S = 1.0
"""A hit that is unconfirmed for so long goes into the spool: an SDK on a phone hardly waits for longer."""
PATIENT_S = 10.0
"""The same where there is no spool, for nobody's SDK waits there."""
TICK_S = 0.001
"""Between two looks at what was delivered. They are taken by the loop: a thread for them costs more than it saves."""
SPOOLING_TICK_S = 0.01
LINGER_MS = 0.5
"""For which a hit waits for others to travel with."""
FORWARDED_HITS, FORWARDED_BYTES = 2_000, 1024 * 1024
"""Of the spool at a time; no more is read while so many hits are under way."""
UNDER_WAY_KB = 256 * 1024
"""Of hits in the producer's memory; what comes beyond goes into the spool."""
RETRY_S = 1.0
"""Before the brokers are given again what they refused."""
LOOK_FOR_LEFT_S = 10.0
"""Between two looks for spools of dead collectors; before the first, so that those that start beside us take theirs."""
CLOSING_S = 3.0
NO_ROOM = "more hits are under way than memory has room for"


class _Hit:
    """One that the producer has. `number` is its place in the spool, 0 while it has none."""

    __slots__ = ("durable", "key", "number", "payload", "received_at", "since")

    def __init__(
        self,
        received_at: Millis,
        key: bytes,
        payload: bytes,
        *,
        since: float,
        durable: asyncio.Future[Position | None] | None = None,
        number: int = 0,
    ) -> None:
        self.received_at, self.key, self.payload = received_at, key, payload
        self.since, self.durable, self.number = since, durable, number


class KafkaLogWriter:
    """Made in the event loop to which it belongs; with a spool it starts also while the brokers are away.

    Without a `folder` there is no spool: an append that takes too long fails with StoreUnavailable, and may be kept
    all the same. `spooling` says whether hits go into the spool now. Raises ConfigurationError for a topic that cannot
    hold hits.
    """

    def __init__(self, url: str, folder: Path | None, *, limit_bytes: int = 0) -> None:
        self._url = parse_kafka_url(url)
        self._topic = self._url.topic(HITS)
        self._loop = asyncio.get_running_loop()
        self._folder = folder
        self._producer = open_producer(self._url, self._complain)
        self._admin = open_admin(self._url)
        self._unconfirmed: dict[_Hit, None] = {}
        """In the order in which the producer got them."""
        self._handed = 0
        """The last number of the spool that the producer got."""
        self._complaint = ""
        """The last that the producer had to say about the brokers."""
        self._refused = ""
        """Why the brokers took a hit not; all of the spool is given to them again."""
        self._resume_at = 0.0
        self._at_a_time = FORWARDED_HITS
        """One after a refusal, or what lies behind it would be given to the brokers again with each attempt."""
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Future[int] | None = None
        self._left: Spool | None = None
        self._look_at = self._loop.time() + LOOK_FOR_LEFT_S
        self._closed = False
        self._spool = None if folder is None else open_free_spool(folder, limit=limit_bytes)
        self.name = self._spool.name if self._spool else "0"
        self._slow_s = SLOW_S if self._spool else PATIENT_S
        self._topic_is_there = self._find_topic()
        self.spooling = self._spool is not None and not (self._spool.empty and self._topic_is_there)
        self._tick()

    def append(self, payload: bytes, received_at: Millis, *, key: bytes = b"") -> asyncio.Future[Position | None]:
        if self._closed:
            raise StoreUnavailable("log", "this process has closed it")
        durable: asyncio.Future[Position | None] = self._loop.create_future()
        hit = _Hit(received_at, key, payload, since=self._loop.time(), durable=durable)
        if not self.spooling and not self._send(hit):
            if self._spool is None:
                raise StoreUnavailable("log", self._refused or NO_ROOM)
            self._fall_back(self._refused or NO_ROOM)
        if self.spooling:
            assert self._spool is not None  # noqa: S101  (narrows the type)
            self._spool.add(received_at, key, payload, durable=durable)
        self._keep_ticking()
        return durable

    def healthy(self) -> bool:
        return not self.spooling or self._spool is None or (self._spool.healthy and not self._refused)

    def spooled(self) -> Spooled:
        return Spooled(self._spool.waiting, self._spool.size) if self._spool else NOTHING_SPOOLED

    def try_again(self) -> None:
        if self._closed:
            return
        self._producer.poll(0)
        if self._spool is not None:
            self._spool.try_again()
            if not self.spooling and self._loop.time() > self._look_at:
                self._adopt(self._spool)

    async def close(self) -> None:
        """What the brokers do not take in time is left in the spool, for the next process."""
        if self._closed:
            return
        self._closed = True
        deadline = self._loop.time() + CLOSING_S
        while (self._unconfirmed or self.spooling) and self._loop.time() < deadline:
            await asyncio.sleep(TICK_S)
        if self._timer is not None:
            self._timer.cancel()
        for spool in (self._spool, self._left):
            if spool is not None:
                spool.close()
        self._producer.purge()
        self._producer.poll(0)
        await self._loop.run_in_executor(None, self._producer.close)

    # Hits to the producer, and what it says of them.

    def _send(self, hit: _Hit) -> bool:
        """Whether the producer had room for it."""
        try:
            self._producer.produce(
                self._topic,
                hit.payload,
                hit.key or None,
                timestamp=hit.received_at,
                on_delivery=partial(self._delivered, hit),
            )
        except BufferError:
            return False
        except KafkaException as error:
            if code_of(error) != KafkaError._FATAL:
                raise
            self._note_refusal(str(error))
            return False
        self._unconfirmed[hit] = None
        return True

    def _delivered(self, hit: _Hit, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._not_delivered(hit, error)
        del self._unconfirmed[hit]
        if error is None and not self._refused:
            self._at_a_time = FORWARDED_HITS
        if error is None and hit.durable is not None and not hit.number and not hit.durable.done():
            hit.durable.set_result(Position(message.partition(), message.offset()))

    def _not_delivered(self, hit: _Hit, error: KafkaError) -> None:
        """One that is refused is never lost: it is, or comes into the spool, and is given to the brokers again."""
        if self._closed:
            if hit.durable is not None and not hit.durable.done():
                hit.durable.set_exception(StoreUnavailable("log", error.str()))
            return
        if not self.spooling:
            self._fall_back(error.str())
        if self._spool is not None and not self._refused:
            self._note_refusal(error.str())

    def _note_refusal(self, reason: str) -> None:
        log.error("brokers_refuse_hits", reason=reason)
        self._refused = reason
        self._at_a_time = 1
        self._resume_at = self._loop.time() + RETRY_S

    def _complain(self, error: KafkaError) -> None:
        self._complaint = error.str()

    def _tick(self) -> None:
        self._timer = None
        self._producer.poll(0)
        if self.spooling:
            self._forward()
        elif self._unconfirmed and self._loop.time() - next(iter(self._unconfirmed)).since > self._slow_s:
            self._fall_back(self._complaint or f"the brokers have confirmed nothing for {self._slow_s} s")
        if self._unconfirmed or self.spooling:
            self._keep_ticking()

    def _keep_ticking(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(SPOOLING_TICK_S if self.spooling else TICK_S, self._tick)

    # The spool.

    def _fall_back(self, reason: str) -> None:
        """Let what is unconfirmed be safe here; it stays with the producer all the same."""
        if self._spool is None:
            for hit in self._unconfirmed:
                if hit.durable is not None and not hit.durable.done():
                    hit.durable.set_exception(StoreUnavailable("log", reason))
            return
        log.warning("spooling", reason=reason, unconfirmed=len(self._unconfirmed))
        self._begin_spooling(self._spool)

    def _begin_spooling(self, spool: Spool, *, limited: bool = True) -> None:
        self.spooling = True
        for hit in self._unconfirmed:
            hit.number = spool.add(hit.received_at, hit.key, hit.payload, durable=hit.durable, limited=limited)
            self._handed = hit.number

    def _forward(self) -> None:
        """Give the producer more of the spool, forget what the brokers have, and leave the spool once it is empty."""
        assert self._spool is not None  # noqa: S101  (narrows the type)
        if not self._topic_is_there:
            self._look_for_topic()
            return
        if self._refused:
            if not self._unconfirmed and self._loop.time() > self._resume_at:
                self._begin_again()
            return
        first = next(iter(self._unconfirmed), None)
        self._spool.forget(first.number - 1 if first else self._handed)
        if len(self._unconfirmed) < self._at_a_time:
            for kept in self._spool.read(self._handed, self._at_a_time, FORWARDED_BYTES):
                hit = _Hit(kept.received_at, kept.key, kept.payload, since=0, number=kept.number)
                if not self._send(hit):
                    return
                self._handed = kept.number
        if not self._unconfirmed and self._spool.empty:
            self.spooling = False
            log.info("spool_forwarded")

    def _begin_again(self) -> None:
        """With a new producer, for one that met a fatal error takes nothing more."""
        self._producer = open_producer(self._url, self._complain)
        self._handed = 0
        self._refused = ""

    def _adopt(self, spool: Spool) -> None:
        """Take over a helping of a spool that a dead collector left."""
        if self._left is None and self._folder is not None:
            self._look_at = self._loop.time() + LOOK_FOR_LEFT_S
            self._left = open_left_spool(self._folder)
        if self._left is None:
            return
        if hits := self._left.read(0, FORWARDED_HITS, FORWARDED_BYTES):
            # Its hits lie on this disk already, and those under way would do well without our spool.
            self._begin_spooling(spool, limited=False)
            for hit in hits:
                spool.add(hit.received_at, hit.key, hit.payload, durable=None, limited=False)
            if spool.commit():
                self._left.forget(hits[-1].number)
            self._keep_ticking()
        if not self._left.waiting:
            log.info("spool_adopted", name=self._left.name)
            self._left.discard()
            self._left = None
        elif not self._left.healthy:
            log.warning("spool_unreadable", name=self._left.name)
            self._left.close()
            self._left = None

    def _find_topic(self) -> bool:
        try:
            ensure_topic(self._admin, self._url, patience_s=self._slow_s)
        except StoreUnavailable as error:
            if self._spool is None:
                raise
            log.warning("spooling", reason=str(error), unconfirmed=0)
            return False
        return True

    def _look_for_topic(self) -> None:
        if self._asking is None and self._loop.time() > self._resume_at:
            self._asking = self._loop.run_in_executor(None, ensure_topic, self._admin, self._url)
            self._asking.add_done_callback(self._looked_for_topic)

    def _looked_for_topic(self, asked: asyncio.Future[int]) -> None:
        self._asking = None
        self._resume_at = self._loop.time() + RETRY_S
        try:
            asked.result()
        except StoreUnavailable:
            return
        except ConfigurationError as error:
            log.error("brokers_refuse_hits", reason=str(error))
            self._refused = str(error)
        else:
            self._topic_is_there = True
            self._refused = ""


def open_producer(url: KafkaUrl, complain: Callable[[KafkaError], None] = lambda error: None) -> Producer:
    with translated():
        return Producer(
            {
                "linger.ms": LINGER_MS,
                "queue.buffering.max.kbytes": UNDER_WAY_KB,
                **options(url),
                "error_cb": complain,
                # Never two of one, never one before another, and never one too few.
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": 0,
                "message.max.bytes": LARGEST_BYTES,
            }
        )
