"""What the command `cdp` promises without any store: its help, its checks, its exit codes and sentences."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from api.permissions import Role as ApiRole
from cdp import api_client
from cdp.api_client import Declined, ServerUnavailable
from cdp.cli import app, exit_code, run
from cdp.cli.config import rows
from cdp.cli.key import Role
from cdp.cli.serve import usable_ports
from cdp.cli.source import Kind
from cdp.errors import ConfigurationError, NotFound, StoreUnavailable
from cdp.model import SourceKind
from cdp.settings import Settings, load_settings
from tests.real.product import free_port

GROUP = typer.main.get_command(app)


def commands(group: Any = GROUP, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())
NAMES = [" ".join(path) for path in COMMANDS]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell in which nothing is set but a data folder of its own."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"XUNJI_{name.upper()}", raising=False)
    monkeypatch.setenv("XUNJI_DATA_DIR", str(tmp_path / "data"))


def test_the_commands_are_those_of_the_contract() -> None:
    assert set(NAMES) == {
        *("serve", "accounting", "doctor", "qr", "source create", "source list", "source disable"),
        *("key create", "key list", "key revoke", "person show", "lead show", "log replay", "config show"),
        *("vault rotate", "move"),
        *("identity resolve", "identity match", "identity policy", "identity rebuild", "identity what-if"),
        *("person why", "person erase"),
        *("segment template", "segment check", "segment preview", "segment create", "segment list", "segment members"),
        *("segment changes", "segment explain", "segment overlap", "segment export", "segment delete"),
        *("import file", "import undo", "import cancel", "import show", "import list", "import report"),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_each_help_holds_one_example_that_parses(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    examples = re.findall(r"^Example: cdp (.+)$", command.help, re.MULTILINE)
    assert len(examples) == 1
    words = shlex.split(examples[0])
    assert tuple(words[: len(path)]) == path
    # Raises where an option or an argument is not one of the command's.
    command.make_context("cdp", words[len(path) :])


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_each_help_is_in_english_and_chinese(path: tuple[str, ...]) -> None:
    opening = COMMANDS[path].help.partition("\n\n")[0]
    assert re.match(r"[A-Z][^\n]*\. [^\n]*[\u4e00-\u9fff]", opening)
    for parameter in COMMANDS[path].params:
        assert re.search(r"[\u4e00-\u9fff]", parameter.help or ""), parameter.name


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_each_command_speaks_json(path: tuple[str, ...]) -> None:
    assert "--json" in {option for parameter in COMMANDS[path].params for option in parameter.opts}


def test_help_says_what_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "3 a store cannot be" in capsys.readouterr().out


def test_kinds_and_roles_are_those_of_the_product() -> None:
    assert [kind.value for kind in Kind] == [kind.value for kind in SourceKind]
    assert [role.value for role in Role] == [role.value for role in ApiRole]


@pytest.mark.parametrize(
    "words",
    [
        "source create",
        "source create shop",
        "source create shop --kind spaceship",
        "key create crm --role king",
        "person show 13812345678",
        "person show phone:",
        "person why phone:+8613812345678",
        "person why phone:+8613812345678 member",
        "identity what-if",
        "identity what-if no-such-file.toml",
        "segment check no-such-file.json",
        "segment create looked.json",
        "segment explain looked 13987654320",
        "segment export looked --out members.pdf",
        "segment template viewed_without_contact --set wait",
        "segment template viewed_without_contact --set seconds=ten",
        "segment template viewed_without_contact --set colour=red",
        "segment members looked --at yesterday",
        "accounting --from yesterday",
        "log replay --from 2026-11-01",
        "serve --role captain",
        "dance",
    ],
)
def test_a_wrong_call_exits_2_and_opens_nothing(words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(words.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err
    assert not (tmp_path / "data").exists()


def test_a_wrong_call_does_not_repeat_a_personal_value(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["person", "show", "13987654320"], ["segment", "explain", "looked", "13987654320"]):
        assert run(words) == 2
        assert "13987654320" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("XUNJI_PORT", "http", "a valid integer"),
        ("XUNJI_COLLECTOR_PORT", "70000", "less than or equal to 65535"),
        ("XUNJI_COLLECTOR_PROCESSES", "0", "greater than or equal to 1"),
        ("XUNJI_LEAD_WAIT", "soon", "ISO 8601 duration"),
        ("XUNJI_TZ", "Mars/Olympus", "IANA time zone"),
        ("XUNJI_TRUSTED_PROXIES", "the-proxy", "10.0.0.0/8"),
        ("XUNJI_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_the_setting_what_came_and_what_is_allowed(
    setting: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(setting, value)
    assert run(["config", "show"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"{setting} is '{value}'; allowed is ")
    assert allowed in said.err


@pytest.mark.parametrize(("setting", "value"), [("XUNJI_SECRET", "c2hvcnQ="), ("XUNJI_ADMIN_KEY", "tiny-secret")])
def test_a_wrong_secret_is_not_repeated(
    setting: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(setting, value)
    assert run(["config", "show"]) == 2
    said = capsys.readouterr().err
    assert setting in said
    assert value not in said


def test_a_secret_may_stand_in_a_file_that_its_setting_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (
        ("admin_key", "key-from-a-file-0123\n"),
        ("records_url", "postgresql+psycopg://cdp:hush@db/c"),
    ):
        (tmp_path / name).write_text(content)
        monkeypatch.setenv(f"XUNJI_{name.upper()}_FILE", str(tmp_path / name))
    settings = load_settings()
    assert settings.admin == "key-from-a-file-0123"
    assert settings.records_url == "postgresql+psycopg://cdp:hush@db/c"
    assert run(["config", "show"]) == 0
    said = capsys.readouterr().out
    assert "key-from-a-file" not in said
    assert "hush" not in said


def test_a_file_of_a_setting_wins_over_the_toml_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "xunji.toml").write_text('tz = "Europe/Berlin"\n')
    (tmp_path / "tz").write_text("Asia/Tokyo\n")
    monkeypatch.setenv("XUNJI_CONFIG", str(tmp_path / "xunji.toml"))
    monkeypatch.setenv("XUNJI_TZ_FILE", str(tmp_path / "tz"))
    assert load_settings().tz == "Asia/Tokyo"


def test_a_setting_and_its_file_at_once_stop_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key-from-a-file-0123")
    monkeypatch.setenv("XUNJI_ADMIN_KEY", "key-from-outside-0123")
    monkeypatch.setenv("XUNJI_ADMIN_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match=r"^XUNJI_ADMIN_KEY_FILE is set beside XUNJI_ADMIN_KEY"):
        load_settings()


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00\x81"])
def test_a_file_of_a_setting_that_cannot_be_read_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv("XUNJI_SECRET_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match=r"^XUNJI_SECRET_FILE is '.*/key' \(.+\); allowed is a readable file"):
        load_settings()


def test_config_show_tells_value_and_origin_and_masks_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "xunji.toml").write_text('tz = "Europe/Berlin"\nevents_retention = "P400D"\nport = 1\n')
    monkeypatch.setenv("XUNJI_CONFIG", str(tmp_path / "xunji.toml"))
    monkeypatch.setenv("XUNJI_PORT", "9000")
    monkeypatch.setenv("XUNJI_ADMIN_KEY", "do-not-print-this-key")
    monkeypatch.setenv("XUNJI_RECORDS_URL", "postgresql+psycopg://cdp:hunter2@db/cdp")
    assert run(["config", "show", "--json"]) == 0
    out = capsys.readouterr().out
    found = {row["setting"]: (row["value"], row["from"]) for row in json.loads(out)["settings"]}
    assert found["XUNJI_PORT"] == ("9000", "environment")
    assert found["XUNJI_TZ"] == ("Europe/Berlin", "file")
    assert found["XUNJI_EVENTS_RETENTION"] == ("P400D", "file")
    assert found["XUNJI_LEAD_WAIT"] == ("PT0.5S", "default")
    assert found["XUNJI_ADMIN_KEY"] == ("****", "environment")
    assert found["XUNJI_RECORDS_URL"] == ("postgresql+psycopg://cdp:****@db/cdp", "environment")
    assert "do-not-print" not in out
    assert "hunter2" not in out
    assert len(found) == len(Settings.model_fields)


def test_what_config_show_prints_can_be_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings()
    for row in rows(before):
        monkeypatch.setenv(row["setting"], row["value"])
    assert load_settings() == before.model_copy(
        update={name: getattr(load_settings(), name) for name in ("data_dir", *_urls())}
    )
    assert [row["value"] for row in rows(load_settings())] == [row["value"] for row in rows(before)]


def _urls() -> list[str]:
    return [name for name in Settings.model_fields if name.endswith("_url")]


def test_a_server_that_is_named_and_does_not_answer_is_exit_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XUNJI_URL", f"http://127.0.0.1:{free_port()}")
    assert run(["key", "list", "--json"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "does not answer" in said.err
    assert "XUNJI_URL" in said.err
    assert not (tmp_path / "data" / "records.db").exists()


def test_a_store_of_no_adapter_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XUNJI_RECORDS_URL", "mysql://somewhere/else")
    assert run(["source", "list"]) == 2
    assert capsys.readouterr().err.startswith("XUNJI_RECORDS_URL is an address of kind 'mysql' that cannot be used; ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("XUNJI_PORT", came="x", allowed="y"), 2),
        (Declined(404, {"detail": "There is no person with this phone."}), 1),
        (Declined(409, {"detail": "There is a source shop already."}), 1),
        (Declined(401, {"detail": "Send an API key."}), 2),
        (Declined(422, {"detail": "Correct it.", "errors": [{"path": "kind", "expected": "a", "got": "b"}]}), 2),
        (Declined(503, {"detail": "The records store cannot be reached."}), 3),
        (Declined(500, {}), 3),
        (NotFound("lead", "ld_1"), 1),
        (StoreUnavailable("graph", "disk I/O error"), 3),
        (ServerUnavailable("http://127.0.0.1:1", "refused"), 3),
        (PermissionError(13, "Permission denied", "/data"), 3),
    ],
    ids=str,
)
def test_exit_codes_say_who_can_mend_it(error: Any, code: int) -> None:
    assert exit_code(error) == code


def test_a_refusal_names_the_fields() -> None:
    error = Declined(422, {"detail": "Correct it.", "errors": [{"path": "kind", "expected": "a", "got": "b"}]})
    assert str(error) == "Correct it.; kind: expected a, got b"


@pytest.mark.parametrize(
    ("roles", "setting"),
    [
        (["api"], "XUNJI_LOG_URL"),
        (["worker", "api"], "XUNJI_LOG_URL"),
        (["identity"], "XUNJI_LOG_URL"),
        (["collector", "api"], "--role"),
        (["identity", "worker"], "--role"),
    ],
)
def test_roles_that_cannot_run_so_are_refused(
    roles: list[str], setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", *(word for role in roles for word in ("--role", role))]) == 2
    assert capsys.readouterr().err.startswith(f"{setting} is ")


@pytest.mark.parametrize("setting", ["XUNJI_PORT", "XUNJI_COLLECTOR_PORT"])
def test_serve_says_which_port_is_taken_before_it_starts_anything(
    setting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XUNJI_PORT", "0")
    monkeypatch.setenv("XUNJI_COLLECTOR_PORT", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv(setting, str(port))
        assert run(["serve"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"{setting} is {port}, which cannot be had on 127.0.0.1 (")
    assert not (tmp_path / "data").exists()


def test_a_second_start_says_first_that_it_is_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "http://127.0.0.1:8000"
    leave_note(load_settings(), json.dumps({"pid": os.getpid(), "url": url}))
    monkeypatch.setattr(api_client, "running_server", lambda _: url)
    assert run(["serve"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("It is running already")
    assert url in said


def test_one_port_for_both_listeners_is_refused() -> None:
    port = free_port()
    with pytest.raises(ConfigurationError, match="XUNJI_COLLECTOR_PORT"):
        usable_ports(Settings(port=port, collector_port=port))


def test_port_0_becomes_two_different_free_ports() -> None:
    found = usable_ports(Settings(port=0, collector_port=0))
    assert set(found) == {"XUNJI_PORT", "XUNJI_COLLECTOR_PORT"}
    assert len(set(found.values()) - {"0"}) == 2


def leave_note(settings: Settings, note: str) -> None:
    folder = settings.data / "run"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.json").write_text(note)


def test_a_note_that_a_crash_left_is_not_a_server() -> None:
    settings = load_settings()
    for note in ('{"pid": 2147483000, "url": "http://127.0.0.1:1"}', '{"pid": 1', "{}", "[]"):
        leave_note(settings, note)
        assert api_client.note_of(settings) is None
        assert api_client.running_server(settings) is None


def test_a_note_whose_process_is_another_one_by_now_is_not_a_server() -> None:
    settings = load_settings()
    leave_note(settings, json.dumps({"pid": os.getpid(), "url": f"http://127.0.0.1:{free_port()}"}))
    assert api_client.note_of(settings) is not None
    assert api_client.running_server(settings) is None


def test_a_server_on_all_addresses_is_reached_on_this_machine() -> None:
    settings = load_settings()
    leave_note(settings, json.dumps({"pid": os.getpid(), "url": "http://0.0.0.0:8000"}))
    note = api_client.note_of(settings)
    assert note is not None
    assert note.url == "http://127.0.0.1:8000"


def test_a_server_that_listens_and_says_nothing_is_exit_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(api_client, "PROBE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        leave_note(load_settings(), json.dumps({"pid": os.getpid(), "url": url}))
        assert run(["source", "list"]) == 3
    assert url in capsys.readouterr().err
