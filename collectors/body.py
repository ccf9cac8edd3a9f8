"""Read what SDKs put into a request, whatever its headers say about it.

Content types lie: JSON comes as text/plain, gzip comes without a marker, forms come as JSON. So the bytes decide;
only deflate without a header of its own, which looks like nothing, has to be announced.
Two mistakes of senders are mended, because one broken value would take a batch of good events with it: half an
emoji (a text cut by its length) becomes U+FFFD, and NaN or Infinity, which JSON does not have, becomes null.
Everything else that is no UTF-8 or no JSON makes the hit unreadable.
"""

from __future__ import annotations

import binascii
import re
import sys
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote_plus, unquote_to_bytes

import msgspec
from msgspec import UNSET, Raw

from cdp.errors import MalformedHit, TooLarge
from collectors.dialect import MAX_BODY_BYTES, MAX_EVENTS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
SMALL_BYTES = 256 * 1024
"""Up to here a body may become a list of records before they are counted: 128,000 at most, some 10 MB."""
MEND_BYTES = 1024 * 1024
"""Larger bodies are not mended: it runs at 20 MB/s, and the collector answers nobody meanwhile."""

ESCAPED_BYTES = 1024 * 1024
"""Escapes are undone at 10 MB/s, and the collector answers nobody meanwhile."""

SEARCHED_FIELDS = 64
"""Of a form; SDKs send five at most."""
MAX_MEMBERS = 16
"""Of a packed body, in a row. Each costs a copy of what is left, so a body of a million empty ones would keep the
collector busy for hours."""

FewRecords = msgspec.defstruct(
    "FewRecords", [(f"record{i}", Raw, UNSET) for i in range(MAX_EVENTS + 1)], array_like=True, gc=False
)
"""An array of which one record more than allowed is built and the rest is only skipped: 20 MB of `1,1,1,…` would
otherwise be ten million objects and 700 MB."""


class Decoder(Generic[T]):
    """Decodes bodies of one shape, whose records are `list[Raw]` in the small and FewRecords in the large one."""

    def __init__(self, small: type[T], large: type[T]) -> None:
        self._small = msgspec.json.Decoder(small)
        self._large = msgspec.json.Decoder(large)

    def decode(self, body: bytes) -> tuple[T, bytes]:
        """What the body says, and the body, mended where it had to be.

        Raises MalformedHit for all that is no JSON in UTF-8 of this shape.
        """
        decoder = self._small if len(body) <= SMALL_BYTES else self._large
        try:
            return _decode(body, decoder), body
        except msgspec.ValidationError as error:
            raise MalformedHit("an object, a batch or an array of records", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        try:
            body = mended(body)
            return _decode(body, decoder), body
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedHit("JSON in UTF-8", _reason(error)) from None


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    # msgspec skips what it is not asked for without looking at its encoding.
    str(body, "utf-8")
    try:
        return decoder.decode(body)
    except RecursionError:
        raise MalformedHit("JSON of sane depth", "arrays or objects nested without end") from None


def _reason(error: Exception) -> str:
    # The text of a UnicodeDecodeError is clean, its `object` attribute would be the body.
    return f"{error.reason} at byte {error.start}" if isinstance(error, UnicodeDecodeError) else str(error)


def records_of(batch: Any) -> list[Raw]:
    """The records of a list or of FewRecords. Raises TooLarge over MAX_EVENTS."""
    every = batch if isinstance(batch, list) else msgspec.structs.astuple(batch)
    records: list[Raw] = [record for record in every if record is not UNSET]
    if len(records) > MAX_EVENTS:
        raise TooLarge("The number of events in the request", limit=MAX_EVENTS, unit="events")
    return records


class _Anything(msgspec.Struct):
    """An object of which nothing is asked but that it is whole."""


_ARRAY: Decoder[Any] = Decoder(list[Raw], FewRecords)
_OBJECT: Decoder[Any] = Decoder(_Anything, _Anything)


def one_or_many(body: bytes) -> list[Raw]:
    """The records of an array, or the one object that there is. Raises MalformedHit, and TooLarge over MAX_EVENTS."""
    if body.lstrip()[:1] == b"[":
        return records_of(_ARRAY.decode(body)[0])
    return [Raw(_OBJECT.decode(body)[1])]


def key_pattern(*names: str) -> re.Pattern[bytes]:
    """For `key_in_pieces`: where in JSON text a key stands."""
    return re.compile(rb'"(?:%b)"\s*:\s*"([^"\\]{1,128})"' % "|".join(map(re.escape, names)).encode())


def key_in_pieces(body: bytes, pattern: re.Pattern[bytes]) -> str:
    """The key in a body that cannot be read, such as one that was cut on its way: it still says whose it is, so that
    the hit is kept and counted. '' where none is found."""
    found = pattern.search(body)
    return found[1].decode("utf-8", "replace") if found else ""


def check_repeated(size: int, events: int) -> None:
    """What a request says once for all of its events, each brings to the store: so its bytes count once for each.

    Raises TooLarge over MAX_BODY_BYTES.
    """
    if size * events > MAX_BODY_BYTES:
        raise TooLarge("What the events share, in each of them,", limit=MAX_BODY_BYTES, unit="bytes")


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_STRING_OR_NO_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?(?:NaN|Infinity)\b', re.DOTALL)


def mended(body: bytes) -> bytes:
    """The body with lone surrogates replaced and with null for NaN and Infinity; linear in its length."""
    if len(body) > MEND_BYTES:
        return body
    if b"\\u" in body:
        body = _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)
    if b"NaN" in body or b"Infinity" in body:
        body = _STRING_OR_NO_NUMBER.sub(lambda found: found[0] if found[0][:1] == b'"' else b"null", body)
    return body


