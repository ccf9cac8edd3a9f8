"""From request to answer: who sends, is it readable, is it durable. One test per answer, ending in what was kept."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest

from cdp.errors import LogFull
from cdp.log import NOTHING_SPOOLED, Spooled
from cdp.model import Hit, Position, Source, SourceKind, Trust
from cdp.vault import Cipher
from collectors.accept import Accept
from collectors.dialect import Answer, Dialect, Request
from collectors.limits import RateLimits
from collectors.proxies import Proxies
from collectors.registry import DIALECTS

CIPHER = Cipher(b"k" * 32, "log")
SHOP = "https://shop.example.com"
SOURCES = {
    "web-key": Source(id="web", kind=SourceKind.SITE, keys=("web-key",)),
    "shop-key": Source(id="shop", kind=SourceKind.SITE, keys=("shop-key",), origins=(SHOP,)),
    "slow-key": Source(id="slow", kind=SourceKind.SITE, keys=("slow-key",), rate_limit=2),
    "crm-key": Source(id="crm", kind=SourceKind.SERVER, keys=("crm-key",), trust=Trust.SERVER),
    "off-key": Source(id="off", kind=SourceKind.SITE, keys=("off-key",), enabled=False),
}
EVENT = {"type": "track", "event": "test_drive_requested", "anonymousId": "a1", "messageId": "m1", "context": {}}


class MemoryLog:
    """A log writer that is durable when the test says so; `full` makes its disk full."""

    name = "3"

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.keys: list[bytes] = []
        self.full = False
        self.spooling = False
        self.slow: list[asyncio.Future[None]] | None = None

    async def append(self, payload: bytes, received_at: int, *, key: bytes = b"") -> Position | None:
        if self.slow is not None:
            self.slow.append(asyncio.get_running_loop().create_future())
            await self.slow[-1]
        if self.full:
            raise LogFull("no space left on device")
        self.records.append(payload)
        self.keys.append(key)
        return None if self.spooling else Position(3, len(self.records) - 1)

    def healthy(self) -> bool:
        return not self.full

    def try_again(self) -> None:
        pass

    def spooled(self) -> Spooled:
        return Spooled(len(self.records), 700) if self.spooling else NOTHING_SPOOLED

    async def close(self) -> None:
        pass

    @property
    def hits(self) -> list[Hit]:
        return [msgspec.msgpack.decode(CIPHER.open(record), type=Hit) for record in self.records]


class Book:
    def by_key(self, key: str) -> Source | None:
        source = SOURCES.get(key)
        return source if source and source.enabled else None


@dataclass
class Desk:
    """An Accept with its log, and a way to ask it without a loop of one's own."""

    log: MemoryLog = field(default_factory=MemoryLog)
    proxies: Proxies = field(default_factory=Proxies)
    dialects: dict[str, Dialect] = field(default_factory=lambda: dict(DIALECTS))
    now: float = 0.0

    def __post_init__(self) -> None:
        self.accept = Accept(
            dialects=self.dialects,
            sources=Book(),
            log=self.log,
            cipher=CIPHER,
            proxies=self.proxies,
            limits=RateLimits(lambda: self.now),
            clock=lambda: 1_772_452_800_000,
        )

    def ask(self, request: Request) -> tuple[Answer, dict[str, str]]:
        """The answer, and all its header lines with lower-case names."""
        return asyncio.run(self._ask(request))

    async def _ask(self, request: Request) -> tuple[Answer, dict[str, str]]:
        replied: asyncio.Future[tuple[Answer, bytes]] = asyncio.get_running_loop().create_future()
        self.accept(request, lambda answer, lines: replied.set_result((answer, lines)))
        answer, lines = await asyncio.wait_for(replied, 20)
        headers = [line.partition(": ") for line in lines.decode("latin-1").split("\r\n") if line]
        return answer, {name.lower(): value for name, _, value in headers} | {
            name.lower(): value for name, value in answer.headers.items()
        }


