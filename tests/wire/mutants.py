"""Captured requests, damaged: what networks, proxies, other versions of an SDK and hostile senders make of them.

Bytes are flipped, cut, doubled and mixed; values inside the JSON are replaced by those that break programs; and both
also happen inside gzip and base64, where a plain flip of bytes would only ever break the wrapping.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from collectors.accept import KEPT_HEADERS
from collectors.dialect import Request
from tests.wire.replay import CAPTURES, Capture, captures_of

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, 10**400, -(10**30), 1e308, float("inf"), float("nan"), "", " ", "\0", "\ud800",
    "未取到", "$identify", "9" * 400, "a" * 70_000, [], {}, [[]], [None], {"": ""}, {"$set": 1}, [1] * 300,
    "2026-11-22", "9999999999999", "+8613812345678", "http://[", "?&=&&", "data=", "%", "%zz", "%u4e2d",
)  # fmt: skip
MOST_CHANGES = 6
LONGEST_BYTES = 120_000
_FORM_FIELDS = (b"data=", b"data_list=")


class Mutants:
    """An endless supply of requests, the same for the same seed. `families` names folders of the captures."""

    def __init__(self, seed: int, families: tuple[str, ...]) -> None:
        self._random = random.Random(seed)
        folders = [
            f"{family}/{path.stem}" for family in families for path in sorted((CAPTURES / family).glob("*.jsonl"))
        ]
        self._hits = [capture for folder in folders for capture in captures_of(folder) if capture.method != "OPTIONS"]

    def requests(self, count: int) -> Iterator[Request]:
        for _ in range(count):
            yield self._request(self._random.choice(self._hits))

    def _request(self, capture: Capture) -> Request:
        choose = self._random.random()
        target, body = capture.target, capture.body
        if choose < 0.15 or not body:
            target = self.changed_bytes(target.encode()).decode("ascii", "replace").replace("�", "%ff")
        if choose >= 0.1 and body:
            body = self._inside(body, self.changed_json if choose < 0.65 else self.changed_bytes)
        headers = {name.lower(): value for name, value in capture.headers}
        if choose > 0.9:
            headers[self._random.choice(sorted(KEPT_HEADERS))] = self._random.choice(
                ("gzip", "1", "2", "deflate", "zstd", "😀")
            )
        path, _, query = target.partition("?")
        return Request(capture.method, target, path, query, headers, body[:LONGEST_BYTES], "203.0.113.7")

    def _inside(self, body: bytes, change: Callable[[bytes], bytes]) -> bytes:
        """The body with what is packed in it changed, and packed again; sometimes the packing itself is changed."""
        if self._random.random() < 0.1:
            return self.changed_bytes(body)
        if body.startswith(b"\x1f\x8b"):
            return gzip.compress(change(gzip.decompress(body)), 1)
        for field in _FORM_FIELDS:
            if body.startswith(field):
                value, _, rest = body.removeprefix(field).partition(b"&")
                packed = base64.b64decode(unquote_to_bytes(value))
                return field + quote(base64.b64encode(self._inside(packed, change)), safe="").encode() + b"&" + rest
        return change(body)

    def changed_json(self, body: bytes) -> bytes:
        """With other values in it; as `changed_bytes` does where it is no JSON."""
        try:
            value = json.loads(body)
        except ValueError:
            return self.changed_bytes(body)
        for _ in range(self._random.randint(1, MOST_CHANGES)):
            value = self._change_value(value)
        return json.dumps(value, ensure_ascii=self._random.random() < 0.5).encode("utf-8", "surrogatepass")

    def _change_value(self, value: Any) -> Any:
        """The value with one of its parts, or itself, replaced."""
        if isinstance(value, dict) and value and self._random.random() < 0.9:
            key = self._random.choice(list(value))
            return {**value, key: self._change_value(value[key])}
        if isinstance(value, list) and value and self._random.random() < 0.95:
            index = self._random.randrange(len(value))
            return [*value[:index], self._change_value(value[index]), *value[index + 1 :]]
        if self._random.random() < 0.05:
            return self._nested()
        return self._random.choice(HOSTILE)

    def _nested(self) -> Any:
        value: Any = 1
        for _ in range(self._random.choice((10, 70, 400))):
            value = [value] if self._random.random() < 0.5 else {"a": value}
        return value

    def changed_bytes(self, body: bytes) -> bytes:
        """Flipped, cut, doubled, mixed."""
        changed = bytearray(body)
        for _ in range(self._random.randint(1, MOST_CHANGES)):
            at, end = sorted(self._random.randrange(len(changed) + 1) for _ in range(2))
            kind = self._random.randrange(6)
            if kind == 0 and changed:
                changed[min(at, len(changed) - 1)] = self._random.randrange(256)
            elif kind == 1:
                del changed[at : min(end, at + 40)]
            elif kind == 2:
                del changed[end:]
            elif kind == 3:
                changed[at:at] = changed[at:end] * self._random.choice((1, 2, 30))
            elif kind == 4:
                changed[at:at] = self._random.randbytes(self._random.choice((1, 8, 300)))
            else:
                changed[at:at] = self._random.choice(
                    (b"[" * 3_000, b'{"a":' * 500, b"%", b"\x1f\x8b", b"\0", b"&data=", b'"')
                )
            del changed[LONGEST_BYTES:]
        return bytes(changed)
