"""`cdp segment` on the real product: the walk of docs/segments.md as it is written, and changes as they come."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.product import Product, until

PAGE = Path(__file__).parents[2] / "docs" / "segments.md"
WALK = re.compile(r"^## The remarketing case\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(text)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """`cdp serve --demo`, and the demo is played."""
    product = Product(tmp_path_factory.mktemp("demo"))
    product.start("--demo")
    until(lambda: "cdp lead show ld_" in product.output(), 60, product.output)
    yield product
    product.kill()
    product.close()


def blocks() -> list[tuple[str, list[str]]]:
    """The commands, each block with the lines that the page says it prints, in order."""
    found = WALK.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    told: list[tuple[str, list[str]]] = []
    for printed, text in BLOCK.findall(found[1]):
        if printed:
            told[-1][1].extend(line for line in text.splitlines() if line.strip())
        else:
            told.append((text, []))
    return told


def test_changes_are_followed_as_they_come(product: Product, tmp_path: Path) -> None:
    key = product.create_source("followed", "server")

    def send(visitor: str, event: str) -> None:
        body = {"anonymousId": visitor, "event": event, "messageId": f"{visitor} {event}"}
        assert product.collector.post("/v1/track", json=body, auth=(key, "")).status_code == 200

    definition = {"v": 1, "entity": "person", "where": {"did": "seat_viewed", "op": "=", "value": 1}}
    made = product.api.post("/api/v1/segments", json={"name": "followed", "definition": definition})
    assert made.status_code == 201, made.text
    send("v1", "seat_viewed")
    changes = f"/api/v1/segments/{made.json()['id']}/changes"
    until(lambda: len(product.api.get(changes).json()["changes"]) == 1, 30)
    words = [sys.executable, "-m", "cdp", "segment", "changes", "followed", "--follow", "--json"]
    with subprocess.Popen(words, env=product.env, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        heard = [json.loads(following.stdout.readline())]
        send("v2", "seat_viewed")
        heard.append(json.loads(following.stdout.readline()))
        assert heard == product.api.get(changes).json()["changes"][::-1]
        # Of whoever is erased it is told that they are gone, and nothing that was told before.
        erased = product.api.post(f"/api/v1/persons/{heard[0]['person']}/erase", json={"reason": "asked for"})
        assert erased.status_code == 202, erased.text
        job = f"/api/v1/persons/erasures/{erased.json()['id']}"
        until(lambda: product.api.get(job).json()["state"] == "done", 30)
        until(lambda: "erased-" in product.api.get(changes).text, 30)
        send("v3", "seat_viewed")
        told = [json.loads(following.stdout.readline())]
        while told[-1]["change"] != "entered":
            told.append(json.loads(following.stdout.readline()))
        assert [(each["change"], each["reason"]) for each in told] == [("exited", "erasure"), ("entered", "event")]
        following.terminate()


def test_the_walk_of_the_page_goes_as_it_is_written(product: Product, tmp_path: Path) -> None:
    bin_ = str(Path(sys.executable).parent)
    env = product.env | {"PATH": f"{bin_}:{os.environ['PATH']}", "COLUMNS": "160"}
    for commands, expected in blocks():
        # The listener has the port that is free here.
        script = commands.replace("127.0.0.1:8001", f"127.0.0.1:{product.collector_port}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        position = 0
        for line in expected:
            there = re.compile(re.escape(line.strip()).replace("…", ".*").replace(r"\ ", r"\s+")).search(
                done.stdout, position
            )
            assert there, (line, done.stdout)
            position = there.end()
    assert (tmp_path / "members.xlsx").stat().st_size > 0
