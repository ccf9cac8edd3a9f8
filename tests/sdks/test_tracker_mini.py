"""Our mini-program tracker, the built file in a stub of WeChat that makes real requests, tells a running product.

Needs Node 20 and, for the same person at her computer, Chromium as the web tracker's test does.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.product import Product
from tests.sdks.story import until_line

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sdks" / "xunji-mini.md").read_text()
SNIPPET = (ROOT / "sdk-js-snippet" / "snippet.html").read_text().strip()
LONGEST_S = 60

pytestmark = pytest.mark.timeout(LONGEST_S + 60)

Found = dict[str, Any]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as running:
        yield running


@pytest.fixture(scope="module")
def found(product: Product) -> Found:
    """What the two people met; the collector was away for a while."""
    given = {
        "collectorPort": product.collector_port,
        "mini": product.create_source("mini", "mini_program"),
        "web": product.create_source("web"),
        "app": documented_app(),
        "snippet": SNIPPET,
    }
    process = subprocess.Popen(
        ["node", "tests/sdks/tracker/mini.mjs"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        go_on(process, json.dumps(given))
        until_line(process, "away")
        product.stop()
        go_on(process)
        until_line(process, "back")
        product.start()
        printed, _ = process.communicate("\n", timeout=LONGEST_S)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    product.settled()
    seen: Found = json.loads(printed.splitlines()[-1])
    return seen


def documented_app() -> str:
    """`app.js` as the page tells it."""
    block = re.search(r"```js\n(.+?require\(.+?)```", PAGE, re.DOTALL)
    assert block is not None
    return block[1]


def go_on(process: subprocess.Popen[str], line: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def events_of(product: Product, source: str) -> list[Found]:
    answer = product.api.get("/api/v1/events", params={"source": source, "limit": 1_000})
    assert answer.status_code == 200, answer.text
    events: list[Found] = answer.json()["events"]
    return events


def numbers_of(events: list[Found], name: str) -> list[int]:
    return sorted(event["properties"]["n"] for event in events if event["name"] == name)


def person_of(product: Product, kind: str, value: str) -> str:
    answer = product.api.post("/api/v1/persons/lookup", json={"kind": kind, "value": value})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def trail_of(product: Product, person: str) -> list[Found]:
    answer = product.api.get(f"/api/v1/persons/{person}/trail", params={"limit": 1_000})
    assert answer.status_code == 200, answer.text
    events: list[Found] = answer.json()["events"]
    return events


def test_no_script_of_ours_failed(found: Found) -> None:
    assert found["faults"] == []


def test_teams_download_the_file_that_is_tried_here(product: Product, found: Found) -> None:
    assert found
    built = (ROOT / "collectors" / "static" / "xunji-mini.js").read_bytes()
    assert product.collector.get("/xunji-mini.js").content == built


def test_a_visit_is_told_with_its_life_its_pages_and_the_code_that_was_scanned(product: Product, found: Found) -> None:
    trail = trail_of(product, person_of(product, "anonymous_id", found["visitors"]["phone"]))
    assert Counter(
        event["name"] for event in trail if event["source"] == "mini" and event["name"] != "seat_viewed"
    ) == {
        "app_opened": 1,
        "session_started": 2,
        "page_viewed": 3,
        "shared": 1,
        "app_closed": 1,
        "identified": 2,
        "lead_submitted": 1,
    }
    opened = next(event for event in trail if event["name"] == "app_opened")
    assert opened["properties"]["scene"] == 1047
    assert (opened["platform"], opened["app"]["id"], opened["device"]["model"]) == (
        "mini_program",
        "wx1234567890abcdef",
        "iPhone 15",
    )
    assert {
        (event["campaign"]["source"], event["campaign"]["name"]) for event in trail if event["source"] == "mini"
    } == {("auto-shanghai", "s6")}
    assert {event["page"]["path"] for event in trail if event["name"] == "page_viewed"} >= {
        "/pages/s6/s6",
        "/pages/drive/drive",
    }


def test_a_program_hidden_while_it_sends_loses_nothing_and_doubles_nothing(product: Product, found: Found) -> None:
    assert found["unanswered"] > 0
    assert numbers_of(events_of(product, "mini"), "seat_viewed") == list(range(40))
    rows = [row["events"] for row in product.accounting()["rows"] if row["source"] == "mini"]
    # What had arrived without an answer came again.
    assert sum(row["duplicate"] for row in rows) >= found["unanswered"]


def test_a_collector_that_was_away_gets_everything_once_also_of_a_program_that_ended(
    product: Product, found: Found
) -> None:
    assert found["kept"] >= 70
    assert numbers_of(events_of(product, "mini"), "colour_chosen") == list(range(70))
    visitor = person_of(product, "anonymous_id", found["visitors"]["friend"])
    assert numbers_of(trail_of(product, visitor), "colour_chosen") == list(range(70))


def test_who_opens_a_friends_card_is_another_person_and_tells_how_far_it_came(product: Product, found: Found) -> None:
    visitors = found["visitors"]
    assert found["cards"] == [
        f"/pages/s6/s6?trim=max&xunji_share=1.{visitors['phone']}",
        f"/pages/s6/s6?trim=max&xunji_share=2.{visitors['friend']}",
    ]
    friend = person_of(product, "wx_unionid", "uFriend")
    assert friend == person_of(product, "anonymous_id", visitors["friend"])
    assert friend != person_of(product, "anonymous_id", visitors["phone"])
    first = next(event for event in reversed(trail_of(product, friend)) if event["name"] == "app_opened")
    assert (first["properties"]["share_depth"], first["properties"]["shared_by"]) == (1, visitors["phone"])


def test_a_lead_has_the_whole_visit_its_campaign_and_why(product: Product, found: Found) -> None:
    lead = product.api.get(f"/api/v1/leads/{found['lead']}").json()
    assert lead["trail"]["complete"]
    told = [*lead["trail"]["events"], *(each["event"] for each in lead["trail"]["additions"])]
    assert {"app_opened", "page_viewed", "shared", "identified"} <= {event["name"] for event in told}
    assert numbers_of(told, "seat_viewed") == list(range(40))
    assert (lead["campaign"]["source"], lead["campaign"]["name"]) == ("auto-shanghai", "s6")
    why = {link["identifier"]["kind"]: link["with"]["kind"] for link in lead["why"]}
    assert why == {
        "anonymous_id": "member_id",
        "wx_openid": "anonymous_id",
        "wx_unionid": "anonymous_id",
        "phone": "anonymous_id",
    }
    assert lead["person"] == person_of(product, "wx_unionid", "uLi")
    assert "13812345678" not in found["stored"]


def test_the_same_person_on_the_web_is_joined_by_her_member_id_and_by_her_unionid(
    product: Product, found: Found
) -> None:
    phone, home, office = (found["visitors"][where] for where in ("phone", "home", "office"))
    li = person_of(product, "anonymous_id", phone)
    assert person_of(product, "anonymous_id", office) == li
    assert person_of(product, "anonymous_id", home) != li
    # What a team's server says after she scanned its code in the browser.
    login = {"anonymousId": home, "identifiers": [{"kind": "wx_unionid", "value": "uLi"}]}
    key = product.create_source("login", "server")
    answer = product.collector.post("/v1/identify", json={"writeKey": key, "messageId": "login-1", **login})
    assert answer.status_code == 200, answer.text
    product.settled()
    li = person_of(product, "member_id", "YQ-LI")
    assert {person_of(product, "anonymous_id", each) for each in (phone, home, office)} == {li}
    assert {event["source"] for event in trail_of(product, li)} == {"mini", "web", "login"}


def test_the_books_balance(product: Product, found: Found) -> None:
    assert found
    assert product.accounting()["balanced"]
