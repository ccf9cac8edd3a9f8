"""Small requests that unpack to as much as they can, one for each way of packing that a dialect reads."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Iterator
from urllib.parse import quote

from collectors.dialect import Request

_LARGE = 200 * 1024 * 1024
_JSON = b'{"api_key":"any","batch":[' + b"1," * 9_000_000 + b"1]}"
"""18 MB: under the limit on bytes, far over the one on records."""
_ADDRESSES = {
    "segment": "/v1/batch",
    "sensors": "/sa?project=any",
    "posthog": "/batch/",
    "posthog v1": "/i/v1/analytics/events",
    "growingio": "/v3/projects/any/collect?stm=1795318185955",
    "snowplow": "/com.snowplowanalytics.snowplow/tp2",
    "thinkingdata": "/sync_server",
    "ga4": "/mp/collect?measurement_id=any&api_secret=any",
}


def bombs() -> Iterator[tuple[str, Request]]:
    zeros = gzip.compress(b"0" * _LARGE, 9)
    form = b"data=" + quote(base64.b64encode(zeros), safe="").encode()
    for dialect, target in _ADDRESSES.items():
        yield f"{dialect}, gzip", _request(target, zeros)
        yield f"{dialect}, gzip in base64", _request(target, form)
        yield f"{dialect}, a million records", _request(target, gzip.compress(_JSON, 9))
        yield f"{dialect}, deflate", _request(target, zlib.compress(b"0" * _LARGE, 9), {"content-encoding": "deflate"})
    for codec in ("1", "2"):
        head = {"x-compress-codec": codec}
        yield f"growingio, codec {codec}", _request(_ADDRESSES["growingio"], b"\xff\xff\xff\xff\x0f" * 20_000, head)
    yield "growingio, lz-string", _request(_ADDRESSES["growingio"] + "&compress=1", b"\x21\x82" * 50_000)
    parts = b"--b\r\n" + b'name="data"\r\n\r\n' * 8_000
    yield "thinkingdata, parts without an end", _request(_ADDRESSES["thinkingdata"], parts)


def _request(target: str, body: bytes, headers: dict[str, str] | None = None) -> Request:
    path, _, query = target.partition("?")
    return Request("POST", target, path, query, headers or {}, body, "203.0.113.7")
