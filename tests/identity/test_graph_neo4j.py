"""The address of a graph in Neo4j. What needs a server is in `tests/servers`."""

from __future__ import annotations

import pytest

from cdp.errors import ConfigurationError, StoreUnavailable
from identity.graph_neo4j import Neo4jGraph
from identity.graph_neo4j_address import Address, address_of, check_version

SECRET = "p@ss/w:rd"


def test_an_address_has_a_user_a_password_and_a_database() -> None:
    assert address_of("neo4j://xunji:p%40ss%2Fw%3Ard@db.example:7687/graph") == Address(
        "neo4j://db.example:7687", ("xunji", SECRET), "graph"
    )


def test_an_address_that_is_printed_keeps_the_password() -> None:
    assert "hush" not in repr(address_of("neo4j://xunji:hush@db.example"))


def test_all_but_the_host_may_be_left_out() -> None:
    assert address_of("bolt://127.0.0.1") == Address("bolt://127.0.0.1", None, None)
    assert address_of("neo4j+s://xunji@[::1]:7688/") == Address("neo4j+s://[::1]:7688", ("xunji", ""), None)


@pytest.mark.parametrize(
    "url", ["http://u:hush@h:7687", "neo4j://", "neo4j://u:hush@h:port", "neo4j://u:hush@h/a/b", "bolt://u:hush@h#x"]
)
def test_another_form_is_refused_with_a_sentence_that_keeps_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^XUNJI_GRAPH_URL is .+ allowed is neo4j://.+\.$") as caught:
        address_of(url)
    assert "hush" not in str(caught.value)


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="graph store") as caught:
        Neo4jGraph("bolt://xunji:hush@127.0.0.1:1/neo4j")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("version", ["5.7.0", "5.26.30", "2025.04.0"])
def test_a_server_that_can_have_unique_edges_will_do(version: str) -> None:
    check_version(f"Neo4j/{version}")


@pytest.mark.parametrize("version", ["4.4.41", "5.6.0", "v5.11.0 compatible graph database server"])
def test_an_older_server_or_another_product_is_refused_with_a_sentence(version: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is the address of Neo4j/.+; allowed is that of Neo4j 5\.7 or later"):
        check_version(f"Neo4j/{version}")
