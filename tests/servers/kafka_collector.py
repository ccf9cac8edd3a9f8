"""A process that appends to a log on Kafka for ever and says what was answered; to be killed.

python -m tests.servers.kafka_collector URL SPOOL CONNECTIONS FIRST
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from cdp.log_kafka import KafkaLogWriter
from cdp.logs import configure_logs


async def connection(writer: KafkaLogWriter, number: int, turn: int) -> None:
    while True:
        await writer.append(b"%d %d" % (number, turn), 1_000, key=b"%d" % number)
        print(number, turn, flush=True)
        turn += 1


async def main(url: str, spool: str, connections: str, first: str) -> None:
    writer = KafkaLogWriter(url, Path(spool), limit_bytes=1 << 30)
    await asyncio.gather(*(connection(writer, number, int(first)) for number in range(int(connections))))


configure_logs("error")
uvloop.run(main(*sys.argv[1:]))
