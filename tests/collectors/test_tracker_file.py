"""The web tracker as the collector serves it: which version, how long it is kept, and that it is the one we build."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from collectors.campaign import CLICK_IDS
from collectors.dialect import Answer
from collectors.registry import DIALECTS, route
from collectors.tracker_file import TrackerFile
from tests.collectors.hits import make_request

SDK = Path(__file__).parents[2] / "sdk-js-snippet"
FILE = TrackerFile()


def get(path: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = FILE.config(make_request(path, method="GET", headers=named))
    assert answer is not None
    return answer


def test_it_is_among_the_dialects_but_takes_no_hits() -> None:
    assert "tracker_file" in DIALECTS
    for method in ("GET", "POST"):
        assert route(method, "/xunji.js") is None
    assert FILE.config(make_request("/xunji.js")) is None


def test_the_present_version_is_kept_for_minutes_and_a_fixed_one_for_a_year() -> None:
    present, fixed = get("/xunji.js"), get(f"/sdk/{FILE.version}/xunji.js")
    assert present.body == fixed.body
    assert present.headers["Cache-Control"] == "public, max-age=600"
    assert fixed.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_browser_that_has_it_gets_no_body_again() -> None:
    tag = get("/xunji.js").headers["ETag"]
    again = get("/xunji.js", if_none_match=f'"other", {tag}')
    assert (again.status, again.body) == (304, b"")


def test_it_is_packed_for_those_who_unpack_under_a_tag_of_its_own() -> None:
    plain, packed = get("/xunji.js"), get("/xunji.js", accept_encoding="gzip, deflate, br")
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert len(packed.body) <= 5 * 1024


def test_a_page_that_was_pinned_to_an_older_version_gets_the_present_one() -> None:
    answer = get("/sdk/0.9.0/xunji.js")
    assert (answer.status, answer.headers["Location"]) == (302, "/xunji.js")
    assert FILE.config(make_request("/sdk/../xunji.js", method="GET")) is None


def test_a_bundle_without_a_version_is_not_served() -> None:
    with pytest.raises(ValueError, match="npm run build"):
        TrackerFile(b"alert(1)")


def test_the_version_is_that_of_the_package() -> None:
    assert json.loads((SDK / "package.json").read_text())["version"] == FILE.version


def test_the_documented_snippet_is_the_one_that_is_tried() -> None:
    tried = (SDK / "snippet.html").read_text().strip()
    documented = (SDK.parent / "docs" / "sdks" / "xunji-web.md").read_text()
    assert tried.replace("https://collect.example.com", "http://127.0.0.1:8001") in documented


def test_the_tracker_keeps_the_same_click_ids_for_a_visit_that_the_collector_reads_from_an_address() -> None:
    source = (SDK / "src" / "core" / "campaign.ts").read_text()
    known = re.search(r"CLICK_ID =\s*/(.+)/;", source)
    assert known is not None
    assert [name for name in CLICK_IDS if not re.fullmatch(known[1].strip("^$"), name)] == []
