"""The client of a team's own server, against a collector process and a network that fails: nothing is lost, and by the
accounting nothing counts twice."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from cdp import client_sender
from cdp.accounting import statement
from cdp.client import Client, ClientError, Failure, LeadRefused, NotDelivered, QueueFull
from cdp.client_http import http_client
from cdp.model import SourceKind
from cdp.settings import Settings
from cdp.wiring import System, open_system
from tests.cdp.flaky_proxy import SLOW_S, Proxy, flaky_proxy
from tests.real.product import free_port

KEY = "server-key"
NOWHERE = "http://127.0.0.1:9"
READY_S = 30.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    opened = open_system(Settings(data_dir=tmp_path_factory.mktemp("data")))
    opened.book.create("server", SourceKind.SERVER, key=KEY)
    opened.sources.refresh()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def collector(system: System) -> Iterator[str]:
    port = free_port()
    env = os.environ | {"XUNJI_DATA_DIR": str(system.settings.data), "XUNJI_COLLECTOR_PORT": str(port)}
    command = [sys.executable, "-m", "cdp", "serve", "--role", "collector"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + READY_S
        while not _answers(url):
            assert time.monotonic() < until
            time.sleep(0.05)
        yield url
        process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def proxy(collector: str) -> Iterator[Proxy]:
    with flaky_proxy(collector) as opened:
        yield opened


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_sender, "BACKOFF_S", 0.01)


class Books:
    """What the accounting counts from here on."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._before = self._counts()

    def counted(self) -> dict[str, int]:
        self._system.worker.drain()
        now = self._counts()
        return {name: n - self._before[name] for name, n in now.items()}

    def _counts(self) -> dict[str, int]:
        told = statement(self._system.records, self._system.log.ends())
        assert told["balanced"]
        rows = [row["events"] for row in told["rows"] if row["source"] == "server"]
        return {name: sum(row[name] for row in rows) for name in ("stored", "duplicate")}


@pytest.fixture
def books(system: System) -> Books:
    system.worker.drain()
    return Books(system)


def make_client(url: str, **options: Any) -> Client:
    return Client(KEY, url, **{"interval_s": 0.02, "timeout_s": SLOW_S / 2, **options})


def send(client: Client, count: int) -> list[str]:
    return [client.track("seat_viewed", user_id="u1", properties={"number": number}) for number in range(count)]


def test_nothing_is_lost_or_counts_twice_however_the_network_fails(proxy: Proxy, books: Books) -> None:
    failing = [503, 429, "hang", "close", "page", "cut", 500]
    with make_client(proxy.plays(*failing).url, batch_events=10) as client:
        send(client, 25)
        report = client.flush(20)
    assert (report.delivered, report.lost, report.waiting) == (25, 0, 0)
    assert proxy.seen[:7] == failing
    counted = books.counted()
    # The answer that was cut had been given for a batch, which came again.
    assert counted["stored"] == 25
    assert counted["duplicate"] > 0


def test_what_is_too_large_together_is_sent_in_halves_in_its_order(proxy: Proxy, books: Books) -> None:
    with make_client(proxy.plays(413, 413).url, interval_s=60) as client:
        ids = send(client, 8)
        assert client.flush(10).delivered == 8
    assert [body.count(b'"messageId"') for body in proxy.bodies] == [8, 4, 2, 2, 4]
    positions = [b"".join(proxy.bodies[2:]).index(id_.encode()) for id_ in ids]
    assert positions == sorted(positions)
    assert books.counted() == {"stored": 8, "duplicate": 0}


def test_one_that_is_too_large_alone_is_told(proxy: Proxy, books: Books) -> None:
    with make_client(proxy.plays(413, 413).url, interval_s=60) as client:
        first, _ = send(client, 2)
        report = client.flush(10)
    assert [(failure.message_id, failure.reason) for failure in report.failures] == [(first, "413")]
    assert books.counted()["stored"] == 1


