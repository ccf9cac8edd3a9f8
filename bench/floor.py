"""The floor that intake is measured against: the least that an honest collector does, on common parts.

A minimal ASGI app under uvicorn with uvloop and httptools: it checks the key, decodes the envelope with msgspec,
appends the body to a file, and answers after an fdatasync that all shared who came meanwhile.

    python -m bench.floor --port 9100 --file /tmp/floor.log --key bench-key
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from collectors.server import listen


class Single(msgspec.Struct):
    messageId: str  # noqa: N815, the sender's name
    type: str
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    context: msgspec.Raw = msgspec.Raw(b"{}")


class Batch(msgspec.Struct):
    batch: list[Single]


class SyncedFile:
    """Appends that come while a sync runs share the next one."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._syncing: asyncio.Task[None] | None = None

    def append(self, data: bytes) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting.append((data, done))
        if self._syncing is None:
            self._syncing = loop.create_task(self._sync())
        return done

    async def _sync(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            await loop.run_in_executor(None, self._write, b"\n".join(data for data, _ in group))
            for _, done in group:
                done.set_result(None)
        self._syncing = None

    def _write(self, data: bytes) -> None:
        os.write(self._file, data)
        os.fdatasync(self._file)


class Floor:
    """The ASGI app."""

    def __init__(self, file: SyncedFile, key: str) -> None:
        self._file = file
        self._keys = {b"Basic " + base64.b64encode(f"{key}:".encode())}
        self._single = msgspec.json.Decoder(Single)
        self._batch = msgspec.json.Decoder(Batch)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        status = 401
        if dict(scope["headers"]).get(b"authorization") in self._keys:
            (self._batch if scope["path"] == "/v1/batch" else self._single).decode(body)
            await self._file.append(body)
            status = 200
        headers = [(b"content-type", b"application/json"), (b"content-length", b"16")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"success":true}'})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--key", required=True)
    args = parser.parse_args()
    config = uvicorn.Config(
        Floor(SyncedFile(args.file), args.key),  # type: ignore[arg-type]
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
    uvicorn.Server(config).run(sockets=[listen("127.0.0.1", args.port)])


if __name__ == "__main__":
    main()
