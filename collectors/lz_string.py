"""Read what lz-string packed: JSON of browsers and mini-programs, in each of the four alphabets it is sent in.

The alphabets hold one and the same stream of bits, 6, 15 or 16 to a sign. The stream is LZW: each code is an entry
of a table that both ends grow alike, and each new entry is the one before and one sign more. So every entry stands
in the output already, and is kept as two positions there: a hostile stream cannot make the table larger than itself.
"""

from __future__ import annotations

import binascii

from cdp.errors import MalformedHit, TooLarge
from collectors.dialect import MAX_BODY_BYTES

MAX_PACKED_BYTES = 256 * 1024
"""Of the stream. It is read at 5 MB/s, and the collector answers nobody meanwhile; 50 events have 20 KB."""

_END = 2
"""The code that ends a stream; 0 and 1 announce a new sign of 8 and of 16 bits."""
_FIRST_BITS = 2
_ENOUGH_BITS = 64
"""For one code and one sign: codes of the longest stream have 20 bits."""
_READ_BYTES = 16
_COUNTED_SIGNS = 64 * 1024
_UNIT = 2
"""Bytes of a UTF-16 unit."""
_LETTER_BITS = 6
_UTF16_OFFSET = 32
_UTF16_BITS = 15

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_URI_ALPHABET = bytes.maketrans(b"-", b"/")


def decompress_base64(packed: bytes, *, limit: int = MAX_BODY_BYTES) -> str:
    """`compressToBase64`. Raises MalformedHit, TooLarge."""
    letters = packed.rstrip(b"=")
    return _decompressed(_of_letters(letters), limit, bits=len(letters) * _LETTER_BITS)


def decompress_uri(packed: bytes, *, limit: int = MAX_BODY_BYTES) -> str:
    """`compressToEncodedURIComponent`, %-escapes undone; a plus that came out as a space is one again.

    Raises MalformedHit, TooLarge.
    """
    letters = packed.replace(b" ", b"+").translate(_URI_ALPHABET)
    return _decompressed(_of_letters(letters), limit, bits=len(letters) * _LETTER_BITS)


def decompress_utf16(packed: str, *, limit: int = MAX_BODY_BYTES) -> str:
    """`compressToUTF16`, whose signs are 15 bits each, moved by 32. Raises MalformedHit, TooLarge."""
    _check_size(len(packed) * _UTF16_BITS // 8)
    signs = [ord(sign) - _UTF16_OFFSET for sign in packed]
    if not signs or min(signs) < 0 or max(signs) >> _UTF16_BITS:
        raise MalformedHit("text packed by compressToUTF16", "signs that it never writes")
    size = len(signs) * _UTF16_BITS
    bits = int("".join([f"{sign:015b}" for sign in signs]), 2) << (-size % 8)
    return _decompressed(bits.to_bytes((size + 7) // 8, "big"), limit, bits=size)


def decompress_words(packed: bytes, *, limit: int = MAX_BODY_BYTES) -> str:
    """`compressToUint8Array`: words of 16 bits, the higher byte first. Raises MalformedHit, TooLarge."""
    return _decompressed(packed, limit, bits=len(packed) * 8)


def _of_letters(letters: bytes) -> bytes:
    try:
        # Filled up with zeros, which base64 needs and the stream does not have.
        return binascii.a2b_base64(letters + b"A" * (-len(letters) % 4), strict_mode=True)
    except binascii.Error:
        raise MalformedHit("text packed by lz-string", "letters that it never writes") from None


def _decompressed(stream: bytes, limit: int, *, bits: int) -> str:
    """At most `limit` bytes in UTF-8. Half surrogate pairs, which JavaScript has in its texts, are kept."""
    _check_size(len(stream))
    # A sign is a byte of UTF-8 at least, so more signs than that are too large as well.
    out, read = _units(stream.translate(_REVERSED), limit)
    if read > bits:
        raise _cut()
    text = out.decode("utf-16-le", "surrogatepass")
    _check_text(text, limit)
    return text


def _check_text(text: str, limit: int) -> None:
    """Raises TooLarge; counted a piece at a time, so that nothing too large is built to be counted."""
    left = limit
    for start in range(0, len(text), _COUNTED_SIGNS):
        left -= len(text[start : start + _COUNTED_SIGNS].encode("utf-8", "surrogatepass"))
        if left < 0:
            raise _too_large(limit)


def _units(stream: bytes, limit: int) -> tuple[bytearray, int]:
    """The UTF-16 units of a stream whose bits are read from the lowest of each byte, as its codes are; and how many
    bits that took, of which those behind the end of the stream were zeros. Raises TooLarge over `limit` units.

    One loop without calls, since each call would cost as much as a code.
    """
    out = bytearray()
    starts, ends = [0, 0, 0], [0, 0, 0]
    width, room = _FIRST_BITS, 1
    bits = have = at = 0
    before = -1
    most = limit * _UNIT
    while len(out) <= most:
        if have < _ENOUGH_BITS:
            if at > len(stream) + _READ_BYTES:
                raise _cut()
            bits |= int.from_bytes(stream[at : at + _READ_BYTES], "little") << have
            have += _READ_BYTES * 8
            at += _READ_BYTES
        code = bits & (1 << width) - 1
        bits >>= width
        have -= width
        here = len(out)
        if code > _END:
            if code < len(starts):
                out += out[starts[code] : ends[code]]
            elif code == len(starts) and before >= 0:
                out += out[before:here] + out[before : before + _UNIT]
            else:
                raise MalformedHit("a stream packed by lz-string", "a code that stands for nothing yet")
        elif code == _END:
            return out, at * 8 - have
        else:
            sign = 16 if code else 8
            out += (bits & (1 << sign) - 1).to_bytes(_UNIT, "little")
            bits >>= sign
            have -= sign
            starts.append(here)
            ends.append(here + _UNIT)
            room -= 1
            if not room:
                room = 1 << width
                width += 1
        if before >= 0:
            starts.append(before)
            ends.append(here + _UNIT)
            room -= 1
            if not room:
                room = 1 << width
                width += 1
        before = here
    raise _too_large(limit)


def _check_size(size: int) -> None:
    if size > MAX_PACKED_BYTES:
        raise TooLarge("The request before decompression", limit=MAX_PACKED_BYTES, unit="bytes")


def _too_large(limit: int) -> TooLarge:
    return TooLarge("The request after decompression", limit=limit, unit="bytes")


def _cut() -> MalformedHit:
    return MalformedHit("a stream packed by lz-string", "one that ends too early")
