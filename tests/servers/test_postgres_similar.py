"""Keys of leads in PostgreSQL."""

from __future__ import annotations

from cdp.records import open_engine, reading, writing
from leads import similar_keys
from leads.lead import LeadId
from leads.similar_keys import CAP, Pair
from tests.servers.databases import Databases

ONE, OTHER = LeadId("ld_1"), LeadId("ld_2")


def test_leads_find_each_other_by_keys_until_these_are_forgotten(databases: Databases) -> None:
    records = open_engine(databases.new("records"))
    pair = Pair(ONE, OTHER, "model", 0.9, "rv_1", None)
    for _ in range(2):
        with writing(records) as connection:
            similar_keys.write(connection, ONE, ["k1", "k2"], [], at=1)
            similar_keys.write(connection, OTHER, ["k2"], [pair], at=2)

    assert similar_keys.sharing(records, ["k1", "k2", "k3"]) == {ONE, OTHER}
    assert similar_keys.pairs_of(records, OTHER) == [pair]
    with writing(records) as connection:
        similar_keys.forget(connection, [ONE], at=3)
    with reading(records) as connection:
        assert similar_keys.has_keys(connection, ONE)
        assert similar_keys.missing(connection) == similar_keys.asked(connection, [ONE, OTHER]) == []
    assert similar_keys.sharing(records, ["k1", "k2"]) == {OTHER}
    assert similar_keys.pairs_of(records, OTHER) == []
    with writing(records) as connection:
        for number in range(CAP):
            similar_keys.write(connection, LeadId(f"ld_more_{number}"), ["k2"], [], at=4)
    assert similar_keys.sharing(records, ["k2"]) == set()
    records.dispose()
