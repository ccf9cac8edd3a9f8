"""The steward's path against real processes: as the documentation prints it, through sockets, and after a restart."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.real.product import ADMIN_KEY, Product
from tests.steward_path import walk

PHONE = {"kind": "phone", "value": "+8613700010002"}
HIS, HERS = "anonymous_id:laptop-of-mr-wang", "anonymous_id:tablet-of-ms-li"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as running:
        yield running


def look_up(product: Product) -> dict[str, Any]:
    answer = product.api.post("/api/v1/persons/lookup", json=PHONE)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def cdp(product: Product, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "cdp", *words]
    done = subprocess.run(command, env=product.env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def test_the_path_of_the_page_runs_and_holds_after_a_restart(product: Product) -> None:
    def collect(key: str, body: str) -> None:
        headers = {"Content-Type": "application/json"}
        answer = product.collector.post("/v1/track", content=body, headers=headers, auth=(key, ""))
        assert answer.status_code == 200, answer.text
        product.settled()

    done = walk(product.api, ADMIN_KEY, collect)
    lookups = [each.answer.text for each in done if '"phone", "value": "13700010002"}\'' in each.step.line]
    assert len(lookups) == 2
    assert lookups[0] == lookups[1]
    whole = look_up(product)
    product.kill_tree()
    product.start()
    assert look_up(product) == whole
    assert product.accounting()["balanced"]
    assert PHONE["value"] not in (product.folder / "output.log").read_text()


def test_the_commands_ask_the_running_server(product: Product) -> None:
    code, out = cdp(product, "person", "why", HIS, HERS, "--json")
    assert (code, json.loads(out)["same"]) == (0, True)
    code, out = cdp(product, "person", "why", HIS, HERS)
    assert code == 0
    assert "One person." in out
    assert out.count("dealer-form") == 2
    code, out = cdp(product, "identity", "rebuild", "--check", "--json")
    assert (code, json.loads(out)["equal"]) == (0, True)


def test_another_policy_is_tried_and_then_put_in_force_at_the_start(product: Product) -> None:
    file = product.folder / "policy.toml"
    _, text = cdp(product, "identity", "policy")
    file.write_text(text.replace("[kinds.phone]\n", "[kinds.phone]\nevidence_only = true\n"))
    code, out = cdp(product, "identity", "what-if", str(file), "--json")
    found = json.loads(out)
    assert (code, found["split"], found["persons_then"] - found["persons_now"]) == (0, 1, 1)
    assert product.stop() == 0
    product.env["XUNJI_POLICY"] = str(file)
    product.start()
    _, out = cdp(product, "person", "why", HIS, HERS, "--json")
    assert json.loads(out)["same"] is False
    assert cdp(product, "identity", "rebuild", "--check")[0] == 0
    assert product.stop() == 0
    del product.env["XUNJI_POLICY"]
    product.start()
    _, out = cdp(product, "person", "why", HIS, HERS, "--json")
    assert json.loads(out)["same"] is True
    assert "policy_put_in_force" in (product.folder / "output.log").read_text()
