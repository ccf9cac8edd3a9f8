"""The product on Neo4j: the demo's card is the same, and what its page says is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j import GraphDatabase

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from cdp.stores import check
from identity.graph_neo4j_schema import EDGES, NODES
from tests.real.product import Product, until
from tests.real.servers import Neo4j
from tests.servers.conftest import empty

PAGE = (Path(__file__).parents[2] / "docs" / "graph-in-neo4j.md").read_text(encoding="utf-8")
PLAYED = re.compile(r"cdp lead show (ld_\w+)")


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory, neo4j: Neo4j) -> Iterator[list[Product]]:
    """Two that played the demo: the first with its graph in SQLite, the second in Neo4j."""
    empty(neo4j)
    url = neo4j.url.replace("bolt://", "neo4j://") + "/neo4j"
    products = [
        Product(tmp_path_factory.mktemp("sqlite")),
        Product(tmp_path_factory.mktemp("neo4j"), XUNJI_GRAPH_URL=url),
    ]
    for product in products:
        product.start("--demo")
        until(lambda shown=product: bool(PLAYED.search(shown.output())), 60, product.output)
    yield products
    for product in products:
        product.__exit__()


def card(product: Product) -> str:
    """What the demo shows, but for times and the lead's id."""
    text = (product.folder / "output.log").read_text(encoding="utf-8")
    shown = text[text.index("╭─") : text.index("✓ complete")]
    return re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?|ld_\w+", "…", shown)


def test_the_demo_shows_the_same_card_as_on_sqlite(products: list[Product]) -> None:
    in_sqlite, in_neo4j = map(card, products)
    assert "李女士" in in_neo4j
    assert in_neo4j == in_sqlite


def test_the_product_is_ready_and_its_account_adds_up(products: list[Product]) -> None:
    assert products[1].ready()
    account = products[1].settled()
    assert account["balanced"]
    assert sum(row["events"]["stored"] for row in account["rows"]) == 39
    assert not list((products[1].folder / "data").glob("graph.db*"))


@pytest.mark.parametrize(
    "url", ["neo4j://xunji:hush@:7687", "neo4jj://xunji:hush@db/neo4j", "bolt://xunji:hush@db/a/b"]
)
def test_a_url_of_another_form_stops_the_start_with_a_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^XUNJI_GRAPH_URL is .* allowed is neo4j://") as caught:
        check(Settings(data_dir=tmp_path, graph_url=url))
    assert "hush" not in str(caught.value)


def test_the_query_of_the_page_prints_what_the_page_prints(products: list[Product], neo4j: Neo4j) -> None:
    query = PAGE.partition("```cypher\n")[2].partition("```")[0]
    printed = PAGE.partition("| number | kind | seen_with |\n| --- | --- | --- |\n")[2].partition("\n\n")[0]
    with GraphDatabase.driver(neo4j.url) as driver, driver.session() as session:
        found = session.run(query).values()  # type: ignore[arg-type]
    rows = [f"| {number} | {kind} | {', '.join(seen)} |" for number, kind, seen in found]
    assert rows == printed.splitlines()


def test_the_page_names_every_kind_with_its_properties() -> None:
    nodes = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE, re.MULTILINE))
    edges = re.findall(r"^\| `\((\w+)\)-\[(\w+)\]->\((\w+)\)` \| (.*?) ?\|", PAGE, re.MULTILINE)
    assert {label: _names(cell) for label, cell in nodes.items()} == {each.label: each.properties for each in NODES}
    assert [(start, label, end, _names(cell)) for start, label, end, cell in edges] == [
        (each.start.label, each.label, each.end.label, each.properties) for each in EDGES
    ]


def _names(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`(\w+)`", cell))
