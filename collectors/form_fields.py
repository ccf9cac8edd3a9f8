"""Read what a form sends, in each of the three ways a form can send: URL-encoded, multipart, or JSON.

The bytes decide which, as everywhere in intake; and they decide the letters too, for old pages send Chinese in GBK.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import msgspec
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from cdp.errors import MalformedHit, TooLarge
from collectors.body import BOM, GZIP_MAGIC, gunzip, mended

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FORM_BYTES = 64 * 1024
"""Of one submission; a note has 5,000 characters, and no form of ours takes a file."""
MAX_FIELDS = 200

_BOUNDARY_BYTES = 200

# Whoever sends a broken form is told so; our log is not his to fill.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

Fields = dict[str, Any]
"""Texts by name, in their order; a list where a name came more than once. JSON has values of any kind."""


def looks_like_json(body: bytes) -> bool:
    return body.removeprefix(BOM).lstrip()[:1] == b"{"


def read_fields(body: bytes) -> Fields:
    """Raises MalformedHit, and TooLarge over MAX_FORM_BYTES."""
    if body.startswith(GZIP_MAGIC):
        body = gunzip(body, limit=MAX_FORM_BYTES)
    if len(body) > MAX_FORM_BYTES:
        raise TooLarge("The form", limit=MAX_FORM_BYTES, unit="bytes")
    body = body.removeprefix(BOM).strip()
    if looks_like_json(body):
        return _json(body)
    return _joined(_multipart(body) if body.startswith(b"--") else _url_encoded(body))


def _json(body: bytes) -> Fields:
    try:
        try:
            found: Fields = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = msgspec.json.decode(mended(body), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedHit("a JSON object in UTF-8", str(error).partition(":")[0]) from None
    except RecursionError:
        raise MalformedHit("JSON of sane depth", "arrays or objects nested without end") from None
    return found


def _url_encoded(body: bytes) -> Iterator[tuple[str, str]]:
    pairs = body.split(b"&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        raise MalformedHit(f"up to {MAX_FIELDS} fields", "more")
    if b"=" not in body:
        raise MalformedHit("a form: name=value&…, multipart or a JSON object", "none of them")
    for pair in pairs:
        name, found, value = pair.partition(b"=")
        if found:
            yield _text(_unescaped(name)), _text(_unescaped(value))


def _unescaped(value: bytes) -> bytes:
    return unquote_to_bytes(value.replace(b"+", b" "))


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("gb18030", errors="replace")


def _multipart(body: bytes) -> list[tuple[str, str]]:
    """The fields of a multipart form. Files are left out."""
    boundary = body[2:_BOUNDARY_BYTES].split(b"\n", 1)[0].rstrip()
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks(), max_size=MAX_FORM_BYTES)
        parser.write(body)
        parser.finalize()
    except MultipartParseError as error:
        raise MalformedHit("a multipart form", str(error).partition(":")[0]) from None
    if not parts.whole:
        raise MalformedHit("a multipart form", "one that ends too early")
    return parts.fields


class _Parts:
    """What the parser calls, part by part."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.whole = False
        self._name, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header,
            "on_part_data": self._more,
            "on_part_end": self._part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._headers.clear()
        self._data.clear()
        if len(self.fields) >= MAX_FIELDS:
            raise MalformedHit(f"up to {MAX_FIELDS} fields", "more")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" in options and b"filename" not in options:
            self.fields.append((_text(options[b"name"]), _text(bytes(self._data))))

    def _end(self) -> None:
        self.whole = True


def _joined(pairs: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Fields:
    """What is blank is left out, as a form sends every field."""
    fields: Fields = {}
    for typed_name, typed in pairs:
        name, value = typed_name.strip(), typed.replace("\0", "").strip()
        if not (name and value):
            continue
        there = fields.get(name)
        if there is None:
            fields[name] = value
        elif isinstance(there, list):
            there.append(value)
        else:
            fields[name] = [there, value]
    return fields