def make_request(
    path: str = "/v1/track", body: Any = EVENT, *, method: str = "POST", key: str = "web-key", **headers: str
) -> Request:
    path, _, query = path.partition("?")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        named["authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method, f"{path}?{query}" if query else path, path, query, named, raw, "198.51.100.4")


def body_of(answer: Answer) -> dict[str, Any]:
    return json.loads(answer.body)  # type: ignore[no-any-return]


# Hits that are kept.


def test_a_hit_that_waits_in_a_spool_is_answered_without_a_name_and_counted_as_spooled() -> None:
    desk = Desk()
    desk.log.spooling = True
    answer, headers = desk.ask(make_request())
    assert answer.status == 200
    assert "x-xunji-hit" not in headers
    metrics = desk.ask(make_request("/metrics", method="GET", key=""))[0].body.decode()
    assert 'xunji_spooled_hits{collector="3"} 1.0' in metrics
    assert 'xunji_spooled_bytes{collector="3"} 700.0' in metrics
    assert len(desk.log.hits) == 1


def test_one_device_has_one_key_of_two_bytes_and_a_server_has_none() -> None:
    desk = Desk()
    desk.ask(make_request(user_agent="phone"))
    desk.ask(make_request("/v1/batch", {"batch": [EVENT]}, user_agent="phone"))
    desk.ask(make_request(user_agent="tablet"))
    desk.ask(make_request(key="crm-key", user_agent="phone"))
    phone, again, tablet, server = desk.log.keys
    assert phone == again != tablet
    assert (len(phone), len(tablet), server) == (2, 2, b"")


def test_a_hit_of_a_known_source_is_answered_when_it_is_durable_and_says_where_it_lies() -> None:
    desk = Desk()
    answer, headers = desk.ask(make_request())
    assert (answer.status, answer.body) == (200, b'{"success":true}')
    assert headers["x-xunji-hit"] == "3-0"
    (hit,) = desk.log.hits
    assert (hit.source, hit.dialect, hit.method, hit.target) == ("web", "segment", "POST", "/v1/track")
    assert (hit.received_at, hit.client_ip, json.loads(hit.body)) == (1_772_452_800_000, "198.51.100.4", EVENT)


def test_nothing_is_answered_before_the_log_has_synced() -> None:
    desk = Desk()
    desk.log.slow = []

    async def main() -> None:
        replies: list[Answer] = []
        desk.accept(make_request(), lambda answer, lines: replies.append(answer))
        for _ in range(5):
            await asyncio.sleep(0)
        assert replies == []
        assert desk.log.slow is not None
        desk.log.slow[0].set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert [answer.status for answer in replies] == [200]

    asyncio.run(main())


def test_what_lies_in_the_log_is_sealed_and_holds_no_key_in_its_headers() -> None:
    desk = Desk()
    desk.ask(make_request(user_agent="okhttp", cookie="c=1", content_encoding="identity", x_write_key="web-key"))
    assert b"test_drive" not in desk.log.records[0]
    assert desk.log.hits[0].headers == {"user-agent": "okhttp", "content-encoding": "identity"}


def test_who_only_looks_whether_something_is_there_leaves_no_hit() -> None:
    desk = Desk()
    data = base64.b64encode(
        json.dumps({"type": "track", "event": "a", "distinct_id": "d", "time": 1}).encode()
    ).decode()
    answer, _ = desk.ask(make_request(f"/sa.gif?project=web-key&data={data}", b"", method="HEAD", key=""))
    assert answer.status == 405
    assert desk.ask(make_request("/health", b"", method="HEAD", key=""))[0].status == 200
    assert desk.log.records == []


@pytest.mark.parametrize(("key", "status"), [("web-key", 200), ("web-key:secret", 200), ("other:web-key", 401)])
def test_the_id_of_a_key_with_a_secret_is_enough(key: str, status: int) -> None:
    answer, _ = Desk().ask(make_request("/api/s/track", {**EVENT, "writeKey": "web-key:***"}, key="", x_write_key=key))
    assert answer.status == status
    answer, _ = Desk().ask(make_request("/api/s/track", b"{", key="", x_write_key=key))
    assert answer.status == (400 if status == 200 else 401)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="truncated"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x1f\x8b\x08broken", id="broken gzip"),
        pytest.param(gzip.compress(b'{"type":"track"}')[:-5], id="cut gzip"),
        pytest.param(b'{"type":"\xff\xfe"}', id="invalid UTF-8"),
        pytest.param(b'{"a":' * 100_000, id="deep nesting"),
        pytest.param(b"[" * 100_000, id="deep arrays"),
        pytest.param(b"<xml/>", id="another format"),
    ],
)
def test_an_unreadable_hit_of_a_known_source_is_kept_and_told_so(body: bytes) -> None:
    desk = Desk()
    answer, headers = desk.ask(make_request(body=body))
    assert answer.status == 400
    assert {"code", "message", "detail", "status", "title", "type"} <= set(body_of(answer))
    assert headers["x-xunji-hit"] == "3-0"
    assert [hit.body for hit in desk.log.hits] == [body]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"type":"track","event":"\\ud83d","anonymousId":"a"}', id="lone surrogate"),
        pytest.param(b'{"type":"track","event":"x","properties":{"a":NaN}}', id="NaN"),
        pytest.param(gzip.compress(json.dumps(EVENT).encode()), id="gzip without a marker"),
        pytest.param(json.dumps({**EVENT, "properties": {"x": "y" * 1_100_000}}).encode(), id="event over 1 MB"),
    ],
)
def test_a_hit_with_something_odd_in_it_is_taken(body: bytes) -> None:
    desk = Desk()
    answer, _ = desk.ask(make_request(body=body, content_type="application/x-www-form-urlencoded"))
    assert answer.status == 200
    assert len(desk.log.records) == 1


