"""A file on our disk that nobody reads without the deployment's secret: sealed block by block, read from any place."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from cdp.vault import Cipher

BLOCK_BYTES = 1024 * 1024
SEAL_BYTES = 28
"""What sealing adds to a block: a nonce before it and a tag behind."""


class SealedWriter:
    """Appends; durable after `close`. A file that is there already is replaced."""

    def __init__(self, path: Path, cipher: Cipher) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._cipher = cipher
        self._waiting = bytearray()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._waiting += data
        self.size += len(data)
        while len(self._waiting) >= BLOCK_BYTES:
            self._file.write(self._cipher.seal(bytes(self._waiting[:BLOCK_BYTES])))
            del self._waiting[:BLOCK_BYTES]

    def close(self) -> None:
        if self._waiting:
            self._file.write(self._cipher.seal(bytes(self._waiting)))
            self._waiting.clear()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class SealedReader(io.RawIOBase):
    """A raw stream; wrap it in `io.BufferedReader`. Keeps one block open."""

    def __init__(self, path: Path, cipher: Cipher) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._cipher = cipher
        sealed = path.stat().st_size
        blocks = -(-sealed // (BLOCK_BYTES + SEAL_BYTES))
        self._size = sealed - blocks * SEAL_BYTES
        self._at = 0
        self._block = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        number, inside = divmod(self._at, BLOCK_BYTES)
        if self._at >= self._size:
            return 0
        if self._block[0] != number:
            self._file.seek(number * (BLOCK_BYTES + SEAL_BYTES))
            self._block = (number, self._cipher.open(self._file.read(BLOCK_BYTES + SEAL_BYTES)))
        part = self._block[1][inside : inside + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_sealed(path: Path, cipher: Cipher) -> io.BufferedReader:
    return io.BufferedReader(SealedReader(path, cipher), BLOCK_BYTES)
