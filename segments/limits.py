"""How large a segment may be. What is larger is refused, never cut."""

from __future__ import annotations

from cdp.model import DAY_MS

MAX_LEAVES = 64
MAX_INLINED_LEAVES = 256
"""With those of the segments that are named, and of those that they name."""
MAX_COMPARISONS = 256
"""In the filters of all leaves together."""
MAX_DEPTH = 16
"""Of connectives and leaves inside one another, those of filters counted on."""
MAX_STEPS = 8
MAX_SAME = 8
MAX_VALUES = 1_000
"""In one list."""
MAX_COUNT = 10_000
MAX_BACK = 400
"""Calendar units."""
MAX_DURATION_MS = 3_660 * DAY_MS
MAX_TEXT = 500
MAX_SEGMENT_NAME = 200
MAX_NUMBER = 2**53
"""Larger whole numbers cannot be told from their neighbours once they are stored as floating point."""

MAX_FAULTS = 100
MAX_DOCUMENT_DEPTH = 80
MAX_DOCUMENT_VALUES = 100_000
MAX_DOCUMENT_CHARACTERS = 1_000_000
