"""`cdp import` where nobody is asked: the guess that is unsure is left as a map, which can be given back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from cdp.cli import run
from cdp.settings import Settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"XUNJI_{name.upper()}", raising=False)
    monkeypatch.setenv("XUNJI_DATA_DIR", str(tmp_path / "data"))


def test_an_unsure_guess_becomes_a_map_that_can_be_given_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, report = tmp_path / "leads.csv", tmp_path / "report.json"
    file.write_text('A,"a ""b"""\n13812345678,x\n138,y\n', encoding="utf-8")
    told = tmp_path / "leads.map.toml"
    assert run(["source", "create", "crm", "--kind", "file"]) == 0
    assert run(["import", str(file), "--source", "crm", "--yes"]) == 2
    assert tomllib.loads(told.read_text(encoding="utf-8"))["columns"] == {"A": "property.A", 'a "b"': 'property.a "b"'}
    told.write_text(told.read_text(encoding="utf-8").replace('"property.A"', '"phone"'), encoding="utf-8")
    capfd.readouterr()
    words = ["import", str(file), "--source", "crm", "--map", str(told), "--report", str(report), "--json"]
    assert run(words) == 0
    done = json.loads(capfd.readouterr().out)
    assert done["counts"] == {"taken": 1, "joined": 0, "repeated": 0, "refused": 1}
    assert [line["outcome"] for line in json.loads(report.read_text(encoding="utf-8"))["rows"]] == ["taken", "refused"]
    assert run(["import", "undo", done["id"], "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["removed"]["leads"] == 1


def test_where_nothing_is_unsure_the_command_says_that_yes_would_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("手机号\n13812345678\n13912345678\n", encoding="gb18030")
    assert run(["source", "create", "crm", "--kind", "file"]) == 0
    assert run(["import", str(file), "--source", "crm"]) == 2
    assert "Nothing was unsure: run again with --yes" in capfd.readouterr().err


def test_where_a_report_cannot_lie_nothing_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("A\n1\n")
    for report in (tmp_path / "no" / "report.csv", tmp_path / "report.pdf"):
        assert run(["import", str(file), "--source", "crm", "--report", str(report)]) == 2
    assert not (tmp_path / "data").exists()


def test_a_map_that_cannot_be_read_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    file, told = tmp_path / "leads.csv", tmp_path / "map.toml"
    file.write_text("A\n1\n")
    for text in ("kind = ", 'kind = "cars"\n[columns]\n', 'kind = "leads"\nsheet = "x"\n[columns]\n'):
        told.write_text(text)
        assert run(["import", str(file), "--source", "crm", "--map", str(told)]) == 2
    assert not (tmp_path / "data").exists()
