"""Undo what GrowingIO's SDKs do to a body before they send it: they pack it, and then XOR it with the send time.

How a body was packed is said in `X-Compress-Codec` (mini-programs, apps, servers) or in the query's `compress`
(browsers), and must be believed: snappy of 91 bytes begins like a JSON array.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import cramjam

from cdp.errors import MalformedHit, TooLarge
from collectors.body import query_value, unpacked
from collectors.dialect import MAX_BODY_BYTES
from collectors.lz_string import decompress_uri, decompress_utf16, decompress_words

LZ4_RATIO = 255
"""LZ4 makes at most so much of one byte. Apple's SDK sends no length with it."""

_CODEC = "x-compress-codec"
_CRYPT = "x-crypt-codec"
_LZ_STRING, _SNAPPY, _LZ4 = "1", "2", "3"
_WORDS, _URI = "1", "11"
_XOR = [bytes(value ^ key for value in range(256)) for key in range(256)]


def plain_body(body: bytes, query: str, headers: Mapping[str, str]) -> bytes:
    """The JSON or protobuf that the SDK built. Raises MalformedHit, and TooLarge before anything too large is built."""
    if headers.get(_CRYPT) == "1":
        body = body.translate(_XOR[_sent(query) & 0xFF])
    codec = headers.get(_CODEC, "0")
    if codec == _SNAPPY:
        return _unsnapped(body)
    if codec == _LZ4:
        return _lz4(body)
    if codec == _LZ_STRING:
        return _utf8(decompress_utf16(_text(body)))
    if query_value(query, "compress") == _WORDS:
        return _utf8(decompress_words(body))
    return unpacked(body)


def image_body(query: str) -> bytes:
    """The JSON in the address of an image. It stands there unescaped, `&` included, so all that follows is it.

    A page's `#` is not escaped either, and the browser cuts the address there: such an image is unreadable.
    """
    before, found, data = ("&" + query).partition("&data=")
    if not found:
        raise MalformedHit("`data` in the query", "none")
    packed = unquote_to_bytes(data)
    return _utf8(decompress_uri(packed)) if query_value(before[1:], "compress") == _URI else packed


def sent_at(query: str) -> str:
    """The send time that the address states, '' where it states none."""
    return query_value(("&" + query).partition("&data=")[0][1:], "stm")


def _sent(query: str) -> int:
    sent = sent_at(query)
    if not sent.isdecimal() or len(sent) > len("1795317374450000"):
        raise MalformedHit("`stm`, the send time by which the body is scrambled", "none, or no number")
    return int(sent)


def _unsnapped(body: bytes) -> bytes:
    try:
        size = cramjam.snappy.decompress_raw_len(body)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError:
        raise MalformedHit("snappy", "a broken block") from None


def _lz4(body: bytes) -> bytes:
    room = bytearray(min(len(body) * LZ4_RATIO, MAX_BODY_BYTES))
    try:
        return bytes(room[: cramjam.lz4.decompress_block_into(body, room, output_len=len(room))])
    except cramjam.DecompressionError:
        raise MalformedHit(f"an LZ4 block of up to {MAX_BODY_BYTES:,} bytes", "another or a broken one") from None


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedHit("text in UTF-8", f"{error.reason} at byte {error.start}") from None


def _utf8(text: str) -> bytes:
    """Half an emoji, which JavaScript has in texts that were cut by their length, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _too_large() -> TooLarge:
    return TooLarge("The request after decompression", limit=MAX_BODY_BYTES, unit="bytes")
