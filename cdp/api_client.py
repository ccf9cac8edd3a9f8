"""The one way in which every command reaches the product: a server that runs, or else the very same API in process.

A server is found by XUNJI_URL, or by the note that it leaves in the data folder. Where there is none, the stores are
opened here and the API is called without a socket, so a command has one path and one answer either way.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import httpx

from cdp.errors import Retryable, XunjiError
from cdp.running import alive
from cdp.settings import Settings

if TYPE_CHECKING:
    from cdp.wiring import System

T = TypeVar("T")

API = "/api/v1"
MAX_PAGE = 1_000
TIMEOUT_S = 60.0
"""A command may look through all that is kept."""
WHOLE_GRAPH_S = 1_800.0
"""For what goes through all evidence: minutes for a million observations."""
UPLOAD_BYTES = 1024 * 1024
PROBE_S = 5.0
IN_PROCESS = "http://in-process"
_NEW_FOLDER = (
    "No product runs here, and there was no data: {0} is made anew. If yours lies elsewhere, run this in its folder or "
    "set XUNJI_DATA_DIR.\n"
    "这里没有运行中的产品，也没有数据，将新建 {0}；如数据在别处，请进入该目录或设置 XUNJI_DATA_DIR。\n"
)
"""Or a command given in another folder would found a second product without a word."""
_HERE = ("http://127.", "http://localhost:", "http://[::1]:")


class ServerUnavailable(Retryable):
    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"The server at {url} does not answer: {cause}. Start it with `cdp serve`, or mend XUNJI_URL.")


class Declined(XunjiError):
    """The API's answer is a problem. `status` is HTTP's; the text is its detail, with the fields that it names."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        wrong = [
            f"{each.get('path') or 'the body'}: expected {each.get('expected')}, got {each.get('got')}"
            for each in problem.get("errors") or ()
        ]
        super().__init__("; ".join([problem.get("detail") or f"The server answered {status}.", *wrong]))