def test_a_bad_event_is_told_and_the_others_are_taken(proxy: Proxy, books: Books) -> None:
    told: list[Failure] = []
    with make_client(proxy.plays().url, on_error=told.append) as client:
        client.track("good", user_id="u1")
        bad = client.track("  ", user_id="u1")
        client.track("half an emoji \ud83d", user_id="u1", properties={"at": datetime.now(UTC)})
        report = client.flush(10)
    assert [(failure.message_id, failure.reason) for failure in report.failures] == [(bad, "MALFORMED_EVENT")]
    assert told == list(report.failures)
    assert (report.delivered, books.counted()["stored"]) == (2, 2)


def test_a_wrong_key_is_told_once_and_not_tried_again(proxy: Proxy) -> None:
    told: list[Failure] = []
    with Client("nobodys", proxy.plays().url, interval_s=0.01, on_error=told.append) as client:
        send(client, 2)
        report = client.flush(10)
    assert {failure.reason for failure in report.failures} == {"unknown_source"}
    assert (report.lost, len(told), len(proxy.seen)) == (2, 2, 1)


def test_a_full_queue_makes_the_caller_wait_and_then_raises(proxy: Proxy, books: Books) -> None:
    with make_client(proxy.plays(*[503] * 3).url, queue_events=5, interval_s=60) as client:
        send(client, 5)
        client._sender._room_s = 0.05
        with pytest.raises(QueueFull):
            send(client, 1)
        client._sender._room_s = 10
        client.flush(0)
        send(client, 1)
    assert books.counted() == {"stored": 6, "duplicate": 0}


def test_a_spool_that_cannot_be_made_is_told_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ClientError, match=r"The spool .*taken/spool cannot be used \(Not a directory\)"):
        make_client(NOWHERE, spool=tmp_path / "taken" / "spool")


def test_what_the_end_cuts_off_is_told_and_no_call_is_taken_after_it() -> None:
    client = make_client(NOWHERE)
    ids = send(client, 3)
    report = client.close(0.1)
    assert [(failure.message_id, failure.reason) for failure in report.failures] == [
        (id_, "NOT_DELIVERED") for id_ in ids
    ]
    assert client.close().lost == 0
    with pytest.raises(ClientError):
        send(client, 1)


SCRIPT = """
import os, sys, time
from cdp.client import Client
key, url, spool, count, then = sys.argv[1:]
client = Client(key, url, interval_s=60, spool=spool or None)
for number in range(int(count)):
    client.track("from_script", user_id="u1", properties={"number": number})
if then == "fork" and os.fork() == 0:
    client.track("from_child", user_id="u1")
    sys.exit()
print("made", flush=True)
time.sleep(60 if then == "wait" else 0)
"""


def run_script(url: str, *, spool: Path | None = None, count: int = 50, then: str = "") -> subprocess.Popen[bytes]:
    arguments = [KEY, url, str(spool or ""), str(count), then]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE)


def test_what_waits_when_the_program_ends_is_sent_also_by_a_forked_child(collector: str, books: Books) -> None:
    with run_script(collector, then="fork") as process:
        assert process.communicate(timeout=20)[0] == b"made\n"
    assert books.counted() == {"stored": 51, "duplicate": 0}


