"""Calls to the identity engine over a real socket: who may, what becomes of faults, what a change of leaders does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from api import identity_calls
from api.identity_calls import CallDesk, router_of
from cdp.errors import ConfigurationError, GraphConflict, LeaseLost, StoreUnavailable
from cdp.records import open_engine
from cdp.role_server import RoleState, role_server
from cdp.settings import Settings
from identity.calls import PATH, Retract, key_of
from identity.changes import ChangeKind, Changes
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph, metadata
from identity.leader import Leader
from identity.remote import RemoteIdentity
from tests.identity.makers import SMALL, identifier, make_observation

WAIT_S = 30
SECRET = bytes(32)
VISIT = make_observation("device:d", "openid:x/o")


class Process:
    """One with the role identity, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.lost = threading.Event()
        self.desk = CallDesk(self.lost.set)
        self.stack = ExitStack()
        server = role_server(Settings(data_dir=folder), RoleState(), [router_of(self.desk, key_of(SECRET))])
        self.address: str | None = self.stack.enter_context(server)

    def leader(self, key: str = key_of(SECRET)) -> Leader:
        """As others reach it."""
        leader = Leader(lambda: self.address, key)
        self.stack.callback(leader.close)
        return leader


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    with process.stack:
        yield process


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[SqlGraph]:
    engine = open_engine(f"sqlite:///{tmp_path}/graph.db")
    metadata.create_all(engine)
    graph = SqlGraph(engine)
    yield graph
    graph.close()


@pytest.fixture
def engine(graph: SqlGraph) -> IdentityEngine:
    return IdentityEngine(graph, SMALL, now=lambda: 0)


def counted(verb: str, status: int) -> float:
    return REGISTRY.get_sample_value("xunji_identity_calls_total", {"verb": verb, "status": str(status)}) or 0.0


def test_evidence_goes_over_the_wire_and_comes_back_as_changes(
    process: Process, graph: SqlGraph, engine: IdentityEngine
) -> None:
    before = counted("absorb", 200)
    with process.desk.open(engine):
        remote = RemoteIdentity(graph, SMALL, process.leader())
        changes = remote.observe([VISIT])
        undone = remote.retract({VISIT.id: "mistaken"})
        blocked = remote.block({identifier("device:d"): "a steward said so"})
    assert [each.seq for each in (changes, undone, blocked)] == [1, 2, 3]
    assert [(each.kind, each.cause) for each in changes.changes] == [(ChangeKind.CREATED, VISIT.id)]
    assert counted("absorb", 200) == before + 1


