"""The real Neo4j that the graph's contract runs on."""

from __future__ import annotations

from neo4j import GraphDatabase

from tests.real.servers import Neo4j


def names(server: Neo4j) -> list[str]:
    with GraphDatabase.driver(server.url) as driver:
        found = driver.execute_query("MATCH (p:Probe) RETURN p.name AS name ORDER BY name")
        return [str(record["name"]) for record in found.records]


def write(server: Neo4j, name: str) -> None:
    with GraphDatabase.driver(server.url) as driver:
        driver.execute_query("CREATE (:Probe {name: $name})", name=name)


def test_what_was_answered_survives_a_kill(empty_neo4j: Neo4j) -> None:
    write(empty_neo4j, "before")
    empty_neo4j.kill()
    empty_neo4j.start()
    assert names(empty_neo4j) == ["before"]
    write(empty_neo4j, "after")
    assert names(empty_neo4j) == ["after", "before"]


def test_each_test_starts_empty(empty_neo4j: Neo4j) -> None:
    assert names(empty_neo4j) == []
