"""Put tokens in the place of what is personal in a lead, and collect the clear values for the vault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cdp.model import PERSONAL_KINDS, Identifier
from cdp.scrub import scrub_json, scrub_text
from cdp.vault import Vault
from identity.normalise import normalise


class ClearValues:
    """The clear values of one lead by token, in `clear`, until the vault has them."""

    def __init__(self, vault: Vault, *, region: str) -> None:
        self._vault = vault
        self._region = region
        self.clear: dict[str, Identifier] = {}

    def token(self, kind: str, value: str) -> str:
        token = self._vault.token(kind, value)
        self.clear[token] = Identifier(kind, value)
        return token

    def identifier(self, clear: Identifier) -> Identifier:
        """As it may be stored: a token for the personal kinds, markers in others where somebody put a phone."""
        if clear.kind in PERSONAL_KINDS:
            return Identifier(clear.kind, self.token(clear.kind, clear.value))
        return Identifier(clear.kind, self.text(clear.value))

    def text(self, value: str) -> str:
        return scrub_text(value, self._found)

    def document(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON object with markers in the place of personal values."""
        scrubbed: dict[str, Any] = msgspec.json.decode(scrub_json(msgspec.json.encode(value), self._found))
        return scrubbed

    def _found(self, kind: str, value: str) -> str | None:
        same = normalise(kind, value, region=self._region)
        return None if same is None else self.token(kind, same)