class ApiClient:
    """Calls the API with the admin key. Not thread-safe. Make it with `connect` or `client_of`."""

    def __init__(self, http: httpx.AsyncClient, runner: asyncio.Runner) -> None:
        self._http = http
        self._runner = runner

    @property
    def in_process(self) -> bool:
        return str(self._http.base_url) == IN_PROCESS

    def get(self, path: str, **query: Any) -> Any:
        """The answer to GET, `query` without what is None. Raises Declined, ServerUnavailable."""
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def all(self, path: str, field: str) -> list[Any]:
        """Every entry of a list that comes in pages, `field` naming the entries. Raises as `get`."""
        entries: list[Any] = []
        cursor: str | None = None
        while True:
            page = self.get(path, limit=MAX_PAGE, cursor=cursor)
            entries += page[field]
            cursor = page.get("next")
            if not cursor:
                return entries

    def post(self, path: str, body: dict[str, Any], *, timeout_s: float = TIMEOUT_S) -> Any:
        """The answer to POST, `body` without what is None. Raises Declined, ServerUnavailable."""
        given = {name: value for name, value in body.items() if value is not None}
        return self._call("POST", path, json=given, timeout=timeout_s)

    def upload(self, path: str, file: Path, **query: Any) -> Any:
        """The answer to POST with the bytes of a file. Raises Declined, ServerUnavailable."""

        async def parts() -> AsyncIterator[bytes]:
            with file.open("rb") as source:
                while part := source.read(UPLOAD_BYTES):
                    yield part

        given = {name: value for name, value in query.items() if value is not None}
        return self._call("POST", path, params=given, content=parts(), timeout=WHOLE_GRAPH_S)

    def download(self, path: str, file: Path, **query: Any) -> None:
        """Write the answer to GET into a file, which is whole or not there. Raises Declined, ServerUnavailable."""
        self._answered(self._download(API + path, file, query))

    async def _download(self, path: str, file: Path, query: dict[str, Any]) -> None:
        coming = file.with_name(f"{file.name}.part")
        async with self._http.stream("GET", path, params=query, timeout=WHOLE_GRAPH_S) as answer:
            if answer.is_error:
                await answer.aread()
                raise Declined(answer.status_code, _body(answer) or {})
            try:
                with coming.open("wb") as out:
                    async for part in answer.aiter_bytes():
                        out.write(part)
                coming.replace(file)
            finally:
                coming.unlink(missing_ok=True)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to PATCH. Raises Declined, ServerUnavailable."""
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        """The answer to DELETE. Raises Declined, ServerUnavailable."""
        return self._call("DELETE", path)

    def health(self, path: str) -> tuple[int, Any]:
        """Status and body of a path at the root, such as /readyz. Raises ServerUnavailable."""
        answer = self._send("GET", path)
        return answer.status_code, _body(answer)

    def _call(self, method: str, path: str, **content: Any) -> Any:
        answer = self._send(method, API + path, **content)
        if answer.is_error:
            body = _body(answer)
            raise Declined(answer.status_code, body if isinstance(body, dict) else {})
        return _body(answer)

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        return self._answered(self._http.request(method, path, **content))

    def _answered(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(asking)
        except httpx.TransportError as error:
            raise ServerUnavailable(str(self._http.base_url), str(error) or type(error).__name__) from error


def _body(answer: httpx.Response) -> Any:
    try:
        return answer.json() if answer.content else None
    except ValueError:
        return answer.text


@contextmanager
def connect(
    settings: Settings,
    *,
    processing: bool = False,
    segments: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Iterator[ApiClient]:
    """A client of the server that runs, else of the API in process; there, `segments` first brings up to date who is in
    segments, `processing` runs the worker besides, and `progress` is told how many observations were read by what goes
    through all of them.

    Raises ServerUnavailable where XUNJI_URL names a server that does not answer, StoreUnavailable and
    ConfigurationError where the stores cannot be opened.
    """
    url = settings.url.rstrip("/") or running_server(settings)
    if not url and not settings.data.exists() and "XUNJI_DATA_DIR" not in os.environ:
        sys.stderr.write(_NEW_FOLDER.format(settings.data.absolute()))
    if url:
        with client_of(url, settings.admin) as client:
            status, _ = client.health("/healthz")
            if status >= 500:
                raise ServerUnavailable(url, f"/healthz answers {status}")
            yield client
        return
    from cdp.at_work import doing_jobs, working
    from cdp.logs import configure_logs
    from cdp.records import is_shared
    from cdp.wiring import open_system

    # What a server tells of its everyday work is not what somebody asks for who gives one command.
    configure_logs("error" if settings.log_level == "error" else "warning")
    system = open_system(settings)
    # Of shared stores the scheduler alone writes who is in segments, which has a lease for it.
    keeps = not is_shared(system.records)
    try:
        if segments and keeps:
            system.live_segments.drain()
        with ExitStack() as stack:
            if processing:
                stack.enter_context(working(system))
                stack.enter_context(doing_jobs(system, segments=keeps))
            yield stack.enter_context(client_of(IN_PROCESS, settings.admin, transport=_transport(system, progress)))
    finally:
        system.close()


@contextmanager
def client_of(url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> Iterator[ApiClient]:
    """A client of the server at `url`, whether it answers or not."""
    headers = {"Authorization": f"Bearer {key}"}
    # A proxy that the environment names leads away from this machine, never back to it.
    proxied = not url.startswith(_HERE)
    http = httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S, transport=transport, trust_env=proxied)
    with asyncio.Runner() as runner:
        try:
            yield ApiClient(http, runner)
        finally:
            runner.run(http.aclose())


def _transport(system: System, progress: Callable[[int], None] | None) -> httpx.AsyncBaseTransport:
    from api.app import create_app

    app = create_app(system)
    if progress is not None:
        app.state.services.progress.append(progress)
    return httpx.ASGITransport(app, raise_app_exceptions=False)


class Note(NamedTuple):
    """What a running app process says of itself in `{data}/run/app.json`."""

    pid: int
    url: str


def note_of(settings: Settings) -> Note | None:
    """The note of the app process of this data folder, if that process lives."""
    try:
        said = json.loads((settings.data / "run" / "app.json").read_text())
        note = Note(int(said["pid"]), _reachable(str(said["url"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if alive(note.pid) else None


def running_server(settings: Settings) -> str | None:
    """The URL of this data folder's server. Raises ServerUnavailable where it is there and hangs."""
    note = note_of(settings)
    if note is None:
        return None
    try:
        answer = httpx.get(f"{note.url}/healthz", timeout=PROBE_S, trust_env=False)
    except httpx.ConnectError:
        # A crash left the note, and another process has its pid now.
        return None
    except httpx.TransportError as error:
        raise ServerUnavailable(note.url, str(error) or type(error).__name__) from error
    return note.url if answer.is_success else None


def _reachable(url: str) -> str:
    """Whoever listens on all addresses is reached on this machine's own."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//:::", "//[::1]:")
