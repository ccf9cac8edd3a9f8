"""Our trackers as the collector serves them: which version, how long it is kept, and whether they are what we build."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from collectors.campaign import CLICK_IDS
from collectors.dialect import Answer
from collectors.registry import PAGES, route
from collectors.tracker_file import Bundle, TrackerFile
from tests.collectors.hits import make_request

SDK = Path(__file__).parents[2] / "sdk-js-snippet"
FILE = TrackerFile()
VERSION = FILE.bundles["xunji.js"].version
EACH_FILE = pytest.mark.parametrize("file", ["xunji.js", "xunji-mini.js"])


def get(path: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = FILE.page(make_request(path, method="GET", headers=named))
    assert answer is not None
    return answer


def test_it_is_a_page_of_the_collector_and_takes_no_hits() -> None:
    (page,) = PAGES
    assert page(make_request("/xunji.js", method="GET")) is not None
    for method in ("GET", "POST"):
        assert route(method, "/xunji.js") is None
    assert FILE.page(make_request("/xunji.js")) is None


@EACH_FILE
def test_the_present_version_is_kept_for_minutes_and_a_fixed_one_for_a_year(file: str) -> None:
    present, fixed = get(f"/{file}"), get(f"/sdk/{VERSION}/{file}")
    assert present.body == fixed.body
    assert present.headers["Cache-Control"] == "public, max-age=600"
    assert fixed.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_browser_that_has_it_gets_no_body_again() -> None:
    tag = get("/xunji.js").headers["ETag"]
    again = get("/xunji.js", if_none_match=f'"other", {tag}')
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(("file", "most"), [("xunji.js", 5 * 1024), ("xunji-mini.js", 4 * 1024)])
def test_it_is_packed_for_those_who_unpack_under_a_tag_of_its_own(file: str, most: int) -> None:
    plain, packed = get(f"/{file}"), get(f"/{file}", accept_encoding="gzip, deflate, br")
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert len(packed.body) <= most


@EACH_FILE
def test_a_page_that_was_pinned_to_an_older_version_gets_the_present_one(file: str) -> None:
    answer = get(f"/sdk/0.9.0/{file}")
    assert (answer.status, answer.headers["Location"]) == (302, f"/{file}")


@pytest.mark.parametrize("path", ["/sdk/../xunji.js", "/xunji-web.js", "/static/xunji-mini.js", "/sdk/1.0.0/x.js"])
def test_nothing_else_is_served(path: str) -> None:
    assert FILE.page(make_request(path, method="GET")) is None


def test_a_bundle_without_a_version_is_not_served() -> None:
    with pytest.raises(ValueError, match="npm run build"):
        Bundle.of("xunji-web", b"/*! xunji-mini 1.0.0 */")


def test_the_versions_are_that_of_the_package() -> None:
    package = json.loads((SDK / "package.json").read_text())
    assert {bundle.version for bundle in FILE.bundles.values()} == {package["version"]}


def test_the_documented_snippet_is_the_one_that_is_tried() -> None:
    tried = (SDK / "snippet.html").read_text().strip()
    documented = (SDK.parent / "docs" / "sdks" / "xunji-web.md").read_text()
    assert tried.replace("https://collect.example.com", "http://127.0.0.1:8001") in documented


def test_the_tracker_keeps_the_same_click_ids_for_a_visit_that_the_collector_reads_from_an_address() -> None:
    source = (SDK / "src" / "core" / "campaign.ts").read_text()
    known = re.search(r"CLICK_ID =\s*/(.+)/;", source)
    assert known is not None
    assert [name for name in CLICK_IDS if not re.fullmatch(known[1].strip("^$"), name)] == []
