"""`cdp identity resolve` and `policy`: what they print, write and exit with, and that no file breaks them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.cli import run
from cdp.settings import Settings
from identity.kinds import BUILT_IN
from identity.policy_file import as_table, dump_policy, load_policy

GOOD = '{"id": "o1", "occurred_at": 1, "strength": 4, "identifiers": [{"kind": "member_id", "value": "M1"}]}\n'


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder to work in, and a shell in which nothing is set but a data folder."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"XUNJI_{name.upper()}", raising=False)
    monkeypatch.setenv("XUNJI_DATA_DIR", str(tmp_path / "data"))
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def resolve(content: str | bytes, *words: str) -> int:
    Path("seen.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    return run(["identity", "resolve", "seen.jsonl", "--out", "who.csv", *words])


def files() -> set[str]:
    return {each.name for each in Path().iterdir()}


def test_resolve_writes_two_files_and_sums_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert resolve(GOOD, "--json") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {
        "observations": 1,
        "persons": 1,
        "nobodys": 0,
        "contradictions": 0,
        "retracted": 0,
        "rejected": 0,
        "values": {"link": 1},
        "policy": BUILT_IN.name,
        "out": "who.csv",
    }
    assert files() == {"seen.jsonl", "who.csv", "who.csv.values.csv"}
    assert not (tmp_path / "data").exists()


def test_resolve_prints_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert resolve(GOOD) == 0
    out = capsys.readouterr().out
    assert "persons 人" in out
    assert "who.csv" in out


def test_a_bad_line_is_exit_2_with_one_sentence_and_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert resolve(GOOD + "{}\n") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "seen.jsonl, line 2 is unreadable: id is missing; allowed is one observation as JSON.\n"
    assert files() == {"seen.jsonl"}


def test_bad_lines_can_be_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert resolve(GOOD + "{}\n", "--skip-bad", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rejected"] == 1
    assert files() == {"seen.jsonl", "who.csv", "who.csv.values.csv", "who.csv.rejected.jsonl"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("resolve nowhere.jsonl --out who.csv", "FILE is nowhere.jsonl"),
        ("resolve . --out who.csv", "FILE is ."),
        ("resolve seen.jsonl --out seen.jsonl", "--out is seen.jsonl"),
        ("resolve seen.jsonl --out good.toml --policy good.toml", "--out is good.toml"),
        ("resolve seen.jsonl --out no/folder/who.csv", "--out is no/folder/who.csv"),
        ("resolve seen.jsonl --out .", "--out is ., which is no file"),
        ("resolve seen.jsonl --out /", "--out is /, which is no file"),
        (f"resolve seen.jsonl --out {'x' * 250}", f"--out is {'x' * 250}.values.csv (File name too long)"),
        ("resolve seen.jsonl --out who.csv --policy nowhere.toml", "nowhere.toml is not readable"),
        ("resolve seen.jsonl --out who.csv --policy bad.toml", "bad.toml: kinds.phone.priority is -1"),
    ],
)
def test_a_wrong_file_is_exit_2_with_one_sentence(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("seen.jsonl").write_text(GOOD)
    Path("bad.toml").write_text("[kinds.phone]\npriority = -1\n")
    Path("good.toml").write_text("[kinds.phone]\n")
    assert run(["identity", *words.split()]) == 2
    complaint = capsys.readouterr()
    assert complaint.out == ""
    assert complaint.err.startswith(said)
    assert complaint.err.count("\n") == 1
    assert files() == {"seen.jsonl", "bad.toml", "good.toml"}


@pytest.mark.parametrize("words", ["resolve", "resolve seen.jsonl", "resolve a b --out c", "policy extra", "rename"])
def test_a_wrong_call_is_exit_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["identity", *words.split()]) == 2
    assert capsys.readouterr().err


def test_the_policy_is_printed_so_that_it_can_be_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["identity", "policy"]) == 0
    printed = capsys.readouterr().out
    assert printed == dump_policy(BUILT_IN)
    assert load_policy(printed).kinds == BUILT_IN.kinds
    Path("policy.toml").write_text(printed, encoding="utf-8")
    assert resolve(GOOD, "--policy", "policy.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["policy"] == BUILT_IN.name


def test_the_policy_as_json_is_that_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["identity", "policy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == as_table(BUILT_IN)


def test_the_region_is_that_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XUNJI_REGION", "DE")
    assert resolve(GOOD.replace("member_id", "phone").replace("M1", "030 901820")) == 0
    assert "phone,+4930901820,link,\n" in Path("who.csv.values.csv").read_text(encoding="utf-8")


LINES = st.lists(
    st.binary(max_size=30)
    | st.sampled_from([GOOD.encode(), GOOD.replace("o1", "o2").encode(), GOOD.encode()[:-9], b"\xef\xbb\xbf", b"\r"])
    | st.builds(
        lambda at, byte: GOOD.encode()[:at] + byte + GOOD.encode()[at:], st.integers(0, 99), st.binary(max_size=2)
    ),
    max_size=5,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from([b"", b"\xef\xbb\xbf"]), LINES, st.sampled_from([b"\n", b"\r\n"]))
def test_whatever_a_file_holds_all_is_written_or_nothing(bom: bytes, lines: list[bytes], end: bytes) -> None:
    for name in files():
        Path(name).unlink()
    content = bom + end.join(lines)
    code = resolve(content, "--json")
    assert code in (0, 2)
    assert files() == ({"seen.jsonl"} if code else {"seen.jsonl", "who.csv", "who.csv.values.csv"})
    before = {name: Path(name).read_bytes() for name in files()}
    assert resolve(content, "--json", "--skip-bad") == 0
    if code == 0:
        assert {name: Path(name).read_bytes() for name in before} == before
        assert Path("who.csv.rejected.jsonl").read_bytes() == b""
