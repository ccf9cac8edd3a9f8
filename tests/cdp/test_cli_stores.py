"""The commands where no server runs: the same API, in this process, on stores of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdp.accounting import counter_rows
from cdp.cli import run
from cdp.model import Identifier
from cdp.records import writing
from cdp.settings import Settings, load_settings
from cdp.stores import open_events, open_graph, open_records
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph
from identity.graph_tables import value
from identity.kinds import BUILT_IN
from identity.observation import Observation, observation_id
from profiles.events_clickhouse import ClickHouseEvents


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def cdp(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command; its exit code, stdout and stderr."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"XUNJI_{name.upper()}", raising=False)
    monkeypatch.setenv("XUNJI_DATA_DIR", str(data))

    def call(words: str) -> tuple[int, str, str]:
        code = run(words.split())
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_very_first_command_finds_every_table_it_needs(tmp_path: Path) -> None:
    # In a process of its own, where nothing else has been imported.
    words = [sys.executable, "-m", "cdp", "key", "list", "--json"]
    env = os.environ | {"XUNJI_DATA_DIR": str(tmp_path)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"keys": []}, "")


def test_a_command_in_the_wrong_folder_says_that_it_makes_new_data(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("XUNJI_")}
    words = [sys.executable, "-m", "cdp", "key", "list"]
    first, second = (
        subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
        for _ in range(2)
    )
    assert str(tmp_path / "data") in first
    assert second == ""


def test_a_source_is_made_shown_and_disabled(cdp: Any) -> None:
    code, out, err = cdp("source create shop --kind site --key key-of-the-shop --json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert (made["name"], made["kind"], made["key"]) == ("shop", "site", "key-of-the-shop")
    code, out, _ = cdp("source list")
    assert code == 0
    assert "shop" in out
    assert "key-of-the-shop" not in out
    assert cdp("source disable shop")[0] == 0
    assert json.loads(cdp("source list --json")[1])["sources"][0]["enabled"] is False


def test_a_name_that_is_taken_is_a_no(cdp: Any) -> None:
    assert cdp("source create twice --kind app")[0] == 0
    code, out, err = cdp("source create twice --kind app")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "There is a source twice of kind app already" in err


def test_a_key_is_shown_once_and_revoked(cdp: Any) -> None:
    code, out, _ = cdp("key create crm --role sales --json")
    assert code == 0
    secret = json.loads(out)["key"]
    code, out, _ = cdp("key list --json")
    assert [(key["name"], key["role"]) for key in json.loads(out)["keys"]] == [("crm", "sales")]
    assert secret not in out
    assert cdp("key revoke crm")[0] == 0
    assert json.loads(cdp("key list --json")[1])["keys"][0]["revoked_at"]


def test_nobody_is_a_no(cdp: Any) -> None:
    code, out, err = cdp("person show phone:+8613812345678 --json")
    assert (code, out) == (1, "")
    assert "13812345678" not in err
    assert cdp("lead show ld_none")[:2] == (1, "")


def test_a_value_that_is_none_of_its_kind_is_a_wrong_call(cdp: Any) -> None:
    assert cdp("person show shoe_size:42")[0] == 2


def test_why_is_answered_also_where_the_answer_is_no(cdp: Any) -> None:
    code, out, err = cdp("person why phone:+8613812345678 member_id:nobody --json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["same"], {each["rule"] for each in found["refusals"]}) == (False, {"unknown"})
    code, out, _ = cdp("person why phone:+8613812345678 member_id:nobody")
    assert code == 0
    assert "不是同一个人" in out
    code, _, err = cdp("person why phone:abc123 member_id:nobody")
    assert code == 2
    assert "abc123" not in err


def test_the_graph_is_derived_again_and_compared(cdp: Any) -> None:
    assert json.loads(cdp("identity rebuild --json")[1])["equal"] is True
    code, out, _ = cdp("identity rebuild --check")
    assert (code, "follow from the evidence" in out) == (0, True)


def test_a_check_that_finds_a_difference_exits_1(cdp: Any, data: Path) -> None:
    assert cdp("identity rebuild")[0] == 0
    graph = open_graph(Settings(data_dir=data))
    assert isinstance(graph, SqlGraph)
    engine = IdentityEngine(graph, BUILT_IN)
    met = (Identifier("member_id", "m1"), Identifier("device_id", "d1"))
    engine.observe([Observation(observation_id("one"), met, 4, 0)])
    with writing(graph._engine, "graph") as connection:
        connection.execute(value.update().values(contested=True))
    graph.close()
    code, out, _ = cdp("identity rebuild --check --json")
    assert (code, json.loads(out)["values"]) == (1, 2)
    code, out, _ = cdp("identity rebuild --json")
    assert (code, json.loads(out)["values"]) == (0, 2)
    assert cdp("identity rebuild --check")[0] == 0


def test_another_policy_is_tried_from_its_file(cdp: Any, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(cdp("identity policy")[1])
    code, out, err = cdp(f"identity what-if {file} --json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["merged"], found["split"], found["examples"]) == (0, 0, [])
    assert cdp(f"identity what-if {file}")[0] == 0
    file.write_text("max_cluster = 0")
    code, out, err = cdp(f"identity what-if {file}")
    assert (code, out) == (2, "")
    assert "policy.toml" in err


def test_a_policy_in_the_settings_is_in_force(cdp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[kinds.badge]\npriority = 50")
    monkeypatch.setenv("XUNJI_POLICY", str(file))
    assert cdp("person show badge:42")[0] == 1
    code, _, err = cdp("person show phone:+8613812345678")
    assert (code, "badge" in err) == (2, True)
    file.write_text("[kinds.badge]\npriority = -1")
    code, _, err = cdp("person show badge:42")
    assert code == 2
    assert err.startswith("XUNJI_POLICY is ")
    assert "priority" in err


def test_a_replay_of_nothing_ends(cdp: Any) -> None:
    code, out, _ = cdp("log replay --json")
    assert code == 0
    assert json.loads(out)["done"] is True


def test_accounting_exits_1_when_it_does_not_add_up(cdp: Any, data: Path) -> None:
    code, out, _ = cdp("accounting --json")
    assert (code, json.loads(out)["balanced"]) == (0, True)
    records = open_records(Settings(data_dir=data))
    with writing(records) as connection:
        connection.execute(counter_rows.insert().values(hour=0, source="shop", what="found", n=1))
    records.dispose()
    code, out, _ = cdp("accounting")
    assert code == 1
    assert "does not add up" in out
    assert cdp("accounting --json")[0] == 1


def test_the_doctor_tries_every_store(cdp: Any) -> None:
    code, out, _ = cdp("doctor --json")
    report = json.loads(out)
    assert code == 0
    assert report["server"] is None
    assert {name: check["works"] for name, check in report["checks"].items()} == dict.fromkeys(
        ("records", "log", "graph", "events"), True
    )


def test_the_doctor_says_which_store_fails_and_why(cdp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "graph.db"
    broken.write_bytes(b"this is no database, whatever its name says" * 100)
    monkeypatch.setenv("XUNJI_GRAPH_URL", f"sqlite:///{broken}")
    code, out, _ = cdp("doctor --json")
    checks = json.loads(out)["checks"]
    assert code == 3
    assert [name for name, check in checks.items() if not check["works"]] == ["graph"]
    assert "not a database" in checks["graph"]["why"]


def test_the_doctor_finds_a_table_of_another_shape(cdp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XUNJI_DATA_DIR", str(tmp_path))
    events = open_events(load_settings())
    assert isinstance(events, ClickHouseEvents)
    events._background.command("ALTER TABLE typed_events DROP COLUMN ip_city")
    events.close()
    code, out, _ = cdp("doctor --json")
    checks = json.loads(out)["checks"]
    assert code == 3
    assert "ip_city" in checks["events"]["why"]
