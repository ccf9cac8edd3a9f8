"""Numbers that a protocol of texts sends."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
"""What a float holds without loss; an order number with zeros in front is none."""


def as_number(value: Any) -> Any:
    """The number that a text spells, all else as it is."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)
