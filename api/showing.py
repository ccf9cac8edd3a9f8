"""How much of a personal value is seen: masked, or clear for keys that may see it, each showing with an audit row.

Everything stored holds tokens: as values of the personal kinds, and as markers inside texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from api.auditing import Auditor
from api.keys import ApiKey
from api.permissions import Permission
from cdp.model import PERSONAL_KINDS, Identifier
from cdp.scrub import fill_markers, markers_in
from cdp.vault import Vault
from leads.show import NAMING, Shown, masked


class Showing:
    """Blocks on the records store: call it in a thread."""

    def __init__(self, vault: Vault, auditor: Auditor) -> None:
        self._vault = vault
        self._auditor = auditor

    def events(self, caller: ApiKey, events: Sequence[Mapping[str, Any]], *, subject: str) -> list[dict[str, Any]]:
        """Events of the store in the contract's shape. `subject` is what was opened, for the audit."""
        bodies = [_with_subject(event) for event in events]
        met = [identifier for event in events for identifier in event["identifiers"]]
        tokens = {each["value"] for each in met if each["kind"] in PERSONAL_KINDS}
        shown = self.values(caller, tokens | tokens_in(bodies), subject=subject)
        return [shown.document(body) for body in bodies]

    def document(self, caller: ApiKey, document: Any, *, subject: str) -> Any:
        """A JSON value with its markers filled."""
        tokens = tokens_in(document)
        return filled(document, self.values(caller, tokens, subject=subject)) if tokens else document

    def values(self, caller: ApiKey, tokens: Iterable[str], *, subject: str) -> Shown:
        """What this caller sees of these tokens; the audit rows are durable when it returns."""
        reveal = caller.may(Permission.SEE_CLEAR)
        shown = Shown(self._vault, tokens, reveal=reveal)
        if reveal:
            self._auditor.note_shown(caller, sorted(shown.known), subject=subject)
        return shown


def filled(document: Any, shown: Shown) -> Any:
    """A JSON value with its markers filled."""
    text = msgspec.json.encode(document).decode()
    return msgspec.json.decode(fill_markers(text, lambda kind, token: _inside_json(shown.value(kind, token))))


def identifier_shown(identifier: Identifier, shown: Shown, *, reveal: bool) -> str:
    """The value of an identifier as it goes out."""
    if identifier.kind in PERSONAL_KINDS:
        return shown.value(identifier.kind, identifier.value)
    value = fill_markers(identifier.value, shown.value)
    return value if reveal else masked(identifier.kind, value)


def trait_shown(name: str, value: Any, *, reveal: bool) -> Any:
    """The value of a trait as it goes out; a trait that says what somebody is called is masked as on a lead."""
    return (
        masked("name", value) if name.lower().lstrip("$") in NAMING and isinstance(value, str) and not reveal else value
    )


def tokens_of(identifiers: Iterable[Identifier]) -> set[str]:
    """The tokens that the values of these identifiers are or hold."""
    tokens = set()
    for kind, value in ((each.kind, each.value) for each in identifiers):
        tokens.update([value] if kind in PERSONAL_KINDS else [token for _, token in markers_in(value)])
    return tokens


def tokens_in(document: Any) -> set[str]:
    """The tokens of all markers in a JSON value."""
    return {token for _, token in markers_in(msgspec.json.encode(document).decode())}


def _with_subject(event: Mapping[str, Any]) -> dict[str, Any]:
    # Which set an event came with is an inner matter. Identifiers are stored strongest first.
    body = {name: value for name, value in event.items() if name != "set"}
    identifiers = event["identifiers"]
    return {**body, "subject": identifiers[0] if identifiers else None}


def _inside_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]