def test_the_first_key_in_a_body_decides_where_none_stands_in_header_or_query() -> None:
    desk = Desk()
    mixed = {"batch": [{**EVENT, "writeKey": "slow-key"}, {**EVENT, "writeKey": "web-key"}]}
    answer, _ = desk.ask(make_request("/v1/batch", mixed, key=""))
    assert answer.status == 200
    assert desk.log.hits[0].source == "slow"


# Hits that are not kept.


@pytest.mark.parametrize("key", ["", "nobodys-key", "off-key"])
def test_a_hit_without_a_live_key_is_refused_as_python_sdks_can_read_it(key: str) -> None:
    desk = Desk()
    answer, headers = desk.ask(make_request(key=key))
    assert (answer.status, answer.content_type) == (401, "application/problem+json")
    assert body_of(answer)["code"] == "unknown_source"
    assert body_of(answer)["message"]
    assert "x-xunji-hit" not in headers
    assert desk.log.records == []


def ask_as_stranger(desk: Desk, body: bytes = b"data=e30%3D") -> Answer:
    return desk.ask(make_request("/sa?project=nobodys-key", body, key=""))[0]


def test_sensors_never_hears_no_and_a_hit_with_an_unknown_key_is_kept_for_the_accounting() -> None:
    desk = Desk()
    assert ask_as_stranger(desk).status == 200
    (hit,) = desk.log.hits
    assert (hit.source, hit.dialect, hit.body) == ("", "sensors", b"data=e30%3D")
    assert desk.accept.counts.refused == {}


def test_strangers_cannot_fill_the_disk() -> None:
    desk = Desk()
    assert {ask_as_stranger(desk).status for _ in range(150)} == {200}
    kept = len(desk.log.records)
    assert 50 < kept < 150
    assert desk.accept.counts.refused == {("sensors", "unknown_source"): 150 - kept}
    desk.now += 1
    ask_as_stranger(desk)
    assert len(desk.log.records) == kept + 1


@pytest.mark.parametrize("body", [b"no data", b"data=e30%3D" + b"&" * 100_000], ids=["unreadable", "large"])
def test_a_stranger_s_hit_that_tells_nothing_or_is_large_is_answered_and_not_kept(body: bytes) -> None:
    desk = Desk()
    assert ask_as_stranger(desk, body).status == 200
    assert desk.log.records == []
    assert desk.accept.counts.refused == {("sensors", "unknown_source"): 1}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(b"[" + b" " * 40_000_000 + b"]"), id="gzip bomb"),
        pytest.param(json.dumps({"batch": [EVENT] * 5001}).encode(), id="5,001 events"),
    ],
)
def test_a_hit_that_is_too_large_is_refused(body: bytes) -> None:
    desk = Desk()
    answer, _ = desk.ask(make_request("/v1/batch", body))
    assert answer.status == 413
    assert body_of(answer)["code"] == "too_large"
    assert desk.log.records == []


