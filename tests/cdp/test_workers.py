"""Several workers on one log: whoever dies, stands still or overlaps with another, each event is stored once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

import msgspec
import pytest

from cdp import pipeline
from cdp.begun import Notes
from cdp.errors import Overtaken, StoreUnavailable
from cdp.log import Record
from cdp.log_sqlite import SqliteLogWriter
from cdp.model import SourceKind
from cdp.moments import now_ms
from cdp.pipeline import Tools
from cdp.processing import Processor
from cdp.progress import Progress
from cdp.settings import Settings
from cdp.stores import log_folder
from cdp.vault import Cipher
from cdp.wiring import System, open_system
from cdp.worker import Worker
from tests.cdp.intake import hit_of, make_event
from tests.cdp.test_pipeline import Crash, account

PARTITIONS = range(3)


class Given:
    """A consumer to whom partitions are given by hand; it may keep some that are another's by now."""

    def __init__(self, system: System) -> None:
        self._log = system.log
        self._next: dict[int, int] = {}
        self.mine: frozenset[int] = frozenset()

    def give(self, partitions: Sequence[int]) -> None:
        self.mine = frozenset(partitions)
        self._next = {each: at for each, at in self._next.items() if each in self.mine}

    def partitions(self) -> frozenset[int]:
        return self.mine

    def waiting(self) -> frozenset[int]:
        return self.mine - self._next.keys()

    def begin(self, partition: int, offset: int) -> None:
        self._next[partition] = offset

    def poll(self, *, records: int, size: int, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        found = {each: self._log.read(each, start, 4) for each, start in self._next.items()}
        self._next |= {each: some[-1].offset + 1 for each, some in found.items() if some}
        return {each: some for each, some in found.items() if some}

    def wake(self) -> None: ...
    def close(self) -> None: ...


class Plant:
    """One set of stores, a log of three partitions, and as many workers as one likes."""

    def __init__(self, system: System, patch: pytest.MonkeyPatch) -> None:
        self.system = system
        self.source = system.book.create(f"shop-{now_ms()}", SourceKind.SERVER)[0]
        system.sources.refresh()
        self._cipher = Cipher(system.settings.secret_bytes, "log")
        self._runner = asyncio.Runner()
        self._writers = [SqliteLogWriter(log_folder(system.settings), each) for each in PARTITIONS]
        self.interrupt: Callable[[str], None] = lambda _: None
        patch.setattr(pipeline, "STEPS", tuple(map(self._heard, pipeline.STEPS)))
        patch.setattr(pipeline, "commit", self._heard(pipeline.commit))

    def close(self) -> None:
        for each in self._writers:
            self._runner.run(each.close())
        self._runner.close()

    def worker(self) -> tuple[Worker, Given]:
        """A process of its own, which knows only what the stores know."""
        given = Given(self.system)
        tools = replace(self.system.worker._tools, notes=Notes())
        opened = Worker(tools, self.system.log, lambda: given, self.system.hits, progress=Progress(), clock=now_ms)
        return opened, given

    def append(self, partition: int, *events: dict[str, Any]) -> None:
        async def all_of() -> None:
            await asyncio.gather(*(self._writers[partition].append(self._sealed(each), now_ms()) for each in events))

        self._runner.run(all_of())

    def stored(self) -> Counter[str]:
        """How often each event lies in the store, by the id that its sender gave it."""
        return Counter(each["client_id"] for each in self.system.events.recent(limit=1_000, source=self.source.id))

    def end_all(self) -> None:
        """One worker that is left does the rest."""
        self.interrupt = lambda _: None
        worker, given = self.worker()
        given.give(PARTITIONS)
        for _ in range(50):
            if not worker._turn(given, 0):
                return
        raise AssertionError("it does not end")

    def _sealed(self, event: dict[str, Any]) -> bytes:
        hit = hit_of(self.source.id, event)
        return self._cipher.seal(msgspec.msgpack.encode(hit))

    def _heard(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def heard(tools: Tools, *rest: Any) -> Any:
            self.interrupt(step.__name__)
            return step(tools, *rest)

        heard.__name__ = step.__name__
        return heard


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    opened = open_system(Settings(data_dir=tmp_path_factory.mktemp("data")))
    yield opened
    opened.close()


@pytest.fixture
def plant(system: System, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    opened = Plant(system, monkeypatch)
    yield opened
    opened.close()


def once(plant: Plant, action: Callable[[], None], at: str) -> None:
    """Before the next such step, and no other time, do that."""

    def interrupt(step: str) -> None:
        if step == at:
            plant.interrupt = lambda _: None
            action()

    plant.interrupt = interrupt


def crash() -> None:
    raise Crash


def run(worker: Worker, given: Given, partitions: Sequence[int] = PARTITIONS, turns: int = 2) -> None:
    """First it takes the partitions over, then it does a batch."""
    given.give(partitions)
    for _ in range(turns):
        worker._turn(given, 0)


STEPS = ("drop_erased", "skip_duplicate", "tokenise", "resolve_identity", "store_events", "capture_lead", "commit")


@pytest.mark.parametrize("at", STEPS)
def test_whoever_takes_over_ends_what_the_dead_had_begun(plant: Plant, at: str) -> None:
    event = make_event()
    plant.append(0, event, make_event())
    plant.append(1, event)
    once(plant, crash, at)
    with pytest.raises(Crash):
        run(*plant.worker())
    # Each partition goes to another worker, the one with the copy first.
    run(*plant.worker(), [1])
    run(*plant.worker(), [0])
    assert set(plant.stored().values()) == {1}
    assert account(plant.system, plant.source) == {"found": 3, "stored": 2, "duplicate": 1, "translated": 3}


def test_whoever_takes_over_repeats_no_event_though_the_event_store_lost_its_tokens(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, lives = plant.system.events, count()
    insert = events._insert

    def under_another_token(table: str, columns: str, lines: bytes, token: str) -> None:
        insert(table, columns, lines, f"{token} of life {next(lives)}")

    monkeypatch.setattr(events, "_insert", under_another_token)
    plant.append(0, make_event(), make_event())
    plant.append(1, make_event())
    once(plant, crash, "capture_lead")
    with pytest.raises(Crash):
        run(*plant.worker())
    run(*plant.worker())
    assert sorted(plant.stored().values()) == [1, 1, 1]


@pytest.mark.parametrize("at", STEPS)
def test_a_worker_that_stood_still_commits_nothing_of_what_others_did(plant: Plant, at: str) -> None:
    plant.append(2, *(make_event() for _ in range(3)))
    zombie, its = plant.worker()

    def overtake() -> None:
        plant.append(2, make_event())
        run(*plant.worker(), [2], turns=3)

    once(plant, overtake, at)
    run(zombie, its, [2])
    assert set(plant.stored().values()) == {1}
    assert account(plant.system, plant.source) == {"found": 4, "stored": 4, "translated": 4}
    plant.append(2, make_event())
    run(zombie, its, [2], turns=3)
    assert account(plant.system, plant.source)["stored"] == 5


def test_of_two_workers_with_one_event_at_the_same_moment_one_stores_it(plant: Plant) -> None:
    event = make_event()
    plant.append(0, event)
    plant.append(1, event)
    once(plant, lambda: run(*plant.worker(), [1]), "store_events")
    run(*plant.worker(), [0])
    assert plant.stored() == {event["messageId"]: 1}
    assert account(plant.system, plant.source) == {"found": 2, "stored": 1, "duplicate": 1, "translated": 2}


def test_a_batch_that_another_worker_does_now_is_refused(plant: Plant) -> None:
    plant.append(0, make_event())
    system = plant.system
    tools = replace(system.worker._tools, notes=Notes())
    late = Processor(tools, system.log, system.hits, clock=now_ms, stopping=system.worker._stopping)
    end = system.log.ends()[0]
    run(*plant.worker(), [0])
    with pytest.raises(Overtaken):
        late.process([(0, end - 1, end)], late.opened(0, system.log.read(0, end - 1, 1)))
    assert account(system, plant.source) == {"found": 1, "stored": 1, "translated": 1}


def test_records_that_the_consumer_passed_over_are_read_again(plant: Plant) -> None:
    plant.append(0, *(make_event() for _ in range(3)))
    worker, given = plant.worker()
    run(worker, given, [0], turns=1)
    given._next[0] += 2
    worker._turn(given, 0)
    assert not plant.stored()
    run(worker, given, [0], turns=2)
    assert set(plant.stored().values()) == {1}
    assert account(plant.system, plant.source) == {"found": 3, "stored": 3, "translated": 3}


def test_what_was_begun_is_not_ended_without_its_records(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant.append(0, make_event())
    once(plant, crash, "store_events")
    with pytest.raises(Crash):
        run(*plant.worker(), [0])
    with monkeypatch.context() as patch:
        # A reader that does not know the partition yet.
        patch.setattr(plant.system.log, "read", lambda *_: [])
        with pytest.raises(StoreUnavailable):
            run(*plant.worker(), [0])
    run(*plant.worker(), [0])
    assert set(plant.stored().values()) == {1}


@pytest.mark.parametrize("seed", range(25))
def test_workers_that_die_and_overlap_at_random_store_each_event_once(plant: Plant, seed: int) -> None:
    chance = Random(seed)
    events = [make_event() for _ in range(20)]
    sent = 0
    workers = [plant.worker() for _ in range(3)]

    def send() -> None:
        nonlocal sent
        for event in chance.choices(events, k=5):
            for partition in chance.sample(PARTITIONS, chance.choice((1, 1, 2, 3))):
                plant.append(partition, event)
                sent += 1

    def act(depth: int = 0) -> None:
        which = chance.randrange(3)
        if chance.random() < 0.6 and depth < 3:
            once(plant, crash if chance.random() < 0.4 else lambda: act(depth + 1), chance.choice(STEPS))
        try:
            run(*workers[which], chance.sample(PARTITIONS, chance.randint(1, 3)), turns=chance.randint(1, 3))
        except Crash:
            workers[which] = plant.worker()
            if depth:
                raise

    for _ in range(8):
        send()
        act()
    plant.end_all()
    stored = plant.stored()
    assert set(stored.values()) == {1}
    counts = account(plant.system, plant.source)
    assert (counts["found"], counts["stored"]) == (sent, len(stored))
    assert counts["stored"] + counts.get("duplicate", 0) == sent
