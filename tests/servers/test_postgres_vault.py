"""The vault's key changes in PostgreSQL as in SQLite."""

from __future__ import annotations

from cdp.records import open_engine
from cdp.vault import vault_cipher
from cdp.vault_rotation import Rotation, rotate
from tests.cdp.test_vault_rotation import NEW, OLD, PHONES, SECRET, fill, readable
from tests.servers.databases import Databases


def test_the_vault_is_sealed_anew(databases: Databases) -> None:
    records = open_engine(databases.new("records"))
    tokens = fill(records, OLD)
    assert rotate(records, vault_cipher(SECRET, [NEW, OLD])) == Rotation(looked=7, old=7)
    assert readable(records, tokens, NEW) == PHONES
    records.dispose()