def test_a_request_that_is_refused_as_a_whole_says_whether_to_send_it_again() -> None:
    desk = Desk()
    target = "/v1/batch?results=1"
    told = {
        "broken": desk.ask(make_request(target, b'{"batch":[{"type":"track"},{"type":]}'))[0],
        "stranger": desk.ask(make_request(target, key="nobodys"))[0],
        "large": desk.ask(make_request(target, json.dumps({"batch": [EVENT] * 5001}).encode()))[0],
        "fast": [desk.ask(make_request(target, key="slow-key"))[0] for _ in range(3)][-1],
    }
    desk.log.full = True
    told["full"] = desk.ask(make_request(target))[0]
    assert {name: (answer.status, body_of(answer)["result"]) for name, answer in told.items()} == {
        "broken": (400, "drop"),
        "stranger": (401, "drop"),
        "large": (413, "drop"),
        "fast": (429, "retry"),
        "full": (503, "retry"),
    }


def test_what_is_too_large_and_answered_200_all_the_same_is_kept_as_a_small_unreadable_hit() -> None:
    desk = Desk()
    body = gzip.compress(b"[" + b" " * 40_000_000 + b"]")
    answer, headers = desk.ask(make_request("/sa?project=web-key", body, key=""))
    assert (answer.status, headers["x-xunji-hit"]) == (200, "3-0")
    assert desk.accept.counts.kept == {("web", "sensors", "unreadable"): 1}
    assert b"after decompression is over 20,971,520 bytes" in desk.log.hits[0].body


def test_a_full_disk_is_answered_503_and_the_next_hit_after_it_is_kept() -> None:
    desk = Desk()
    desk.log.full = True
    answer, headers = desk.ask(make_request(origin=SHOP))
    assert (answer.status, headers["retry-after"]) == (503, "5")
    assert headers["access-control-allow-origin"] == SHOP
    assert desk.ask(make_request("/healthz", b"", method="GET"))[0].status == 503
    desk.log.full = False
    assert desk.ask(make_request())[0].status == 200
    assert desk.ask(make_request("/healthz", b"", method="GET"))[0].status == 200
    assert len(desk.log.records) == 1


