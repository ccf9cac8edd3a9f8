"""Files in a system: what became of each row, the same in every form of file, once whatever stops, and taken back."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from cdp import imports
from cdp.api_client import Declined
from cdp.errors import Refused, StoreUnavailable
from cdp.imports_jobs import Job, State
from cdp.imports_report import JoinedWith, Line
from cdp.imports_report import as_csv as as_csv_report
from collectors.columns import RowKind, map_of
from collectors.file_row import Reason
from tests.cdp.import_desk import Desk, a_desk
from tests.cdp.intake import make_event
from tests.collectors.sheets import as_csv, as_xlsx


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with a_desk(tmp_path_factory.mktemp("data")) as opened:
        yield opened


def outcomes(lines: Sequence[Line]) -> list[tuple[int, str, str]]:
    return [(line.row, line.outcome, line.reason.code if line.reason else "") for line in lines]


def test_each_row_is_reported_with_what_became_of_it(desk: Desk) -> None:
    desk.visit(make_event(userId="member-1", context={"traits": {"phone": "13812340001"}}, type="identify"))
    there = desk.lookup("phone", "13812340001")
    rows = [
        ["编号", "姓名", "手机", "意向车型", "VIN"],
        ["L1", "王小明", "13812340001", "X9", "1M8GDM9AXKP042788"],
        ["L2", "李娜", 13812340002, "X9", "1M8GDM9A4KP042799"],
        ["L2", "李娜", "13812340002", "X9", "1M8GDM9A4KP042799"],
        ["L3", "赵", "1.38123E+10", "X9", ""],
        ["L4", "钱", "13812340004", "X9", "LSV"],
        [],
        ["合计", "", "4", "", ""],
    ]
    job, lines = desk.take(as_xlsx(rows))
    assert outcomes(lines) == [
        (2, "joined", ""),
        (3, "taken", ""),
        (4, "repeated", "repeated_in_file"),
        (5, "refused", "digits_lost"),
        (6, "refused", "not_of_kind"),
        (8, "refused", "totals_line"),
    ]
    joined, taken = lines[:2]
    assert there is not None
    assert joined.person == there["id"]
    assert msgspec.to_builtins(joined.joined_with) == {"kind": "phone", "value": "+86138****0001"}
    assert taken.lead is not None
    lead = desk.client.get(f"/leads/{taken.lead}")
    assert taken.event is not None
    assert "李娜" not in repr(desk.system.events.event(taken.event))
    assert (lead["contact"]["name"], lead["interest"]["model"], lead["person"]) == ("李娜", "X9", taken.person)
    assert (job.state, job.counts.taken, job.counts.refused, job.looked, job.total) == (State.DONE, 1, 3, 6, 6)
    assert desk.client.get("/accounting")["balanced"]
    assert not list(desk.system.importer.report_path(job.id).parent.glob("*.rows"))


def test_the_same_rows_are_the_same_events_whatever_form_the_file_has(desk: Desk) -> None:
    rows = [
        ["客户编号", "姓名", "手机", "里程", "更新时间"],
        ["C-1", "孙", "13812340011", "12000.5", "2026/3/5 14:02"],
        ["C-2", "周", "１３８１２３４００１２", "7", "2026年3月6日"],
    ]
    typed = [
        rows[0],
        ["C-1", "孙", 13812340011, 12000.5, "2026-03-05 14:02"],
        ["C-2", "周", 13812340012, 7, "2026/3/6"],
    ]
    _, first = desk.take(as_csv(rows), RowKind.PEOPLE)
    assert [line.outcome for line in first] == ["taken", "taken"]
    for data in (as_csv(rows), as_csv(rows, encoding="gb18030", delimiter="\t"), as_xlsx(typed)):
        _, again = desk.take(data, RowKind.PEOPLE)
        assert outcomes(again) == [(2, "repeated", "repeated_before"), (3, "repeated", "repeated_before")]
        assert [line.event for line in again] == [line.event for line in first]
    person = desk.lookup("phone", "13812340011")
    assert person is not None
    assert person["traits"]["里程"] == {"value": 12000.5, "source": "crm", "at": "2026-03-05T06:02:00.000Z"}
    assert {each["kind"] for each in person["identifiers"]} == {"phone", "crm_id"}


def test_an_import_goes_on_behind_what_is_noted_whenever_it_stops(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LEADS_AT_ONCE", 2)
    rows = [["编号", "手机"], *([f"R{n}", f"138123401{n:02}"] for n in range(10))]
    import_id = desk.begin(as_csv(rows))
    reporter, calls = type(desk.system.importer._tools.reporter), iter(range(100))
    lines = reporter.lines

    def away(*arguments: Any) -> Any:
        # The lot lies in the log already.
        if next(calls) % 2 == 0:
            raise StoreUnavailable("records", "it is away in this test")
        return lines(*arguments)

    monkeypatch.setattr(reporter, "lines", away)
    stops = 0
    while desk.system.importer.book.find(import_id).state is not State.DONE:
        try:
            desk.system.importer.drain()
        except StoreUnavailable:
            stops += 1
    job, told = desk.found(import_id)
    assert stops == 5
    assert outcomes(told) == [(n + 2, "taken", "") for n in range(10)]
    assert sum(end - start for _, start, end in job.came) == 5
    assert len({line.lead for line in told}) == 10


def test_rows_say_where_a_key_is_another_leads_or_a_time_cannot_be(desk: Desk) -> None:
    rows = [
        ["编号", "手机", "留资时间"],
        ["K1", "13812340061", "2026/3/1"],
        ["K1", "13812340062", "2026/3/1"],
        ["K1", "13812340061", "2026/3/2"],
        ["-", "13812340063", "1970/1/1"],
        ["-", "13812340064", ""],
    ]
    _, lines = desk.take(as_csv(rows))
    assert outcomes(lines) == [
        (2, "taken", ""),
        (3, "repeated", "repeated_key"),
        (4, "repeated", "repeated_in_file"),
        (5, "taken", "time_impossible"),
        (6, "taken", ""),
    ]


def test_a_report_runs_nothing_in_a_spreadsheet() -> None:
    joined = JoinedWith("phone", "+86136****0001")
    line = Line(row=2, outcome="joined", joined_with=joined, reason=Reason("x", "x", "x", "=1+1"))
    told = b"".join(as_csv_report(iter([msgspec.json.encode(line)]))).decode("utf-8-sig")
    [_, cells] = csv.reader(told.splitlines())
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_files_come_from_sources_of_their_kind_alone(desk: Desk) -> None:
    with pytest.raises(Refused, match="kind file; shop is of kind server"):
        desk.system.importer.upload("shop")


def test_what_waits_can_be_cancelled_and_nothing_of_it_is_left(desk: Desk) -> None:
    import_id = desk.begin(as_csv([["手机"], ["13812340021"]]))
    desk.system.importer.cancel(import_id, by="test")
    desk.system.importer.drain()
    assert desk.found(import_id)[0].state is State.CANCELLED
    assert desk.lookup("phone", "13812340021") is None
    assert not list(desk.system.importer.report_path(import_id).parent.glob(f"{import_id}*"))


def test_what_is_cancelled_while_it_begins_stays_cancelled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import_id = desk.begin(as_csv([["手机"], ["13812340022"]]))
    book = desk.system.importer.book
    due = book.in_state(State.WAITING)
    monkeypatch.setattr(type(book), "in_state", lambda *states: due if State.WAITING in states else [])
    desk.system.importer.cancel(import_id, by="test")
    desk.system.importer._step()
    assert book.find(import_id).state is State.CANCELLED


def test_rows_that_lie_on_another_machine_fail_their_import_and_no_other(desk: Desk) -> None:
    lost, other = (desk.begin(f"external_id,phone\nL-{n},1391234567{n}\n".encode()) for n in range(2))
    (desk.system.importer.report_path(lost).parent / f"{lost}.rows").unlink()
    desk.system.importer.drain()
    job = desk.system.importer.book.find(lost)
    assert (job.state, job.counts.taken) == (State.FAILED, 0)
    assert "share" in job.problem
    assert desk.found(other)[0].state is State.DONE


def test_an_undo_that_fails_is_told_and_stands_in_nobodys_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    job, _ = desk.take(as_csv([["手机"], ["13812340023"]]))
    undoing = type(desk.system.importer._tools.undoing)
    with monkeypatch.context() as broken:
        broken.setattr(undoing, "steps", lambda *_: iter([1 // 0]))
        failed = desk.undo(job.id)
    assert (failed.state, failed.problem[:17]) == (State.FAILED, "ZeroDivisionError")
    assert desk.take(as_csv([["手机"], ["13812340024"]]))[0].state is State.DONE
    assert (desk.undo(job.id).state, desk.lookup("phone", "13812340023")) == (State.UNDONE, None)


def test_an_import_that_is_undone_leaves_nothing_and_comes_again_as_new(desk: Desk) -> None:
    data = as_csv([["编号", "姓名", "手机", "备注"], ["U1", "吴", "13812340031", "或 13812340032"]])
    job, [first] = desk.take(data)
    assert first.outcome == "taken"
    removed = desk.undo(job.id).removed
    assert (removed.events, removed.leads, removed.identifiers, removed.hits) == (1, 1, 1, 1)
    assert desk.lookup("phone", "13812340031") is None
    with pytest.raises(Declined):
        desk.client.get(f"/leads/{first.lead}")
    tokens = [desk.system.vault.token("phone", f"+86138123400{n}") for n in (31, 32)]
    assert desk.system.vault.reveal(tokens) == {}
    desk.system.replays.request(0)
    desk.system.replaying.drain()
    assert desk.lookup("phone", "13812340031") is None
    _, [again] = desk.take(data)
    assert (again.outcome, again.event, again.lead) == ("taken", first.event, first.lead)
    assert desk.client.get("/accounting")["balanced"]


def test_a_corrected_record_takes_its_old_link_away_until_the_correction_is_undone(desk: Desk) -> None:
    head = ["客户编号", "手机", "会员号", "更新时间"]
    wrong, right = "13812340041", "13812340042"
    desk.take(as_csv([head, ["C-41", wrong, "m-41", "2026/3/1"]]), RowKind.PEOPLE)
    correction, _ = desk.take(as_csv([head, ["C-41", right, "m-41", "2026/3/9"]]), RowKind.PEOPLE)
    assert phones_of(desk) == ["+8613812340042"]
    # An older version that comes late changes nothing.
    desk.take(as_csv([head, ["C-41", "13812340043", "m-41", "2026/2/1"]]), RowKind.PEOPLE)
    assert phones_of(desk) == ["+8613812340042"]
    desk.undo(correction.id)
    assert phones_of(desk) == ["+8613812340041"]
    desk.take(as_csv([head, ["C-41", right, "m-41", "2026/3/9"]]), RowKind.PEOPLE)
    assert phones_of(desk) == ["+8613812340042"]


def test_what_a_newer_version_leaves_blank_stays_until_a_version_says_otherwise(desk: Desk) -> None:
    head = ["编号", "手机", "邮箱", "会员号", "城市", "更新时间"]

    def told(*rows: list[str]) -> Job:
        return desk.take(as_csv([head, *rows]), RowKind.PEOPLE)[0]

    def has(kind: str) -> set[str]:
        person = desk.lookup("email", "r8@example.com")
        assert person is not None
        return {each["value"] for each in person["identifiers"] if each["kind"] == kind}

    told(["R8", "13412350021", "r8@example.com", "m-81", "北京", "2026/3/1"])
    blank = told(["R8", "", "r8@example.com", "", "", "2026/3/5"])
    assert (has("phone"), has("member_id")) == ({"+8613412350021"}, {"m-81"})
    her = desk.lookup("phone", "13412350021")
    assert her is not None
    assert her["traits"]["city"]["value"] == "北京"
    # Only the phone is another: what the first said of the member stays.
    corrected = told(["R8", "13412350022", "r8@example.com", "", "", "2026/3/9"])
    assert (has("phone"), has("member_id")) == ({"+8613412350022"}, {"m-81"})
    told(["R8", "", "r8@example.com", "m-82", "", "2026/3/10"])
    assert (has("phone"), has("member_id")) == ({"+8613412350022"}, {"m-82"})
    for undone in (corrected, blank):
        desk.undo(undone.id)
    assert (has("phone"), has("member_id")) == ({"+8613412350021"}, {"m-82"})


def phones_of(desk: Desk) -> list[str]:
    person = desk.lookup("member_id", "m-41")
    assert person is not None
    return [each["value"] for each in person["identifiers"] if each["kind"] == "phone"]


def test_who_was_erased_does_not_come_back_with_a_file_from_before(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is left in the engine's files is another test's matter, and takes it ten seconds.
    monkeypatch.setattr(type(desk.system.events.erasing), "_old_parts", lambda _: set())
    data = as_csv([["客户编号", "手机", "等级"], ["C-51", "13812340051", "A"], ["C-52", "13812340052", "B"]])
    before = desk.look(data, RowKind.PEOPLE)
    first, _ = desk.take(data, RowKind.PEOPLE)
    her = desk.lookup("phone", "13812340051")
    assert her is not None
    desk.client.post(f"/persons/{her['id']}/erase", {"reason": "asked for"})
    desk.system.eraser.drain()
    desk.system.importer.confirm(before.id, map_of(before.columns, RowKind.PEOPLE), by="test")
    desk.system.importer.drain()
    _, lines = desk.found(before.id)
    assert outcomes(lines) == [(2, "refused", "ERASED"), (3, "repeated", "repeated_before")]
    assert desk.undo(first.id).removed.events == 1
    assert [desk.lookup("phone", f"1381234005{n}") for n in (1, 2)] == [None, None]
