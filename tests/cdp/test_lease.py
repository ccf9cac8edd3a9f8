"""One holder at a time, by the clock of the store; who has lost a lease writes nothing more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from cdp.errors import LeaseLost
from cdp.lease import Holder, Lease, fence, held, lease_rows, wait_for
from cdp.records import metadata, open_engine, reading, writing

WAIT_S = 30
"""For what should come at once; only a failure takes so long."""


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/records.db")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def run_out(records: Engine) -> None:
    """Let the store's clock pass the end of every lease."""
    with writing(records) as db:
        db.execute(update(lease_rows).values(expires_at=1))


def test_nobody_has_a_lease_that_was_never_taken(records: Engine) -> None:
    lease = Lease(records, "identity")
    assert lease.current() is None
    assert not lease.renew()
    assert not lease.sure


def test_of_two_who_want_a_lease_one_has_it_and_both_know_who(records: Engine) -> None:
    one, other = Lease(records, "identity"), Lease(records, "identity")
    assert one.take("http://one") == 1
    assert other.take("http://other") is None
    assert one.current() == other.current() == Holder("http://one", 1)
    assert (one.sure, other.sure) == (True, False)


def test_leases_of_other_names_are_others(records: Engine) -> None:
    assert Lease(records, "identity").take("http://one") == 1
    assert Lease(records, "scheduler").take("http://other") == 1


def test_a_lease_that_ran_out_is_taken_with_a_higher_token_and_its_old_holder_learns_of_it(records: Engine) -> None:
    one, other = Lease(records, "identity"), Lease(records, "identity")
    one.take("http://one")
    run_out(records)
    assert one.current() is None
    assert other.take("http://other") == 2
    assert not one.renew()
    assert not one.sure
    one.release()
    assert one.current() == Holder("http://other", 2), "what another holds is not let go"


def test_a_holder_that_comes_late_but_before_others_keeps_its_lease(records: Engine) -> None:
    one = Lease(records, "identity")
    one.take("http://one")
    run_out(records)
    assert one.renew()
    assert one.current() == Holder("http://one", 1)


def test_a_lease_that_was_let_go_can_be_taken_at_once(records: Engine) -> None:
    one, other = Lease(records, "identity"), Lease(records, "identity")
    one.take("http://one")
    one.release()
    assert not one.sure
    assert other.take("http://other") == 2


def test_of_many_who_come_together_one_takes_it(records: Engine) -> None:
    tokens: list[int | None] = []
    together = threading.Barrier(8)

    def take() -> None:
        together.wait(WAIT_S)
        tokens.append(Lease(records, "identity").take("http://somewhere"))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(WAIT_S)
    assert sorted(tokens, key=str) == [1] + [None] * 7


def test_a_clock_that_is_an_hour_off_changes_nothing(records: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Lease(records, "identity"), Lease(records, "identity")
    one.take("http://one")
    for wrong_s in (-3_600, 3_600):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda wrong_s=wrong_s, right=time.time: right() + wrong_s)
            patch.setattr(time, "time_ns", lambda wrong_s=wrong_s, right=time.time_ns: right() + wrong_s * 10**9)
            assert other.take("http://other") is None
            assert one.renew()
            assert one.sure


def test_a_held_lease_lasts_beyond_its_time_and_is_let_go_at_the_end(records: Engine) -> None:
    lease = Lease(records, "identity", ttl_s=0.6)
    lease.take("http://one")
    lost = threading.Event()
    with held(lease, lost.set):
        assert not lost.wait(1.5)
        assert lease.current() == Holder("http://one", 1)
    assert lease.current() is None


def test_a_holder_is_told_when_another_has_taken_the_lease(records: Engine) -> None:
    one, other = Lease(records, "identity", ttl_s=0.6), Lease(records, "identity")
    one.take("http://one")
    lost = threading.Event()
    run_out(records)
    other.take("http://other")
    with held(one, lost.set):
        assert lost.wait(WAIT_S)
    assert other.current() == Holder("http://other", 2)


def test_a_holder_whose_store_does_not_answer_gives_up_before_others_may_take_the_lease(
    records: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(records, "identity", ttl_s=3.0)
    lease.take("http://one")
    lost, answers = threading.Event(), threading.Event()
    monkeypatch.setattr(lease, "renew", lambda: answers.wait(WAIT_S))
    with held(lease, lost.set):
        assert lost.wait(WAIT_S)
        assert lease.current() == Holder("http://one", 1), "for others it is not over yet"
        answers.set()


def test_a_standby_takes_the_lease_when_it_becomes_free(records: Engine) -> None:
    one, other = Lease(records, "identity"), Lease(records, "identity")
    one.take("http://one")
    taken: list[int | None] = []
    waiting = threading.Thread(target=lambda: taken.append(wait_for(other, "http://other", threading.Event())))
    waiting.start()
    one.release()
    waiting.join(WAIT_S)
    assert taken == [2]


def test_a_standby_that_is_told_to_stop_takes_nothing(records: Engine) -> None:
    Lease(records, "identity").take("http://one")
    stop = threading.Event()
    stop.set()
    assert wait_for(Lease(records, "identity"), "http://other", stop) is None


def test_who_lost_its_lease_writes_nothing_and_may_read(records: Engine, tmp_path: Path) -> None:
    fenced = open_engine(f"sqlite:///{tmp_path}/records.db")
    one, other = Lease(fenced, "scheduler"), Lease(records, "scheduler")
    token = one.take("http://one")
    assert token == 1
    fence(fenced, "scheduler", token)
    with writing(fenced) as db:
        db.execute(update(lease_rows).values(address="http://moved"))
    run_out(records)
    other.take("http://other")
    with pytest.raises(LeaseLost, match="scheduler"), writing(fenced):
        pytest.fail("nothing is written")
    with reading(fenced):
        assert one.current() == Holder("http://other", 2)
    with writing(records) as db:
        db.execute(update(lease_rows).values(address="http://elsewhere"))
    fenced.dispose()
