"""The steward's path as the documentation prints it, line by line."""

from __future__ import annotations

import json

import httpx

from cdp.audit import audit_rows
from cdp.records import reading
from cdp.wiring import System
from tests.api.conftest import ADMIN_KEY
from tests.cdp.intake import Intake, make_event
from tests.steward_path import walk


def test_the_steward_s_path_is_as_the_page_has_it_and_undoing_gives_the_same_bytes(
    nobody: httpx.Client, intake: Intake, system: System
) -> None:
    def collect(key: str, body: str) -> None:
        source = next(each for each in system.book.load()[1] if key in each.keys)
        intake.take(source.id, make_event(**json.loads(body)))

    done = walk(nobody, ADMIN_KEY, collect)
    lookups = [each.answer.text for each in done if '"phone", "value": "13700010002"}\'' in each.step.line]
    assert len(lookups) == 2
    assert lookups[0] == lookups[1]
    # The steward's key sees no clear value, so no answer has one.
    by_steward = [each.answer.text for each in done if "$STEWARD" in each.step.line]
    assert len(by_steward) == 10
    assert "13700010002" not in "".join(by_steward)
    with reading(system.records) as connection:
        shown = connection.execute(audit_rows.select().where(audit_rows.c.actor == "steward Chen")).all()
    assert shown == []
