"""Segments over records that were written before there were any."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text

from cdp.migrations import version_table
from cdp.records import metadata, writing
from tests.segments.live_world import CONSENT, World


def test_who_came_before_the_upgrade_is_in_segments_after_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.take("viewed", "li")
    world.log_in("li", "member-a", city="成都")
    identifiers = [{"kind": "member_id", "value": "member-a"}]
    lead = world.capture({"source": "dealer", "contact": {}, "consent": CONSENT, "identifiers": identifiers})
    as_before(world)
    world.crash()
    viewed = world.segment("viewed", {"did": "viewed"})
    local = world.segment("local", {"attr": "city", "op": "=", "value": "成都"})
    leads = world.segment("leads", {"did": "viewed"}, entity="lead")
    her = world.person("li")
    assert (world.members(viewed), world.members(local), world.members(leads)) == ({her}, {her}, {lead})
    assert world.system.leads.lead(lead)["segments"] == []
    world.check()
    assert world.live.reconcile() == {}
    world.close()


def as_before(world: World) -> None:
    """Records of the revision before, and nothing mirrored."""
    with writing(world.system.records) as connection:
        for table in (each for each in inspect(connection).get_table_names() if each.startswith("segment")):
            metadata.tables[table].drop(connection)
        connection.execute(text(f"UPDATE {version_table('records')} SET version_num = '0006'"))
        connection.execute(
            text("DELETE FROM outbox_cursor WHERE feed LIKE 'owners%' OR feed IN ('mirrored leads', 'segments')")
        )
    for table in ("owners", "owned", "leads"):
        world.system.events._background.command(f"TRUNCATE TABLE {table}")  # type: ignore[attr-defined]
