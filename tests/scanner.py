"""A phone's camera: read the QR code in a PNG."""

from __future__ import annotations

import struct
import zlib

import numpy
import zxingcpp

NO_FILTER, UP = 0, 2


def scanned(png: bytes) -> str:
    """What a phone reads."""
    (found,) = zxingcpp.read_barcodes(pixels_of(png))
    return str(found.text)


def pixels_of(png: bytes) -> numpy.ndarray[tuple[int, int], numpy.dtype[numpy.uint8]]:
    """A PNG of one bit a pixel, whose rows are told as they are or as a difference to the one above."""
    width, height, bits, colour = struct.unpack_from(">IIBB", png, 16)
    assert (bits, colour) == (1, 0)
    packed = zlib.decompress(b"".join(_chunks(png, b"IDAT")))
    rows = numpy.frombuffer(packed, numpy.uint8).reshape(height, -1).copy()
    for row in range(height):
        assert rows[row, 0] in (NO_FILTER, UP)
        if rows[row, 0] == UP:
            rows[row, 1:] += rows[row - 1, 1:]
    return numpy.unpackbits(rows[:, 1:], axis=1)[:, :width] * numpy.uint8(255)


def _chunks(png: bytes, wanted: bytes) -> list[bytes]:
    at, found = 8, []
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        if kind == wanted:
            found.append(png[at + 8 : at + 8 + length])
        at += 12 + length
    return found
