"""`cdp segment` where nothing runs: the stores are opened for each command, which prints the answer of the API."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from cdp.cli import run
from cdp.moments import now_ms, rfc3339
from cdp.settings import Settings, load_settings
from cdp.wiring import open_system
from tests.cdp.intake import Intake, make_event

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three hours ago one visitor watched a video; another one did, and left a contact."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"XUNJI_{name.upper()}", raising=False)
    monkeypatch.setenv("XUNJI_DATA_DIR", str(tmp_path / "data"))
    system = open_system(load_settings())
    intake = Intake(system)
    then = rfc3339(now_ms() - 3 * HOUR_MS)
    watched = {"event": "video_played", "timestamp": then, "properties": {"seconds": 75}}
    form = make_event(event="lead_submitted", anonymousId="v2", properties={"phone": "+8613912340002"})
    intake.take(
        intake.source().id, make_event(anonymousId="v1", **watched), make_event(anonymousId="v2", **watched), form
    )
    intake.close()
    system.close()


@pytest.fixture
def looked(tmp_path: Path) -> Path:
    """A definition of those who watched and left no contact within two hours."""
    return written(
        tmp_path / "looked.json",
        {"after": {"did": "video_played"}, "absent": {"did": "lead_submitted"}, "for": "PT2H"},
    )


def written(path: Path, where: Any) -> Path:
    path.write_text(json.dumps({"v": 1, "entity": "person", "where": where}))
    return path


class Printed:
    """Runs a command with --json, and reads what it printed."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *words: str, code: int = 0) -> Any:
        self._capfd.readouterr()
        assert run(["segment", *words, "--json"]) == code
        return json.loads(self._capfd.readouterr().out)


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> Iterator[Printed]:
    return Printed(capfd)


def test_a_definition_is_checked_and_one_that_is_wrong_exits_1(
    looked: Path, tmp_path: Path, printed: Printed, capfd: pytest.CaptureFixture[str]
) -> None:
    assert printed("check", str(looked))["valid"] is True
    wrong = written(tmp_path / "wrong.json", {"did": "video_played", "windw": {}})
    assert printed("check", str(wrong), code=1)["errors"][0]["path"] == "where.windw"
    for path, said in ((looked, "此后已过 2 小时"), (wrong, "where.windw")):
        run(["segment", "check", str(path)])
        assert said in capfd.readouterr().out
    assert run(["segment", "preview", str(wrong)]) == 2
    assert "where.windw" in capfd.readouterr().err
    wrong.write_text("{")
    assert run(["segment", "check", str(wrong)]) == 2


def test_a_preview_counts_now_and_then(looked: Path, printed: Printed, capfd: pytest.CaptureFixture[str]) -> None:
    assert printed("preview", str(looked))["count"] == 1
    assert printed("preview", str(looked), "--at", rfc3339(now_ms() - 2 * HOUR_MS))["count"] == 0
    assert printed("preview", str(looked), "--estimate")["estimate"] is not None
    for words in ([], ["--estimate"]):
        assert run(["segment", "preview", str(looked), *words]) == 0
    assert "video_played" in capfd.readouterr().out


def test_a_segment_is_made_looked_at_explained_exported_and_deleted(
    looked: Path, tmp_path: Path, printed: Printed, capfd: pytest.CaptureFixture[str]
) -> None:
    made = printed("create", str(looked), "--name", "looked")
    assert (made["size"], made["state"]) == (1, "live")
    assert run(["segment", "create", str(written(tmp_path / "x.json", {"did": "x"})), "--name", "looked"]) == 1
    [member] = printed("members", "looked")["members"]
    [change] = printed("changes", made["id"])["changes"]
    assert (change["person"], change["reason"]) == (member["person"], "backfill")
    for who, inside in (("anonymous_id:v1", True), ("phone:13912340002", False), (member["person"], True)):
        assert printed("explain", "looked", who)["member"] is inside
    assert printed("explain", "looked", "anonymous_id:v1", "--at", rfc3339(now_ms() - 2 * HOUR_MS))["member"] is False
    played = written(tmp_path / "played.json", {"did": "video_played"})
    printed("create", str(played), "--name", "played")
    assert printed("overlap", "looked", "played")["sizes"] == [1, 2]
    for words in (
        "list",
        "members looked",
        "changes looked",
        "explain looked anonymous_id:v1",
        "overlap looked played",
    ):
        assert run(["segment", *words.split()]) == 0
        assert capfd.readouterr().out.strip()
    files = tmp_path / "members.csv", tmp_path / "members.xlsx"
    for file in files:
        printed("export", "looked", "--out", str(file))
    assert [row[0] for row in csv.reader(files[0].read_text("utf-8-sig").splitlines())] == ["person", member["person"]]
    assert openpyxl.load_workbook(files[1])["1"]["A2"].value == member["person"]
    assert printed("delete", "looked")["id"] == made["id"]
    assert run(["segment", "members", "looked"]) == 1
    assert run(["segment", "members", made["id"]]) == 1


def test_a_clear_export_has_clear_values(looked: Path, tmp_path: Path, printed: Printed) -> None:
    path = written(tmp_path / "left.json", {"did": "lead_submitted"})
    printed("create", str(path), "--name", "left")
    file = tmp_path / "members.csv"
    for words, phone in (([], "'+86139****0002"), (["--clear"], "'+8613912340002")):
        printed("export", "left", "--out", str(file), *words)
        [row] = csv.DictReader(file.read_text("utf-8-sig").splitlines())
        assert row["phone"] == phone


def test_a_template_becomes_a_definition_that_can_be_checked(tmp_path: Path, printed: Printed) -> None:
    assert len(printed("template")) == 6
    document = printed("template", "viewed_without_contact", "--set", "viewed=video_played", "--set", "seconds=60")
    assert document["where"]["after"] == {
        "did": "video_played",
        "where": {"prop": "stay_seconds", "op": ">=", "value": 60},
    }
    document = printed("template", "viewed_without_contact", "--set", "stay=seconds", "--set", "viewed=video_played")
    path = tmp_path / "it.json"
    path.write_text(json.dumps(document))
    # The template's model is a property that nobody has sent.
    assert {each["path"] for each in printed("check", str(path))["warnings"]} == {"where.same[0]"}
    assert run(["segment", "template", "nothing"]) == 1


def test_a_file_that_names_a_field_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    path.write_text('{"v": 1, "entity": "person", "where": {"did": "a", "did": "b"}}')
    assert run(["segment", "check", str(path)]) == 2


def test_a_slip_in_an_argument_is_told_without_asking_the_server() -> None:
    assert run(["segment", "overlap", "one"]) == 2
    assert run(["segment", "template", "first_touch", "--set", "chanel=x"]) == 2
