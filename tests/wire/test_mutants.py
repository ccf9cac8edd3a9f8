"""Damaged requests of every family: each is read and translated, or refused in words; nothing else may happen."""

from __future__ import annotations

import pytest

from cdp.errors import MalformedHit, TooLarge
from cdp.model import Dropped, Event, Hit, Source, SourceKind
from collectors.accept import KEPT_HEADERS
from collectors.dialect import Request, Unreadable
from collectors.registry import route
from tests.wire.mutants import Mutants
from tests.wire.replay import FAMILIES

EACH = 5_000 // len(FAMILIES) + 1
_SOURCE = Source(id="mutants", kind=SourceKind.SITE, keys=("any",))


def taken(request: Request) -> int:
    """How many records came out of a request; 0 where it was refused. Raises what no collector may raise."""
    dialect = route(request.method, request.path)
    if dialect is None:
        return 0
    try:
        envelope = dialect.read(request)
    except (Unreadable, TooLarge):
        return 0
    dialect.accepted(request, envelope)
    hit = Hit(
        received_at=1_795_320_000_000,
        source=_SOURCE.id,
        dialect=dialect.name,
        method=request.method,
        target=request.target,
        headers={name: value for name, value in request.headers.items() if name in KEPT_HEADERS},
        client_ip=request.client_ip,
        body=request.body,
    )
    try:
        found = dialect.translate(hit, "0-7", lambda _key: _SOURCE)
    except MalformedHit:
        return 0
    assert all(isinstance(each, Event | Dropped) for each in found)
    return len(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_damaged_request_is_read_or_refused_in_words(family: str) -> None:
    counts = [taken(request) for request in Mutants(7, (family,)).requests(EACH)]
    # Damage that nothing survives, or everything, would test nothing.
    assert EACH * 0.1 < sum(count > 0 for count in counts) < EACH
