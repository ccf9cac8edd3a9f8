"""The smallest image, for senders that are an <img>."""

from __future__ import annotations

from collectors.dialect import Answer

ONE_PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
_HEADERS = {"Cache-Control": "no-store"}


def gif(status: int = 200) -> Answer:
    """One transparent pixel that no cache keeps, so that the next event is sent too."""
    return Answer(status, ONE_PIXEL, "image/gif", _HEADERS)
