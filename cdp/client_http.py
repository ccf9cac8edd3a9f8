"""One batch to the collector and what its answer says of each event; a network that fails is an answer too."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import httpx
import msgspec

from cdp.client_queue import Waiting

LONGEST_WAIT_S = 300.0
"""Of what a server may ask for."""

_PASSING = frozenset({408, 425, 429})
_FOR_EVER = frozenset({501, 505})
_TOO_LARGE = 413


class Failure(msgspec.Struct, frozen=True):
    """One event that was not taken, and will not be: `reason` is the collector's word (`MALFORMED_EVENT`), the code of
    a refusal of the whole request (`unknown_source`), or `NOT_DELIVERED`; `detail` says what to do."""

    message_id: str
    reason: str
    detail: str


class Sent(msgspec.Struct, frozen=True):
    """What became of a batch. Events that are in neither list are to be sent again, after `wait_s` where the server
    asks for it; `too_large` says that fewer together may be taken."""

    taken: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    too_large: bool = False
    wait_s: float | None = None
    trouble: str = ""


class _WithoutKeys(logging.Filter):
    """httpx logs each address, and that of a form at a collector ends in a key. Other addresses of the program that
    the client runs in are not touched."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(self._hidden(each) if isinstance(each, httpx.URL) else each for each in record.args)
        return True

    def _hidden(self, url: httpx.URL) -> httpx.URL | str:
        form = next((form for form in self.forms if str(url).startswith(form)), "")
        return f"{form}****" if form else url


_WITHOUT_KEYS = _WithoutKeys()


def http_client(url: str, timeout_s: float) -> httpx.Client:
    # A proxy that the environment names leads away from this machine, never back to it.
    http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=not _is_here(httpx.URL(url)))
    _WITHOUT_KEYS.forms.add(f"{str(http.base_url).rstrip('/')}/f/")
    logging.getLogger("httpx").addFilter(_WITHOUT_KEYS)
    return http


def _is_here(url: httpx.URL) -> bool:
    try:
        return url.scheme == "http" and (url.host == "localhost" or ip_address(url.host).is_loopback)
    except ValueError:
        return False


def post_batch(http: httpx.Client, key: str, batch: Sequence[Waiting]) -> Sent:
    """Never raises for what the network or the server do."""
    try:
        answer = http.post("/v1/batch?results=1", content=_body(key, batch), headers=_JSON)
    except httpx.HTTPError as error:
        return Sent(trouble=str(error) or type(error).__name__)
    told = told_by(answer)
    if answer.is_success:
        # Whoever answers 200 with something else, such as a page to sign in to a network, is not the collector.
        return _results(batch, told) if told.get("success") is True else Sent(trouble="200 is not the collector's")
    if answer.status_code == _TOO_LARGE and len(batch) > 1:
        return Sent(too_large=True)
    if passes(answer.status_code, told):
        return Sent(wait_s=asked_wait_s(answer), trouble=f"{answer.status_code}: {told.get('detail', '')}")
    reason, detail = str(told.get("code") or answer.status_code), str(told.get("detail") or "The server refused it.")
    return Sent(failures=[Failure(each.id, reason, detail) for each in batch])


_JSON = {"Content-Type": "application/json"}


def _body(key: str, batch: Sequence[Waiting]) -> bytes:
    """The events as they were made; only the time of sending is new with each try."""
    head = msgspec.json.encode({"writeKey": key, "sentAt": datetime.now(UTC)})
    return head[:-1] + b',"batch":[' + b",".join(each.body for each in batch) + b"]}"


def _results(batch: Sequence[Waiting], told: dict[str, Any]) -> Sent:
    results = told.get("results")
    taken, failures = [], []
    for each in batch:
        result = results.get(each.id, _TAKEN) if isinstance(results, dict) else _TAKEN
        if result.get("result") == "drop":
            failures.append(Failure(each.id, str(result.get("reason")), str(result.get("detail"))))
        elif result.get("result") != "retry":
            taken.append(each.id)
    return Sent(taken=taken, failures=failures)


_TAKEN = {"result": "ok"}


def told_by(answer: httpx.Response) -> dict[str, Any]:
    """The object that an answer holds, an empty one for all else."""
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def passes(status: int, told: dict[str, Any]) -> bool:
    """Whether the same may be taken later. The collector says so; for what stands in front of it the status does."""
    if told.get("result") in ("retry", "drop"):
        return bool(told["result"] == "retry")
    return status < 400 or status in _PASSING or (status >= 500 and status not in _FOR_EVER)


def asked_wait_s(answer: httpx.Response) -> float | None:
    """Retry-After in seconds, whether it counts them or names a date."""
    asked = answer.headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return min(float(asked), LONGEST_WAIT_S)
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return None
    return min(max(0.0, (until - datetime.now(until.tzinfo)).total_seconds()), LONGEST_WAIT_S)
