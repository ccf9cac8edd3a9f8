"""What a hit that was refused holds of a person, however it is written."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

import pytest

from cdp.erasure_hits import Brought, Look
from cdp.model import Hit, Position
from collectors.registry import TRANSLATORS


class NobodysEvents:
    def erased(self, event: object) -> bool:
        return False


class NoSources:
    def by_key(self, key: str) -> None:
        return None

    def by_id(self, source: str) -> None:
        return None


LOOK = Look(TRANSLATORS, cast(Any, NoSources()), cast(Any, NobodysEvents()))


@pytest.mark.parametrize(
    ("typed", "hers"),
    [
        ({"phone": "13812345678"}, True),
        ({"phone": "+86 138-1234-5678"}, True),
        ({"email": "li@example.com", "phone": "13900001111"}, True),
        ({"phone": "13900001111"}, False),
    ],
)
def test_what_a_robot_typed_of_somebody_goes_with_her(typed: dict[str, str], hers: bool) -> None:
    body = urlencode({**typed, "xunji_website": "http://spam.example"}).encode()
    hit = Hit(
        received_at=1_795_320_000_000, source="show", dialect="form", method="POST", target="/f/form-key", headers={},
        client_ip="203.0.113.7", body=body,
    )  # fmt: skip
    assert LOOK.at(hit, Position(0, 7), ["13812345678", "li@example.com"]) == Brought(mine=hers, of_others=False)
