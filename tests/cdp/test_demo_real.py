"""The demo on the real product: real processes, real sockets, and the commands that look at it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.files import contents
from tests.real.product import Product, until

PLAYED = re.compile(r"cdp lead show (ld_\w+)")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """`cdp serve --demo`, and the card is there."""
    product = Product(tmp_path_factory.mktemp("demo"))
    product.start("--demo")
    until(lambda: bool(PLAYED.search(product.output())), 30, product.output)
    yield product
    product.kill()
    product.api.close()
    product.collector.close()


def cdp(product: Product, words: str) -> tuple[int, str, str]:
    """Run a command as a user of that machine does; exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "cdp", *words.split()], env=product.env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def asked(product: Product, words: str) -> dict[str, Any]:
    code, out, err = cdp(product, f"{words} --json")
    assert (code, err) == (0, "")
    answer: dict[str, Any] = json.loads(out)
    return answer


def lead_id(product: Product) -> str:
    found = PLAYED.search(product.output())
    assert found
    return found[1]


def test_the_card_tells_the_adviser_what_ms_li_cares_about(product: Product) -> None:
    text = (product.folder / "output.log").read_text()
    for part in (
        "Xunji is ready",
        "李女士",
        "+8613812345678",
        "内部空间",
        "interior space",
        "从未看过性能",
        "✓ complete",
    ):
        assert part in text
    assert "后排座椅怎么坐都舒服”看了 4" in text
    assert product.env["XUNJI_ADMIN_KEY"] not in text


def test_the_lead_has_the_trail_of_both_ends_and_says_why(product: Product) -> None:
    lead = asked(product, f"lead show {lead_id(product)}")
    events = lead["trail"]["events"]
    assert lead["trail"]["complete"] is True
    assert lead["trail"]["total"] == len(events) == 39
    assert {event["source"] for event in events} == {"demo-site", "demo-mini-program"}
    assert sum(event["name"] == "video_played" for event in events) == 4
    assert lead["interests"][0]["topic"] == "space"
    assert "performance" not in {interest["topic"] for interest in lead["interests"]}
    assert {"login", "form"} <= {reason["linked_by"] for reason in lead["why"]}
    assert lead["interest"]["series"] == "远栖 S6"
    assert "model" not in lead["interest"]
    assert lead["consent"]["purposes"] == ["sales_contact"]


def test_whoever_knows_one_identifier_finds_the_whole_person(product: Product) -> None:
    person = asked(product, "person show phone:+8613812345678")
    kinds = [each["kind"] for each in person["identifiers"]]
    assert kinds == ["anonymous_id", "anonymous_id", "member_id", "phone", "wx_openid", "wx_unionid"]
    assert person["events"] == 39
    assert person["id"] == asked(product, "person show member_id:YQ20418837")["id"]
    assert person["traits"]["city"]["value"] == "上海"
    code, out, _ = cdp(product, "person show phone:+8613812345678 --limit 0")
    assert code == 0
    assert person["id"] in out


def test_the_account_adds_up_and_a_replay_changes_nothing(product: Product) -> None:
    before = asked(product, "accounting")
    assert before["balanced"] is True
    assert sum(row["events"]["stored"] for row in before["rows"]) == 39
    replay = asked(product, "log replay")
    assert (replay["hits"], replay["done"]) == (11, True)
    assert asked(product, "accounting") == before


def test_a_proxy_of_the_environment_does_not_come_between(product: Product) -> None:
    product.env |= {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    assert asked(product, "doctor")["healthy"] is True
    del product.env["HTTP_PROXY"], product.env["http_proxy"]


def test_the_commands_ask_the_server_that_runs(product: Product) -> None:
    report = asked(product, "doctor")
    assert report["server"] == f"http://127.0.0.1:{product.port}"
    assert set(report["checks"]) == {"server", "records", "log", "graph", "events"}
    assert report["healthy"] is True


def test_a_new_source_is_taken_at_once(product: Product) -> None:
    key = asked(product, "source create second-site --kind site")["key"]
    event = {"event": "hello", "anonymousId": "visitor-1", "messageId": "m-1"}
    assert product.collector.post("/v1/track", json=event, auth=(key, "")).status_code == 200
    assert product.settled()["balanced"] is True


def test_a_second_server_on_the_same_data_is_refused_with_a_sentence(product: Product) -> None:
    code, out, err = cdp(product, "serve")
    assert (code, out) == (2, "")
    assert err.startswith("It is running already 已在运行: XUNJI_DATA_DIR is ")
    assert err.count("\n") == 1


def test_no_clear_phone_is_in_the_data_folder_or_the_logs(product: Product) -> None:
    number = b"13812345678"
    assert [path for path, content in contents(product.folder / "data").items() if number in content] == []
    logged = [line for line in (product.folder / "output.log").read_bytes().splitlines() if line.startswith(b"{")]
    assert logged
    assert not [line for line in logged if number in line]


def test_it_ends_cleanly_and_a_second_start_finds_its_data_and_plays_nothing(product: Product) -> None:
    assert product.process is not None
    family = psutil.Process(product.process.pid).children(recursive=True)
    assert product.stop() == 0
    assert not [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    (product.folder / "output.log").unlink()
    product.start("--demo")
    until(lambda: "plays nothing" in product.output(), 30, product.output)
    assert "李女士" not in product.output()
    assert len(product.api.get("/api/v1/leads").json()["leads"]) == 1
    assert product.stop() == 0


def test_after_the_end_the_commands_open_the_stores_themselves(product: Product) -> None:
    assert asked(product, f"lead show {lead_id(product)}")["contact"]["name"] == "李女士"
    assert asked(product, "accounting")["balanced"] is True