class _Stream(Protocol):
    """What zlib and zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Packing(NamedTuple):
    name: str
    magic: bytes
    stream: Callable[[], _Stream]


_GZIP = _Packing("gzip", GZIP_MAGIC, partial(zlib.decompressobj, 31))
_DEFLATE = _Packing("deflate", b"", partial(zlib.decompressobj, -15))
_PACKINGS = {
    packing.magic[:2]: packing
    for packing in (
        _GZIP,
        _Packing("zstd", b"\x28\xb5\x2f\xfd", zstd.ZstdDecompressor),
        *(_Packing("zlib", b"x" + level, zlib.decompressobj) for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
    )
}
"""By the first two bytes, which no JSON and no form of an SDK begins with."""


def unpacked(body: bytes, *, encoding: str = "") -> bytes:
    """The body, unpacked where it begins like gzip, zstd or zlib; where it does not begin like JSON and `encoding`
    says so, also from bare deflate.

    Raises MalformedHit for a broken or cut stream, and TooLarge over MAX_BODY_BYTES.
    """
    packing = _PACKINGS.get(body[:2])
    if packing is None and encoding.strip().lower() == "deflate" and body[:1] not in (b"{", b"["):
        packing = _DEFLATE
    if packing is not None:
        return _unpack(body, packing, limit=MAX_BODY_BYTES)
    if len(body) > MAX_BODY_BYTES:
        raise _too_large(MAX_BODY_BYTES)
    return body.removeprefix(BOM)


def gunzip(packed: bytes, *, limit: int = MAX_BODY_BYTES) -> bytes:
    """Never builds more than `limit` bytes and one. Raises TooLarge, and MalformedHit for a broken or cut stream."""
    return _unpack(packed, _GZIP, limit=limit)


def _unpack(packed: bytes, packing: _Packing, *, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    while packed:
        if len(parts) == MAX_MEMBERS:
            raise MalformedHit(packing.name, f"more than {MAX_MEMBERS} members in a row")
        stream = packing.stream()
        try:
            part = stream.decompress(packed, left + 1)
        except (zlib.error, zstd.ZstdError) as error:
            raise MalformedHit(packing.name, f"a broken stream ({error})") from None
        if len(part) > left:
            raise _too_large(limit)
        if not stream.eof:
            raise MalformedHit(packing.name, "a stream that ends too early")
        parts.append(part)
        left -= len(part)
        # Several members in a row are one file; anything else behind the last one is padding.
        packed = stream.unused_data if packing.magic and stream.unused_data.startswith(packing.magic) else b""
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> TooLarge:
    return TooLarge("The request after decompression", limit=limit, unit="bytes")


_PIECE_BYTES = 64 * 1024
_OTHER_ESCAPES = (
    (b"%2b", b"+"), (b"%2f", b"/"), (b"%3D", b"="), (b"%3d", b"="), (b"%20", b"+"),
    (b"%0D", b""), (b"%0d", b""), (b"%0A", b""), (b"%0a", b""),
)  # fmt: skip
_ALPHABET = bytes.maketrans(b" -_", b"++/")


def from_base64(value: bytes) -> bytes:
    """Decode base64 of a form or a URL and gunzip what it holds. Raises MalformedHit.

    Of %-escapes only those that base64 needs are undone: undoing all takes 20 times the memory of a hostile body.
    A plus that went through a form unescaped came out as a space; the URL alphabet and missing padding are read.
    Letters of no alphabet are skipped: whether the text is whole is proven by the JSON in it.
    """
    if b"%" in value:
        # Padding is left out below, and stands at the end: there it need not be looked for all over.
        value = value.removesuffix(b"%3D").removesuffix(b"%3D").replace(b"%2B", b"+").replace(b"%2F", b"/")
        if b"%" in value:
            for escape, letter in _OTHER_ESCAPES:
                value = value.replace(escape, letter)
    value = value.translate(_ALPHABET, b"\r\n=")
    if missing := -len(value) % 4:
        value += b"==="[:missing]
    try:
        decoded = binascii.a2b_base64(value)
    except binascii.Error as error:
        raise MalformedHit("base64", str(error)) from None
    return unpacked(decoded)


def unescaped(value: bytes) -> bytes:
    """The value of a form's field with its %-escapes undone and its pluses made spaces; a piece at a time, since
    undoing takes 20 times the memory of what is undone. Raises TooLarge over ESCAPED_BYTES."""
    if len(value) > ESCAPED_BYTES:
        raise TooLarge("The value of a form, unless it is base64,", limit=ESCAPED_BYTES, unit="bytes")
    parts = []
    start = 0
    while start < len(value):
        end = start + _PIECE_BYTES
        # No escape is cut in two.
        cut = value.rfind(b"%", end - 2, end)
        end = end if cut < 0 else cut
        parts.append(unquote_to_bytes(value[start:end].replace(b"+", b" ")))
        start = end
    return b"".join(parts)


def form_bytes(form: bytes, *names: bytes) -> bytes | None:
    """The value of the first field with one of these names, its escapes as they came. Looks at SEARCHED_FIELDS."""
    for field in form.split(b"&", SEARCHED_FIELDS):
        name, found, value = field.partition(b"=")
        if found and name.strip() in names:
            return value
    return None


def query_value(query: str, name: str) -> str:
    """The value of a query parameter, '' where it is missing."""
    start = query.find(name + "=")
    while start > 0 and query[start - 1] != "&":
        start = query.find(name + "=", start + 1)
    if start < 0:
        return ""
    start += len(name) + 1
    end = query.find("&", start)
    return unquote_plus(query[start : end if end >= 0 else None])


def split_target(target: str) -> tuple[str, str]:
    """Path (%-escapes undone) and raw query of a request line's target, its absolute form included."""
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    return (unquote_to_bytes(path).decode(errors="replace") if "%" in path else path), query
