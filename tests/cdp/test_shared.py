"""What one process learns of an erasure that another does on the same records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cdp.erasure import FIRST, refuse_half_done
from cdp.erasure_jobs import ErasureBook, Plan
from cdp.errors import ErasureUnfinished
from cdp.migrations import migrate
from cdp.model import Identifier, PersonId, SetId
from cdp.records import open_engine, writing
from cdp.tombstones import Tombstone, Tombstones
from cdp.vault import Vault
from identity.erase import Erased
from identity.person import Person

SECRET = bytes(32)
PHONE, MEMBER = Identifier("phone", "token"), Identifier("member_id", "m-1")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'records.db'}")
    migrate(engine, "records")
    yield engine
    engine.dispose()


def tombstones(records: Engine) -> Tombstones:
    return Tombstones(records, Vault(records, SECRET))


def bury(records: Engine, stones: Tombstones, identifier: Identifier, stone: Tombstone) -> None:
    with writing(records) as connection:
        stones.write(connection, {identifier: [stone]})


def test_tombstones_of_another_process_are_seen_once_they_are_looked_for(records: Engine) -> None:
    mine, others = tombstones(records), tombstones(records)
    first, second = Tombstone(0, 100, 50), Tombstone(0, 100, 60)
    bury(records, others, PHONE, first)
    assert not mine
    mine.refresh()
    assert mine.of([PHONE], SetId(0)) == (first,)

    version = mine.version
    mine.refresh()
    assert mine.version == version, "nothing is new"

    bury(records, others, MEMBER, second)
    mine.refresh()
    assert mine.version > version
    assert mine.of([PHONE, MEMBER], SetId(0)) == (first, second)


def test_a_tombstone_that_is_written_again_by_a_clock_that_went_back_takes_the_place_of_the_first(
    records: Engine,
) -> None:
    mine, others = tombstones(records), tombstones(records)
    for stone in (Tombstone(0, 100, 50), Tombstone(0, 200, 40)):
        bury(records, others, PHONE, stone)
        mine.refresh()
        assert mine.of([PHONE], SetId(0)) == (stone,)


@pytest.mark.parametrize("steps", range(len(FIRST) + 2))
def test_nothing_is_taken_in_while_an_erasure_is_half_done(records: Engine, steps: int) -> None:
    book = ErasureBook(records, SECRET, clock=lambda: 0)
    refuse_half_done(book)
    job = book.request(PersonId("p"), reason="asked for", by="officer")
    refuse_half_done(book)
    plan = Plan(erased_at=0, erased=Erased(Person(PersonId("p"), [], {}, {}), [], [], []))
    with writing(records) as connection:
        book.save(connection, job._replace(steps=steps), plan)
    if 0 < steps < len(FIRST):
        with pytest.raises(ErasureUnfinished):
            refuse_half_done(book)
    else:
        refuse_half_done(book)
