"""The vault as several processes use it at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cdp.migrations import migrate
from cdp.model import Identifier
from cdp.records import open_engine, writing
from cdp.vault import Vault

SECRET = bytes(32)
PHONE = Identifier("phone", "+8613912345678")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'records.db'}")
    migrate(engine, "records")
    yield engine
    engine.dispose()


def keep(vault: Vault, records: Engine, value: Identifier) -> str:
    token = vault.token(value.kind, value.value)
    with writing(records) as connection:
        vault.remember(connection, {token: value}, at=0)
    vault.committed([token])
    return token


@pytest.mark.parametrize("remembered", [0, 1])
def test_a_value_that_another_process_destroyed_is_kept_anew_when_it_comes_back(
    records: Engine, remembered: int
) -> None:
    mine, others = Vault(records, SECRET, remembered=remembered), Vault(records, SECRET)
    token = keep(mine, records, PHONE)
    with writing(records) as connection:
        others.destroy(connection, [token])
    keep(mine, records, PHONE)
    assert (mine.reveal([token]) == {token: PHONE.value}) is (remembered == 0), "one that remembers it looks no more"


def test_a_value_destroyed_here_is_kept_anew_also_where_it_was_remembered(records: Engine) -> None:
    vault = Vault(records, SECRET)
    token = keep(vault, records, PHONE)
    with writing(records) as connection:
        assert vault.destroy(connection, [token]) == 1
    assert vault.reveal([token]) == {}
    keep(vault, records, PHONE)
    assert vault.reveal([token]) == {token: PHONE.value}