def test_a_killed_process_loses_nothing_with_a_spool(proxy: Proxy, books: Books, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with run_script(NOWHERE, spool=spool, count=300, then="wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"made\n"
        process.send_signal(signal.SIGKILL)
    assert all(path.stat().st_mode & 0o077 == 0 for path in spool.iterdir())
    # The first who looks dies, too, after the collector took a batch whose answer it never saw.
    with run_script(proxy.plays("cut", *["hang"] * 50).url, spool=spool, count=0, then="wait") as process:
        while "cut" not in proxy.seen:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    with make_client(proxy.plays().url, spool=spool) as client:
        assert client.flush(10).waiting == 0
    assert books.counted()["stored"] == 300
    assert list(spool.iterdir()) == []


def test_what_the_end_cuts_off_stays_in_the_spool_and_a_living_clients_file_is_its_own(
    proxy: Proxy, books: Books, tmp_path: Path
) -> None:
    first = make_client(NOWHERE, spool=tmp_path)
    send(first, 3)
    with make_client(proxy.plays().url, spool=tmp_path) as second:
        second.track("mine", user_id="u1", message_id="m")
        second.track("mine", user_id="u1", message_id="m")
        assert second.flush(10).delivered == 1
    report = first.close(0.1)
    assert (report.lost, report.waiting) == (0, 3)
    with make_client(proxy.url, spool=tmp_path) as third:
        assert third.flush(10).delivered == 3
    assert books.counted() == {"stored": 4, "duplicate": 0}


def test_a_lead_has_its_trail_and_is_one_though_its_answer_was_lost(proxy: Proxy, system: System, books: Books) -> None:
    with make_client(proxy.plays("pass", "cut").url, interval_s=60) as client:
        client.track("price_viewed", identifiers=[("wx_openid", "wxa1b2/oLead")])
        client.identify("u-lead", {"city": "上海"}, identifiers=[("wx_openid", "wxa1b2/oLead")])
        lead = client.lead({"name": "李", "phone": "13912345678"}, user_id="u-lead", interest={"series": "X9"})
    assert lead.startswith("ld_")
    assert proxy.seen == ["pass", "cut", "pass"]
    assert books.counted() == {"stored": 3, "duplicate": 1}
    (stored,) = [each for each in system.events.recent(limit=9, source="server") if each["name"] == "price_viewed"]
    assert stored["identifiers"] == [{"kind": "wx_openid", "value": "wxa1b2/oLead"}]


def test_a_lead_that_nobody_could_call_is_refused_by_name_and_one_that_does_not_arrive_is_said(proxy: Proxy) -> None:
    with make_client(proxy.plays().url) as client:
        with pytest.raises(LeadRefused) as refused:
            client.lead({"phone": "12"})
        assert (refused.value.status, refused.value.fields) == (422, ("contact.phone",))
        proxy.plays(*[503] * 100)
        with pytest.raises(NotDelivered):
            client.lead({"phone": "13912345678"}, within_s=0.1)


def test_the_key_of_a_lead_stands_in_no_log(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "httpx")
    with make_client(proxy.plays().url) as client:
        client.lead({"phone": "13912345678"}, message_id="logged")
    assert f"{proxy.url}/f/****" in caplog.text
    assert f"{proxy.url}/f/{KEY}" not in caplog.text


def test_the_key_of_a_lead_is_hidden_below_a_path_and_addresses_of_the_program_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "httpx")
    with http_client("https://shop.example.com/collect", 1.0):
        for path in ("collect/f/secret", "f/photo"):
            logging.getLogger("httpx").info("%s", httpx.URL(f"https://shop.example.com/{path}"))
    assert caplog.messages == ["https://shop.example.com/collect/f/****", "https://shop.example.com/f/photo"]


@pytest.mark.parametrize(
    ("url", "proxied"),
    [("http://127.0.0.1:8001", False), ("http://[::1]", False), ("http://localhost.example.com", True)],
)
def test_a_proxy_is_asked_for_other_machines_alone(url: str, proxied: bool) -> None:
    with http_client(url, 1.0) as http:
        assert http.trust_env is proxied


def test_a_call_that_cannot_be_sent_is_the_callers_error(collector: str) -> None:
    with make_client(collector) as client:
        with pytest.raises(ValueError, match="1,048,576"):
            client.track("large", properties={"text": "x" * 1_100_000})
        with pytest.raises(TypeError):
            client.track("odd", properties={"thing": object()})
        with pytest.raises(ValueError, match="name"):
            client.track("")
        with pytest.raises(TypeError, match="unknown: userid; known are anonymous_id"):
            client.track("misspelt", userid="u1")  # type: ignore[call-arg]


def test_the_client_brings_none_of_the_product_with_it() -> None:
    code = (
        "import cdp.client, sys; print(*sorted(name for name in sys.modules if name.startswith(('cdp', 'sqlalchemy'))))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert loaded == ["cdp", "cdp.client", "cdp.client_http", "cdp.client_queue", "cdp.client_sender"]
