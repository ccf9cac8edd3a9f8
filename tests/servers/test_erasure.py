"""A person is erased where graph and records lie on servers: the same receipt, and nothing comes back."""

from __future__ import annotations

from pathlib import Path

from cdp.moments import now_ms
from tests.cdp.planted import HER, her_events, in_answers, in_files, told_of_others
from tests.cdp.test_erasure import a_stage
from tests.real.servers import Neo4j
from tests.servers.databases import Databases


def test_a_person_is_erased_from_postgresql(tmp_path: Path, databases: Databases) -> None:
    url = databases.empty()
    assert_erased(tmp_path, {"postgresql": {"graph", "records"}}, records_url=url, graph_url=url)


def test_a_person_is_erased_from_neo4j(tmp_path: Path, empty_neo4j: Neo4j) -> None:
    assert_erased(tmp_path, {"neo4j": {"graph"}}, graph_url=empty_neo4j.url)


def assert_erased(folder: Path, on_servers: dict[str, set[str]], **urls: str) -> None:
    with a_stage(folder / "with", **urls) as stage:
        stage.play(with_her=True)
        receipt = stage.erase()
        stage.take(*her_events(), *her_events(name="late"), received_at=now_ms())
        stage.system.replays.request(0)
        stage.system.replaying.drain()
        stage.system.eraser.drain()
        assert in_answers(stage.client, stage.hits, [value for name, value in HER.items() if name != "VIN"]) == []
        assert stage.client.get("/accounting")["balanced"]
        after = told_of_others(stage.client)
    assert in_files(folder / "with", HER.values()) == []
    left = [each for each in receipt["stores"] if not each["overwritten"]]
    assert {each["kind"]: {one["store"] for one in left if one["kind"] == each["kind"]} for each in left} == on_servers
    # Without servers, and without her.
    with a_stage(folder / "without") as stage:
        stage.play(with_her=False)
        assert after == told_of_others(stage.client)
