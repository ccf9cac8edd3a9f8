"""From a code on a stand, a form and an ad platform to leads, over HTTP on the running product."""

from __future__ import annotations

import time
from pathlib import Path

from tests.collectors.test_ads import CLUE, signed
from tests.real.product import Product
from tests.scanner import scanned


def test_a_scanned_code_leads_to_a_lead_that_knows_stand_and_trail(tmp_path: Path) -> None:
    # No event captures a lead by its name here: a form does by itself.
    with Product(tmp_path, XUNJI_CAPTURE_EVENTS="nothing_else") as product:
        site, form = product.create_source("site"), product.create_source("show", "form")
        drawn = product.api.post(
            "/api/v1/qr",
            json={
                "url": "https://www.example.com/x9",
                "campaign": {"source": "auto-shanghai", "name": "autumn", "content": "stand-a"},
            },
        )
        assert drawn.headers["content-type"] == "image/png"
        page = scanned(drawn.content)
        viewed = {"anonymousId": "v-1", "messageId": "p1", "context": {"page": {"url": page}}}
        assert product.collector.post("/v1/page", json=viewed, auth=(site, "")).status_code == 200

        typed = {
            "name": "李女士",
            "phone": "138 1234 5678",
            "意向车系": "X9",
            "consent": "on",
            "xunji_anonymous_id": "v-1",
        }
        browser = {"Accept": "text/html", "Referer": page, "Accept-Language": "zh-CN"}
        thanks = product.collector.post(f"/f/{form}", data=typed, headers=browser)
        assert (thanks.status_code, "谢谢" in thanks.text) == (200, True)
        again = product.collector.post(f"/f/{form}", data=typed, headers={"Referer": page}).json()
        corrected = product.collector.post(f"/f/{form}", data={**typed, "phone": "138"}, headers=browser)
        assert (corrected.status_code, "手机号有误" in corrected.text) == (422, True)
        robot = product.collector.post(f"/f/{form}", data={**typed, "xunji_website": "x"}, headers={"Referer": page})
        assert robot.json()["ok"] is True

        product.settled()
        lead = product.api.get(f"/api/v1/leads/{again['lead']}").json()
        assert lead["contact"] == {"name": "李女士", "phone": "+8613812345678"}
        assert (lead["interest"], lead["consent"]["purposes"]) == ({"series": "X9"}, ["sales_contact"])
        assert lead["campaign"] == {
            "source": "auto-shanghai", "medium": "qr", "name": "autumn", "content": "stand-a",
        }  # fmt: skip
        assert [event["name"] for event in lead["trail"]["events"]] == ["lead_submitted", "page_viewed"]
        (row,) = (row for row in product.accounting()["rows"] if row["source"] == "show")
        assert row["events"] == {"found": 3, "stored": 1, "duplicate": 1, "quarantined": 0, "dropped": {"BOT": 1}}
        assert len(product.api.get("/api/v1/leads").json()["leads"]) == 1

        # Who may not see clear values sees neither the name nor the number, in the event as on the lead.
        key = product.api.post("/api/v1/keys", json={"name": "marketing", "role": "marketer"}).json()["key"]
        seen = product.api.get("/api/v1/events?source=show", headers={"Authorization": f"Bearer {key}"}).text
        assert ("李女士" in seen, "13812345678" in seen, "李**" in seen) == (False, False, True)

        ads = product.create_source("ocean", "ads")
        assert product.api.patch("/api/v1/sources/ocean", json={"secret": "platform-secret-1"}).status_code == 200
        path = f"/ads/ocean-engine/{ads}"
        assert product.collector.post(path, json=CLUE).status_code == 401
        proof = signed(CLUE["id"], at=int(time.time()))
        for _ in range(2):
            assert product.collector.post(path, json=CLUE, headers=proof).json() == {"code": 0, "message": "success"}
        account = product.settled()
        (row,) = (row for row in account["rows"] if row["source"] == "ocean")
        assert (row["events"]["stored"], row["events"]["duplicate"]) == (1, 1)
        assert account["balanced"]
        newest = product.api.get("/api/v1/leads").json()["leads"][0]
        assert (newest["source"], newest["campaign"]["source"]) == ("ocean", "ocean_engine")
        # The same phone: the adviser sees one person.
        assert newest["person"] == lead["person"]
