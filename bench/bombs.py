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
    "form": "/f/any",
    "ocean engine": "/ads/ocean-engine/any",
    "tencent ads": "/ads/tencent/any",
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
    yield "growingio, lz-string of text", _request(_ADDRESSES["growingio"] + "&compress=1", _lz_string_of("车", 6_000))
    parts = b"--b\r\n" + b'name="data"\r\n\r\n' * 8_000
    yield "form, fields", _request(_ADDRESSES["form"], b"a=%25&" * 10_000)
    options = b"--b\r\nContent-Disposition: form-data" + b'; name="a' * 7_000 + b"\r\n\r\n1\r\n--b--\r\n"
    yield "form, options of a part", _request(_ADDRESSES["form"], options)
    yield "form, parts without an end", _request(_ADDRESSES["form"], parts[:60_000])
    yield "thinkingdata, parts without an end", _request(_ADDRESSES["thinkingdata"], parts)


def _lz_string_of(sign: str, codes: int) -> bytes:
    """A JSON array of one text: `sign`, again and again, of which each code stands for one more than the one before."""
    bits: list[str] = []
    entries, width, room = 3, 2, 1

    def write(code: int, sign: str = "") -> None:
        nonlocal entries, width, room
        values = [(code, width)] + ([(ord(sign), 16 if code else 8)] if sign else [])
        bits.extend(f"{value:0{size}b}"[::-1] for value, size in values)
        # A new sign is an entry, and so is what was written before with the first sign of this: the first time nothing.
        for _ in range(bool(sign) + (len(bits) > 2)):
            entries, room = entries + 1, room - 1
            if not room:
                width, room = width + 1, 1 << width

    write(0, "[")
    quote_code = entries
    write(0, '"')
    write(1, sign)
    for _ in range(codes):
        write(entries)
    write(quote_code)
    write(0, "]")
    write(2)
    packed = "".join(bits)
    size = len(packed) // 8 + 1
    return int(packed.ljust(size * 8, "0"), 2).to_bytes(size, "big")


def _request(target: str, body: bytes, headers: dict[str, str] | None = None) -> Request:
    path, _, query = target.partition("?")
    return Request("POST", target, path, query, headers or {}, body, "203.0.113.7")
