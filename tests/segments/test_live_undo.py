"""Whoever was in a segment by an import alone is out of it once that is undone."""

from __future__ import annotations

from pathlib import Path

from segments.book import Segment
from segments.language import parse
from segments.stays import Reason
from tests.cdp.import_desk import Desk, a_desk
from tests.collectors.sheets import as_csv


def test_an_undone_import_leaves_nobody_in_a_segment(tmp_path: Path) -> None:
    with a_desk(tmp_path) as desk:
        asked = segment(desk, "asked", {"rel": "lead", "op": ">=", "value": 1}, "person")
        leads = segment(desk, "leads", {"all": []}, "lead")
        desk.system.live_segments.drain()
        job = desk.begin(as_csv([["手机", "姓名"], ["13812350001", "郑"], ["13812350002", "李"]]))
        desk.system.importer.drain()
        desk.system.live_segments.drain()
        assert [size(desk, each) for each in (asked, leads)] == [2, 2]
        desk.undo(job)
        desk.system.live_segments.drain()
        assert [size(desk, each) for each in (asked, leads)] == [0, 0]
        gone = [each for each in desk.system.membership.changes(leads.n)[0] if not each.entered]
        assert {each.reason for each in gone} == {Reason.ERASURE}
        assert desk.system.live_segments.reconcile() == {}


def segment(desk: Desk, name: str, where: object, entity: str) -> Segment:
    made, _ = desk.system.segment_book.create(name, parse({"v": 1, "entity": entity, "where": where}, tz="UTC"))
    return made


def size(desk: Desk, of: Segment) -> int:
    return len(desk.system.membership.members(of.n)[0])
