"""Stands between a client and a collector on real sockets, and does to each request what its script says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

SLOW_S = 0.4
"""A hanging answer; longer than the timeout of a client that is tested with it."""

Step = int | str
"""A status to answer with; or `pass`, `hang`, `cut` (the answer is cut after the collector took the request), `close`
(the connection closes before it does), `page` (200 with a page to sign in)."""


class Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = httpx.Client(base_url=upstream, trust_env=False, timeout=30)
        self.script: list[Step] = []
        self.seen: list[Step] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def plays(self, *steps: Step) -> Proxy:
        """What is to happen to the next requests; all after them pass."""
        self.script, self.seen, self.bodies = list(steps), [], []
        return self


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        step = self.server.script.pop(0) if self.server.script else "pass"
        self.server.seen.append(step)
        self.server.bodies.append(body)
        if step in ("pass", "cut"):
            answer = self.server.upstream.post(self.path, content=body, headers={"content-type": "application/json"})
            self._answer(answer.status_code, answer.content, cut=step == "cut")
        elif step == "hang":
            threading.Event().wait(SLOW_S)
            self.close_connection = True
        elif step == "close":
            self.close_connection = True
        elif step == "page":
            self._answer(200, b"<html>Sign in</html>")
        else:
            self._answer(int(step), b"")

    def _answer(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def flaky_proxy(upstream: str) -> Iterator[Proxy]:
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        proxy.upstream.close()
        thread.join()
