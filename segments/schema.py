"""The JSON Schema of a segment, as it is published: for editors that complete and check while somebody types.

`language.parse` is what decides; whatever it takes fits the schema.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def schema() -> dict[str, Any]:
    """A document of draft 2020-12, the caller's own."""
    text = resources.files("segments").joinpath("schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
