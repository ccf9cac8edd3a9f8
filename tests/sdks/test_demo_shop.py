"""The demo shop in a real Chromium: two hosts, consent, a form; the lead has the whole trail."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.real.product import Product

ROOT = Path(__file__).parents[2]
LONGEST_S = 60


@pytest.mark.timeout(180)
def test_a_visitor_of_the_demo_shop_becomes_a_lead_with_her_trail_on_both_hosts(tmp_path: Path) -> None:
    with Product(tmp_path, demo=True) as product:
        product.settled()
        command = ["node", "tests/sdks/tracker/demo.mjs", str(product.port)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)
        assert ended.returncode == 0, ended.stderr
        seen = json.loads(ended.stdout)
        assert seen["faults"] == []
        assert seen["storedBefore"] == []
        assert "手机" in seen["wrong"]

        assert product.settled()["balanced"]
        lead = product.api.get(f"/api/v1/leads/{seen['lead']}").json()
        trail = lead["trail"]
        assert trail["complete"]
        assert [event["name"] for event in reversed(trail["events"])] == [
            *("page_viewed", "page_viewed", "trim_viewed"),
            *("page_viewed", "post_liked"),
            *("page_viewed", "video_played", "gallery_viewed"),
            *("page_viewed", "lead_submitted"),
        ]
        assert {event["page"]["url"].split("/")[2].split(":")[0] for event in trail["events"]} == {
            "127.0.0.1",
            "localhost",
        }
        assert lead["campaign"]["name"] == "s6-debut"
        assert lead["contact"]["phone"] == "+8613912345678"
        assert lead["interests"][0]["because"]
