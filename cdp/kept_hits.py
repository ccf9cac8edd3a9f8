"""Kept hits, opened: what lies sealed in the log."""

from __future__ import annotations

import msgspec
from cryptography.exceptions import InvalidTag

from cdp.log import LogReader, Record
from cdp.model import Hit, Position
from cdp.vault import Cipher


class KeptHits:
    """Safe to use from any thread."""

    def __init__(self, log: LogReader, secret: bytes) -> None:
        self._log, self._cipher = log, Cipher(secret, "log")

    def find(self, position: Position) -> Hit | None:
        """A hit as it came; None where it was never there, is past its retention or cannot be opened."""
        records = self._log.read(position.partition, position.offset, 1)
        if not records or records[0].offset != position.offset:
            return None
        return self.opened(records[0])

    def opened(self, record: Record) -> Hit | None:
        return self.open_payload(record.payload)

    def open_payload(self, payload: bytes) -> Hit | None:
        """The hit in a record of the log; None where it cannot be opened."""
        try:
            return msgspec.msgpack.decode(self._cipher.open(payload), type=Hit)
        except (InvalidTag, msgspec.DecodeError):
            return None
