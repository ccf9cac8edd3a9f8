"""Our web tracker in a real Chromium, on pages of two hosts, delivers into a running product on a third.

Needs Node 20 and Chromium; the packages come with `npm ci --ignore-scripts` in `sdk-js-snippet`.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.product import Product

ROOT = Path(__file__).parents[2]
SNIPPET = (ROOT / "sdk-js-snippet" / "snippet.html").read_text().strip()
SCENARIOS = (
    *(
        "journey",
        "offline",
        "leaving",
        "last",
        "blocked",
        "csp",
        "file",
        "refusing",
        "many",
        "tabs",
        "tabs_plain",
        "consent",
    ),
    *("crash", "limited", "huge", "domains", "lead", "robot"),
)
LONGEST_S = 300

pytestmark = pytest.mark.timeout(LONGEST_S + 60)

Seen = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as running:
        yield running


@pytest.fixture(scope="module")
def seen(product: Product) -> Seen:
    """What the visitors of all scenarios saw; each has a source of its own, named like it."""
    keys = {name: product.create_source(name) for name in SCENARIOS}
    sources = {source["name"]: source["id"] for source in product.api.get("/api/v1/sources").json()["sources"]}
    assert product.api.patch(f"/api/v1/sources/{sources['limited']}", json={"rate_limit": 2}).status_code == 200
    given = {"collectorPort": product.collector_port, "keys": keys, "snippet": SNIPPET}
    ended = subprocess.run(
        ["node", "tests/sdks/tracker/scenarios.mjs"],
        cwd=ROOT,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    product.settled()
    found: Seen = json.loads(ended.stdout)
    return found


def saw(seen: Seen, scenario: str) -> dict[str, Any]:
    """What its visitors saw; it came to its end, and no script of ours failed on the page."""
    found = seen[scenario]
    assert "failed" not in found, found["failed"]
    assert found["faults"] == []
    return found


def counts_of(product: Product, source: str) -> dict[str, int]:
    """Events stored, met again and dropped, of one source."""
    rows = [row["events"] for row in product.accounting()["rows"] if row["source"] == source]
    return {
        "stored": sum(row["stored"] for row in rows),
        "duplicate": sum(row["duplicate"] for row in rows),
        "dropped": sum(sum(row["dropped"].values()) for row in rows),
    }


def steps_of(product: Product, source: str) -> list[int]:
    """The numbers of the steps that are stored."""
    answer = product.api.get("/api/v1/events", params={"source": source, "limit": 1_000})
    assert answer.status_code == 200, answer.text
    return sorted(event["properties"]["n"] for event in answer.json()["events"] if event["name"].startswith("step_"))


def person_of(product: Product, kind: str, value: str) -> str:
    answer = product.api.post("/api/v1/persons/lookup", json={"kind": kind, "value": value})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def trail_of(product: Product, person: str) -> list[dict[str, Any]]:
    answer = product.api.get(f"/api/v1/persons/{person}/trail", params={"limit": 1_000})
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


def test_a_visit_is_told_with_its_pages_clicks_forms_and_campaign(product: Product, seen: Seen) -> None:
    found = saw(seen, "journey")
    trail = trail_of(product, person_of(product, "anonymous_id", found["visitor"]))
    assert Counter(event["name"] for event in trail) == {
        "page_viewed": 3,
        "before_it_was_loaded": 1,
        "brochure_opened": 1,
        "form_submitted": 1,
        "identified": 1,
    }
    by_name = {event["name"]: event for event in trail}
    assert by_name["brochure_opened"]["properties"] == {"series": "X9", "car_model": "Max"}
    assert by_name["form_submitted"]["properties"] == {"form": "test_drive"}
    spaces = [event for event in trail if event["page"]["path"] == "/space" and event["name"] == "page_viewed"]
    assert [event["page"]["title"] for event in spaces] == ["后排空间"]
    assert "clickid=c-1" in spaces[0]["page"]["referrer"]
    assert {event["campaign"]["click_ids"].get("clickid") for event in trail} == {"c-1"}
    assert {event["campaign"]["name"] for event in trail} == {"autumn"}
    assert len({event["session"] for event in trail}) == 1
    assert {event["platform"] for event in trail} == {"web"}
    assert person_of(product, "member_id", "YQ1") == person_of(product, "anonymous_id", found["visitor"])


def test_no_request_is_asked_for_beforehand(seen: Seen) -> None:
    found = saw(seen, "journey")
    assert found["preflights"] == 0
    assert found["origin"].startswith("http://shop.example.test:")


def test_offline_and_reloaded_it_loses_nothing_and_doubles_nothing(product: Product, seen: Seen) -> None:
    saw(seen, "offline")
    assert steps_of(product, "offline") == list(range(25))
    assert counts_of(product, "offline")["dropped"] == 0


def test_a_page_left_while_it_sends_and_answers_that_are_lost_double_nothing(product: Product, seen: Seen) -> None:
    saw(seen, "leaving")
    assert steps_of(product, "leaving") == list(range(70))
    # The network lost the answers, so what had arrived had to be sent again.
    assert counts_of(product, "leaving")["duplicate"] > 0


def test_a_click_that_leads_away_for_good_arrives(product: Product, seen: Seen) -> None:
    saw(seen, "last")
    assert counts_of(product, "last") == {"stored": 2, "duplicate": 0, "dropped": 0}


def test_with_blocked_storage_it_works_for_the_time_of_the_page(product: Product, seen: Seen) -> None:
    saw(seen, "blocked")
    assert steps_of(product, "blocked") == list(range(5))


def test_a_strict_content_security_policy_needs_only_the_nonce(product: Product, seen: Seen) -> None:
    assert saw(seen, "csp")["violations"] == 0
    assert steps_of(product, "csp") == [0]


def test_a_policy_that_allows_no_inline_script_needs_only_the_file(product: Product, seen: Seen) -> None:
    saw(seen, "file")
    assert steps_of(product, "file") == [0]


def test_a_browser_that_asks_not_to_be_tracked_is_not_until_the_visitor_says_so(product: Product, seen: Seen) -> None:
    found = saw(seen, "refusing")
    assert (found["posts"], found["stored"]) == (0, [])
    assert steps_of(product, "refusing") == [1]


def test_ten_thousand_events_are_stored_once_each(product: Product, seen: Seen) -> None:
    found = saw(seen, "many")
    counts = counts_of(product, "many")
    assert counts == {"stored": 10_001, "duplicate": 0, "dropped": 0}
    assert found["largest"] < 64 * 1024


@pytest.mark.parametrize(("scenario", "locks"), [("tabs", True), ("tabs_plain", False)])
def test_two_tabs_send_nothing_twice_and_one_sends_for_the_other_that_was_closed(
    product: Product, seen: Seen, scenario: str, locks: bool
) -> None:
    found = saw(seen, scenario)
    assert (found["twice"], found["locks"]) == (0, locks)
    assert steps_of(product, scenario) == list(range(250))


def test_what_a_tab_that_crashed_left_is_sent_by_another_once_it_is_surely_dead(product: Product, seen: Seen) -> None:
    assert saw(seen, "crash")["early"] == 20
    assert steps_of(product, "crash") == list(range(20))
    assert counts_of(product, "crash")["duplicate"] == 0


def test_a_source_that_is_held_to_a_rate_loses_nothing(product: Product, seen: Seen) -> None:
    assert saw(seen, "limited")["refused"] > 0
    assert steps_of(product, "limited") == list(range(60))
    assert counts_of(product, "limited")["duplicate"] == 0


def test_an_event_that_is_too_large_is_told_and_holds_up_no_other(product: Product, seen: Seen) -> None:
    saw(seen, "huge")
    assert steps_of(product, "huge") == [1, 2]
    events = product.api.get("/api/v1/events", params={"source": "huge"}).json()["events"]
    assert [event["properties"] for event in events if event["name"] == "events_dropped"] == [{"refused": 1}]


def test_without_consent_nothing_is_stored_or_sent(product: Product, seen: Seen) -> None:
    found = saw(seen, "consent")
    assert found["before"] == {"stored": [], "posts": 0}
    assert found["after"] == []
    assert steps_of(product, "consent") == [0, 1, 2]


def test_a_visitor_of_two_domains_is_one_person_and_who_gets_the_link_is_another(product: Product, seen: Seen) -> None:
    found = saw(seen, "domains")
    assert found["there"] == found["visitor"]
    assert "xunji_id=" in found["link"]
    assert "xunji_id" not in found["address"]
    assert found["address"].endswith("#top")
    person = person_of(product, "anonymous_id", found["visitor"])
    assert person == person_of(product, "member_id", "YQ2")
    assert found["stranger"] != found["visitor"]
    assert person_of(product, "anonymous_id", found["stranger"]) != person
    here, there, now = found["known"]
    assert here != there == now
    assert found["aliases"] == 1
    assert person != person_of(product, "anonymous_id", here)
    assert person_of(product, "anonymous_id", here) == person_of(product, "anonymous_id", there)


def test_a_lead_has_the_trail_that_led_to_it(product: Product, seen: Seen) -> None:
    found = saw(seen, "lead")
    lead = product.api.get(f"/api/v1/leads/{found['lead']}").json()
    assert lead["trail"]["complete"]
    told = [*lead["trail"]["events"], *(each["event"] for each in lead["trail"]["additions"])]
    assert {"page_viewed", "step_0", "step_1", "step_2"} <= {event["name"] for event in told}
    assert lead["campaign"]["source"] == "auto-shanghai"
    assert not found["stored"]


def test_a_lead_that_is_refused_names_the_field(seen: Seen) -> None:
    refused = saw(seen, "lead")["refused"]
    assert refused["status"] == 422
    assert [error["path"] for error in refused["errors"]] == ["contact.phone"]


def test_a_browser_that_a_program_drives_sends_nothing_and_says_so(seen: Seen) -> None:
    found = saw(seen, "robot")
    assert (found["posts"], found["stored"]) == (0, [])
    assert any("bots" in warning for warning in found["warnings"])


def test_the_books_balance(product: Product, seen: Seen) -> None:
    assert seen
    assert product.accounting()["balanced"]