def test_calls_share_a_connection_and_a_new_one_is_opened_for_one_that_was_closed(
    process: Process, graph: SqlGraph, engine: IdentityEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    connect = identity_calls.hmac.compare_digest
    leader = process.leader()
    monkeypatch.setattr("api.identity_calls.hmac.compare_digest", lambda *both: opened.append(1) or connect(*both))
    with process.desk.open(engine):
        for _ in range(3):
            leader.call(Retract({}))
        [connection] = leader._idle
        assert connection.sock is not None
        connection.sock.shutdown(2)
        assert leader.call(Retract({})) == Changes(0)
    assert len(opened) == 4


def test_nobody_without_the_deployments_secret_is_answered(process: Process, engine: IdentityEngine) -> None:
    with process.desk.open(engine):
        with pytest.raises(ConfigurationError, match="XUNJI_SECRET"):
            process.leader(key_of(bytes(31) + b"x")).call(Retract({}))
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer ä".encode()}):
            assert httpx.post(f"{process.address}{PATH}absorb", headers=headers, trust_env=False).status_code == 401


def test_what_is_no_call_is_refused(process: Process, engine: IdentityEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_calls, "MAX_CALL", 1_000)
    headers = {"Authorization": f"Bearer {key_of(SECRET)}"}
    with process.desk.open(engine):
        for verb, body, status in (("absorb", b"\x01", 400), ("absorb", bytes(1_001), 413), ("marry", b"", 404)):
            answer = httpx.post(f"{process.address}{PATH}{verb}", content=body, headers=headers, trust_env=False)
            assert answer.status_code == status


def test_a_process_that_stands_by_answers_that_it_does_and_whether_it_lives(process: Process) -> None:
    with pytest.raises(StoreUnavailable, match="does not lead"):
        process.leader().call(Retract({}))
    assert httpx.get(f"{process.address}/healthz", trust_env=False).status_code == 200
    assert httpx.get(f"{process.address}/readyz", trust_env=False).status_code == 503


@pytest.mark.parametrize(
    ("raised", "met"),
    [
        (StoreUnavailable("graph", "it is away"), StoreUnavailable),
        (GraphConflict(7), StoreUnavailable),
        (ValueError("that cannot be"), RuntimeError),
    ],
)
def test_faults_come_back_as_what_the_caller_can_do_about_them(
    process: Process, engine: IdentityEngine, monkeypatch: pytest.MonkeyPatch, raised: Exception, met: type[Exception]
) -> None:
    def fail(_: object) -> Changes:
        raise raised

    monkeypatch.setattr(engine, "retract", fail)
    with process.desk.open(engine), pytest.raises(met, match=str(raised).rstrip(".")[:30]):
        process.leader().call(Retract({}))
    assert not process.lost.is_set()


def test_a_leader_that_lost_its_lease_does_nothing_and_learns_of_it(
    process: Process, graph: SqlGraph, engine: IdentityEngine
) -> None:
    graph.fence(1)
    SqlGraph(graph._engine).fence(2)
    with process.desk.open(engine), pytest.raises(StoreUnavailable, match="another process"):
        RemoteIdentity(graph, SMALL, process.leader()).observe([VISIT])
    assert process.lost.is_set()
    with pytest.raises(LeaseLost):
        engine.observe([VISIT])


def test_who_is_not_there_can_be_asked_again_where_the_next_one_is(
    process: Process, graph: SqlGraph, engine: IdentityEngine
) -> None:
    leads, process.address = process.address, None
    remote = RemoteIdentity(graph, SMALL, process.leader())
    with process.desk.open(engine):
        for gone in (None, "http://127.0.0.1:1"):
            process.address = gone
            with pytest.raises(StoreUnavailable, match="identity"):
                remote.observe([VISIT])
        process.address = leads
        assert remote.observe([VISIT]).seq == 1


def test_who_waits_for_a_leader_that_fell_silent_goes_when_another_leads(
    process: Process, engine: IdentityEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity.leader.LOOK_S", 0.05)
    asked, goes_on = threading.Event(), threading.Event()

    def hang(_: object) -> Changes:
        asked.set()
        goes_on.wait(WAIT_S)
        return Changes(1)

    monkeypatch.setattr(engine, "retract", hang)
    with ThreadPoolExecutor(1) as pool, process.desk.open(engine):
        call = pool.submit(process.leader().call, Retract({}))
        assert asked.wait(WAIT_S)
        with pytest.raises(TimeoutError):
            call.result(0.3)
        process.address = "http://127.0.0.1:2"
        with pytest.raises(StoreUnavailable, match="another process"):
            call.result(WAIT_S)
        goes_on.set()


def test_what_is_under_way_is_answered_before_the_desk_is_closed(
    process: Process, engine: IdentityEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def slow(_: object) -> Changes:
        asked.set()
        goes_on.wait(WAIT_S)
        return Changes(1)

    monkeypatch.setattr(engine, "retract", slow)
    with ThreadPoolExecutor(1) as pool:
        with process.desk.open(engine):
            call = pool.submit(process.leader().call, Retract({}))
            assert asked.wait(WAIT_S)
            threading.Timer(0.2, goes_on.set).start()
        assert goes_on.is_set()
        assert call.result(WAIT_S) == Changes(1)
