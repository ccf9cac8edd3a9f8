"""The vault's key changes: nothing becomes unreadable, nothing that was erased comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from cdp import vault_rotation
from cdp.cli import run
from cdp.migrations import migrate
from cdp.model import Identifier
from cdp.records import open_engine, reading, writing
from cdp.vault import Vault, vault_cipher, vault_rows
from cdp.vault_rotation import Rotation, rotate

SECRET, OLD, NEW = bytes(32), b"o" * 32, b"n" * 32
PHONES = [f"+861380000{number:04}" for number in range(7)]


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/data/records.db")
    migrate(engine, "records")
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_rotation, "_PAGE", vault_rotation._PAGE.limit(3))


def fill(engine: Engine, *keys: bytes) -> list[str]:
    """Put the phones into the vault; their tokens."""
    vault = Vault(engine, SECRET, keys)
    clear = {vault.token("phone", phone): Identifier("phone", phone) for phone in PHONES}
    with writing(engine) as connection:
        vault.remember(connection, clear, at=1)
    return list(clear)


def readable(engine: Engine, tokens: list[str], *keys: bytes) -> list[str]:
    return sorted(Vault(engine, SECRET, keys).reveal(tokens).values())


def test_after_a_rotation_the_new_key_alone_opens_every_value(records: Engine) -> None:
    tokens = fill(records, OLD)
    assert rotate(records, vault_cipher(SECRET, [NEW, OLD])) == Rotation(looked=7, old=7)
    assert readable(records, tokens, NEW) == PHONES
    assert rotate(records, vault_cipher(SECRET, [NEW])) == Rotation(looked=7)


def test_the_first_rotation_leads_away_from_the_deployments_secret(records: Engine) -> None:
    tokens = fill(records)
    assert readable(records, tokens, NEW) == PHONES
    assert rotate(records, vault_cipher(SECRET, [NEW])) == Rotation(looked=7, old=7)
    assert rotate(records, vault_cipher(b"x" * 32, [NEW])) == Rotation(looked=7)


def test_tokens_stay_the_same_whatever_the_vaults_key(records: Engine) -> None:
    assert Vault(records, SECRET).token("phone", PHONES[0]) == Vault(records, SECRET, [NEW]).token("phone", PHONES[0])


def test_both_keys_are_read_while_a_rotation_is_under_way_and_it_goes_on_where_it_was_cut_off(records: Engine) -> None:
    tokens = fill(records, OLD)

    def cut(looked: int) -> None:
        if looked >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate(records, vault_cipher(SECRET, [NEW, OLD]), progress=cut)
    assert readable(records, tokens, NEW, OLD) == PHONES
    assert rotate(records, vault_cipher(SECRET, [NEW, OLD])) == Rotation(looked=7, old=1)
    assert readable(records, tokens, NEW) == PHONES


def test_a_value_that_is_erased_while_its_page_is_sealed_stays_away(
    records: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = fill(records, OLD)
    read = vault_rotation._page

    def erased_after_reading(engine: Engine, after: str) -> Any:
        page = read(engine, after)
        with writing(engine) as connection:
            Vault(engine, SECRET).destroy(connection, [tokens[0]])
        return page

    monkeypatch.setattr(vault_rotation, "_page", erased_after_reading)
    rotate(records, vault_cipher(SECRET, [NEW, OLD]))
    with reading(records) as connection:
        assert connection.scalar(select(func.count()).select_from(vault_rows)) == 6
    assert readable(records, tokens, NEW) == PHONES[1:]


def test_what_no_key_opens_is_counted_and_left_as_it_is(records: Engine) -> None:
    tokens = fill(records, OLD)
    assert rotate(records, vault_cipher(SECRET, [NEW])) == Rotation(looked=7, lost=7)
    assert readable(records, tokens, OLD) == PHONES


def test_the_command_rotates_and_says_when_an_old_key_may_go(
    records: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(records, OLD)
    keys = [base64.b64encode(key).decode() for key in (NEW, OLD)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XUNJI_SECRET", base64.b64encode(SECRET).decode())
    monkeypatch.setenv("XUNJI_VAULT_KEYS", ",".join(keys))
    assert run(["vault", "rotate", "--check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"looked": 7, "old": 7, "lost": 0}
    assert run(["vault", "rotate"]) == 0
    assert "7 were sealed anew" in capsys.readouterr().out
    monkeypatch.setenv("XUNJI_VAULT_KEYS", keys[0])
    assert run(["vault", "rotate", "--check"]) == 0
    monkeypatch.setenv("XUNJI_VAULT_KEYS", keys[1])
    assert run(["vault", "rotate", "--check"]) == 1
    assert "none of the keys" in capsys.readouterr().out


def test_a_key_of_the_wrong_length_stops_the_start_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XUNJI_VAULT_KEYS", "c2hvcnQ=")
    assert run(["config", "show"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("XUNJI_VAULT_KEYS is a secret that cannot be used; allowed is 32 bytes in base64")
    assert "c2hvcnQ=" not in said