def test_a_key_over_its_rate_is_told_when_to_come_again_and_others_are_not() -> None:
    desk = Desk()
    statuses = [desk.ask(make_request(key="slow-key"))[0].status for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    _, headers = desk.ask(make_request(key="slow-key", origin=SHOP))
    assert headers["retry-after"] == "1"
    assert "Retry-After" in headers["access-control-expose-headers"]
    assert desk.ask(make_request())[0].status == 200
    desk.now += int(headers["retry-after"])
    assert desk.ask(make_request(key="slow-key"))[0].status == 200


def test_a_key_keeps_its_rate_whatever_secret_is_put_behind_it() -> None:
    desk = Desk()
    asked = (make_request("/api/s/track", EVENT, key="", x_write_key=f"slow-key:{number}") for number in range(5))
    assert [desk.ask(request)[0].status for request in asked] == [200, 200, 429, 429, 429]


def test_a_page_of_another_origin_is_refused_and_may_read_why() -> None:
    desk = Desk()
    answer, headers = desk.ask(make_request(key="shop-key", origin="https://evil.example.com"))
    assert answer.status == 403
    assert headers["access-control-allow-origin"] == "https://evil.example.com"
    assert desk.ask(make_request(key="shop-key", origin=SHOP))[0].status == 200
    assert desk.ask(make_request(key="shop-key"))[0].status == 200
    assert len(desk.log.records) == 2


def test_a_fault_of_ours_is_answered_500_and_its_trace_holds_no_key(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name = "broken"

        def handles(self, method: str, path: str) -> bool:
            return path.startswith("/broken")

        def config(self, request: Request) -> Answer | None:
            raise KeyError(request.headers["authorization"])

        def read(self, request: Request) -> Any:
            raise KeyError(request.headers["authorization"])

    desk = Desk(dialects={"broken": Broken()})  # type: ignore[dict-item]
    for path in ("/broken", "/other"):
        request = make_request(path)
        assert desk.ask(request)[0].status == 500
        assert request.headers["authorization"] not in caplog.text
    assert "KeyError" in caplog.text
    assert desk.log.records == []


# What is no hit.


def test_a_preflight_is_mirrored() -> None:
    wanted = "authorization,sentat,anonymousid"
    request = make_request(body=b"", method="OPTIONS", key="", origin=SHOP, access_control_request_headers=wanted)
    answer, headers = Desk().ask(request)
    assert answer.status == 204
    assert headers["access-control-allow-origin"] == SHOP
    assert headers["access-control-allow-headers"] == wanted
    assert headers["access-control-allow-credentials"] == "true"
    assert int(headers["access-control-max-age"]) > 0
    assert "POST" in headers["access-control-allow-methods"]


def test_a_page_may_read_retry_after_and_the_hit() -> None:
    _, headers = Desk().ask(make_request(origin=SHOP))
    assert headers["access-control-expose-headers"] == "Retry-After, X-Xunji-Hit"
    assert headers["vary"] == "Origin"
    assert not any(name.startswith("access-control") for name in Desk().ask(make_request())[1])


def test_an_sdk_that_asks_for_its_settings_gets_them_and_leaves_no_hit() -> None:
    desk = Desk()
    request = make_request(
        "/v1/projects/web-key/settings", b"", method="GET", key="", host="c.example.com", origin=SHOP
    )
    answer, headers = desk.ask(request)
    assert body_of(answer)["metrics"] == {"sampleRate": 0}
    assert headers["access-control-allow-origin"] == SHOP
    assert desk.log.records == []


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/nowhere", 404, None),
        ("GET", "/no/where", 404, None),
        ("POST", "/", 404, None),
        ("GET", "/v1/track", 405, "POST"),
        ("DELETE", "/sa", 405, "GET, POST"),
        ("POST", "/healthz", 405, "GET"),
        ("GET", "/healthz", 200, None),
        ("GET", "/readyz", 200, None),
    ],
)
def test_paths_and_methods(method: str, path: str, status: int, allowed: str | None) -> None:
    answer, headers = Desk().ask(make_request(path, method=method))
    assert answer.status == status
    assert headers.get("allow") == allowed


def test_metrics_count_hits_by_source_and_refusals_by_reason_and_name_no_key() -> None:
    desk = Desk()
    for request in (make_request(), make_request(body=b"{"), make_request(key="nobodys-key")):
        desk.ask(request)
    text = desk.ask(make_request("/metrics", b"", method="GET"))[0].body.decode()
    labels = ['collector="3"', 'source="web"', 'dialect="segment"']
    lines = [line for line in text.splitlines() if all(label in line for label in labels)]
    assert sorted(line.rpartition(" ")[2] for line in lines if "_total" in line) == ["1.0", "1.0"]
    assert 'code="unknown_source"' in text
    assert "-key" not in text


# Who the client is.


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.4", "203.0.113.9", "198.51.100.4"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("fd00::1", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_only_trusted_proxies_name_the_client(peer: str, forwarded: str, client: str) -> None:
    proxies = Proxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
    assert proxies.client(peer, forwarded) == client


def test_the_client_that_a_trusted_proxy_names_is_kept_with_the_hit() -> None:
    desk = Desk(proxies=Proxies([ip_network("198.51.100.0/24")]))
    desk.ask(make_request(x_forwarded_for="203.0.113.9"))
    assert desk.log.hits[0].client_ip == "203.0.113.9"


# Rates.


def run_of(limits: RateLimits, *, rate: int, count: int) -> Sequence[int]:
    return [limits.wait_s("k", rate) for _ in range(count)]


@pytest.mark.parametrize("rate", [1, 3, 7, 1000])
def test_a_rested_key_may_use_one_second_at_once_and_then_its_rate(rate: int) -> None:
    now = [100.0]
    limits = RateLimits(lambda: now[0])
    assert run_of(limits, rate=rate, count=rate + 1) == [0] * rate + [1]
    now[0] += 1
    assert run_of(limits, rate=rate, count=rate + 1) == [0] * rate + [1]
    now[0] += 1000
    assert run_of(limits, rate=rate, count=rate + 1) == [0] * rate + [1]
