"""The command: what it writes, what it says of files that it cannot read, and that it never writes half a result."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cdp.cli.identity_match import match
from cdp.errors import ConfigurationError
from identity.matching import tables
from identity.matching.columns import read_columns
from identity.matching.tables import read_records, write_whole

MAP = 'id = "id"\n[columns]\nname = "surname"\nborn = "date"\n'
ROWS = "id,name,born\n1,Smith,1990-02-03\n2,Smith,1990-02-03\n3,Jones,1951-11-28\n"

app = typer.Typer()
app.command()(match)


class Done(NamedTuple):
    code: int
    out: Path
    said: str
    complaint: str


def run(
    folder: Path, *contents: bytes | str, mapping: bytes | str = MAP, out: str = "who.csv", json: bool = True
) -> Done:
    """Call the command on files of these contents; a refusal is an exit code of 2, as in `cdp`."""
    files = []
    for number, content in enumerate(contents):
        files.append(folder / f"rows{number}.csv")
        files[-1].write_bytes(content.encode() if isinstance(content, str) else content)
    columns = folder / "map.toml"
    columns.write_bytes(mapping.encode() if isinstance(mapping, str) else mapping)
    arguments = [*map(str, files), "--columns", str(columns), "--out", str(folder / out), *(["--json"] if json else [])]
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, ConfigurationError):
        return Done(2, folder / out, result.stdout, str(result.exception))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, folder / out, result.stdout, result.stderr)


def test_each_row_gets_a_cluster_and_a_confidence_in_the_order_of_ids(tmp_path: Path) -> None:
    done = run(tmp_path, ROWS)

    assert done.code == 0
    lines = done.out.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,cluster,confidence"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    assert {line.split(",")[2] for line in lines[1:]} <= {"exact", "strict", "loose"}


def test_the_summary_counts_what_was_done(tmp_path: Path) -> None:
    summary = json.loads(run(tmp_path, ROWS).said)

    assert summary["records"] == 3
    assert set(summary) == {"records", "clusters", "joined", "compared", "confidence", "model", "out"}
    assert sum(summary["confidence"].values()) == 3


def test_people_get_a_table(tmp_path: Path) -> None:
    assert "pairs compared" in run(tmp_path, ROWS, json=False).said


def test_shuffled_rows_give_the_same_bytes(tmp_path: Path) -> None:
    header, *rows = ROWS.splitlines()
    one = run(tmp_path, ROWS).out.read_bytes()
    other = run(tmp_path, "\n".join([header, *reversed(rows)])).out.read_bytes()

    assert one == other


def test_a_byte_order_mark_and_spaces_after_commas_are_no_part_of_a_name(tmp_path: Path) -> None:
    assert run(tmp_path, b"\xef\xbb\xbf" + ROWS.replace(",", ", ").encode()).code == 0


def test_files_are_sources_where_no_column_names_them(tmp_path: Path) -> None:
    def clusters(*files: str) -> dict[str, str]:
        done = run(tmp_path, *files, mapping=f'mode = "link"\n{MAP}')
        with done.out.open(encoding="utf-8") as file:
            return {row["id"]: row["cluster"] for row in csv.DictReader(file)}

    assert len(set(clusters(ROWS, "id,name,born\n4,Jones,1950-12-30\n").values())) == 4, "nothing within a file"
    same = clusters(ROWS, "id,name,born\n4,Smith,1990-02-03\n")
    assert same["4"] in {same["1"], same["2"], same["3"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("id,name,born\n", "without rows"),
        ("id,name\n1,Smith\n", "'born'"),
        ("id,name,name,born\n1,a,b,c\n", "twice"),
        (ROWS + "1,Smith,1990-02-03\n", "line 5"),
        (ROWS + ",Smith,1990-02-03\n", "without id"),
        (ROWS + "4,Smith\n", "2 fields on line 5"),
        (ROWS + '4,"Smith\n', "no CSV"),
        (ROWS + "4,Smi\0th,1990-02-03\n", "NUL"),
        (ROWS.encode("utf-16"), "UTF-16"),
        (ROWS.replace("Smith", "王伟").encode("gbk"), "GBK"),
        (ROWS.encode() + b"\xff\xfe\xff", "UTF-8"),
        (b"PK\x03\x04\x14\x00" + bytes(range(256)), "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes | str, reason: str
) -> None:
    done = run(tmp_path, content)

    assert done.code == 2
    assert reason in done.complaint
    assert len(done.complaint.splitlines()) == 1
    assert not done.out.exists()


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ("id =", "TOML"),
        ("id = " + "9" * 5_000, "TOML"),
        ("id = " + "[" * 5_000, "TOML"),
        ("", "id"),
        ('id = "id"\n', "[columns]"),
        ('id = "id"\n[columns]\n', "[columns]"),
        ('id = 7\n[columns]\nname = "surname"\n', "id"),
        ('id = "id"\n[columns]\nname = "shoe_size"\n', "shoe_size"),
        ('id = "id"\n[columns]\nname = ["surname"]\n', "surname"),
        ('id = "id"\nmode = "guess"\n[columns]\nname = "surname"\n', "mode"),
        ('id = "id"\nmode = ["link"]\n[columns]\nname = "surname"\n', "mode"),
        ('id = "id"\nthreshold = 0.5\n[columns]\nname = "surname"\n', "threshold"),
        ('id = "id"\nmode = "link"\n[columns]\nname = "surname"\n', "source"),
        ('id = "id"\n[columns]\nid = "surname"\n', "twice"),
        ('id = "id"\nsource = "id"\n[columns]\nname = "surname"\n', "twice"),
        (b'id = "\xff"', "UTF-8"),
    ],
)
def test_a_mapping_that_cannot_be_read_is_refused_in_one_sentence(
    tmp_path: Path, mapping: bytes | str, reason: str
) -> None:
    done = run(tmp_path, ROWS, mapping=mapping)

    assert done.code == 2
    assert reason in done.complaint
    assert not done.out.exists()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_records([tmp_path / "missing.csv"], read_columns(MAP))


@pytest.mark.parametrize("out", ["nowhere/who.csv", ".", "rows0.csv", "map.toml", "pipe", "x" * 300])
def test_a_result_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, out: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = run(tmp_path, ROWS, out=out)

    assert done.code == 2
    assert "--out" in done.complaint
    assert (tmp_path / "rows0.csv").read_text(encoding="utf-8") == ROWS


def test_a_write_that_fails_leaves_the_old_result_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "who.csv"
    out.write_text("old", encoding="utf-8")

    def broken() -> object:
        yield ("1", "1", "exact")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_whole(out, ("id", "cluster", "confidence"), broken())  # type: ignore[arg-type]

    assert [each.name for each in tmp_path.iterdir()] == ["who.csv"]
    assert out.read_text(encoding="utf-8") == "old"


def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables.os, "fsync", full)

    with pytest.raises(ConfigurationError, match="No space left"):
        write_whole(tmp_path / "who.csv", ("id",), [("1",)])
    assert list(tmp_path.iterdir()) == []


MESSY = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200),
    st.lists(st.lists(st.text(max_size=12), min_size=3, max_size=3), max_size=8).map(
        lambda rows: "id,name,born\n" + "\n".join(",".join(row) for row in rows)
    ),
    st.lists(st.tuples(st.integers(0, 5), st.text(max_size=5), st.text("0123456789-/年", max_size=12)), max_size=8).map(
        lambda rows: "id,name,born\n" + "\n".join(f'{a},"{b.replace(chr(34), "")}",{c}' for a, b, c in rows)
    ),
)


@given(
    content=MESSY, kind=st.sampled_from(["surname", "full_name", "name_zh", "date", "phone", "email", "address", "vin"])
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_input_ends_in_a_traceback_or_half_a_file(tmp_path: Path, content: bytes | str, kind: str) -> None:
    for left_over in tmp_path.iterdir():
        left_over.unlink()
    content = content.encode(errors="surrogatepass") if isinstance(content, str) else content

    done = run(tmp_path, content, mapping=MAP.replace("surname", kind))

    assert done.code in (0, 2)
    assert done.out.exists() == (done.code == 0)
    assert {each.name for each in tmp_path.iterdir()} <= {"rows0.csv", "map.toml", "who.csv"}
    if done.code == 0:
        with done.out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert all(len(row) == 3 for row in rows)
        assert [row[0] for row in rows[1:]] == sorted(row[0] for row in rows[1:])


@given(st.text(max_size=120) | st.text('[]="idcolumns\n', max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_mapping_ends_in_a_traceback(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        assert read_columns(text).types


def test_help_comes_without_loading_pandas() -> None:
    code = "import sys, cdp.cli.identity_match; sys.exit('pandas' in sys.modules or 'numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
