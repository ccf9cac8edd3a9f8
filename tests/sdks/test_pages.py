"""The pages for teams that bring their own SDK, tried as they are written.

A section that promises events with "You should see" makes its source, runs its lines and finds them. Lines for the web
run in Chromium, those for a mini-program on a stub of its runtime, the others in Node or Python.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cdp.cli import app
from tests.real.product import ADMIN_KEY, Product, until
from tests.sdks.browsing import Browsing
from tests.sdks.story import COMMON_PYTHON, HERE, PYTHON, end

ROOT = HERE.parent.parent
PAGES = sorted((ROOT / "docs" / "sdks").glob("*.md"))
COLLECTOR = "https://collect.example.com"
STORED_S = 60.0

WEB, MINI = "Web", "Mini-program"
MINI_PROGRAM = """
import { createRequire } from "node:module";
import { open, visit } from "./wx.mjs";
const require = createRequire(import.meta.url);
%s
open();
visit("pages/x9/x9", {}, { onShow() {} });
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One platform of one SDK: how its source is made, its lines, and the names that they are said to leave."""

    page: str
    platform: str
    source: tuple[str, ...]
    installs: tuple[str, ...]
    code: str
    promised: frozenset[str]

    @property
    def id(self) -> str:
        return f"{self.page}-{self.platform}"

    @property
    def source_name(self) -> str:
        return self.source[3]


def sections(path: Path) -> Iterator[Section]:
    for text in path.read_text(encoding="utf-8").split("\n## ")[1:]:
        promise = re.search(r"You should see: (.+)", text)
        (source, *_) = re.findall(r"^\.venv/bin/(cdp source create .+)$", text, re.MULTILINE) or [""]
        # Our own trackers' pages are tried with our own trackers.
        if promise is None or not source:
            continue
        ((_, code),) = re.findall(r"^```(js|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        yield Section(
            page=path.stem,
            platform=text.split()[0],
            source=tuple(shlex.split(source)),
            installs=tuple(re.findall(r"^(?:npm install|pip install) (.+)$", text, re.MULTILINE)),
            code=code,
            promised=frozenset(re.findall(r"`(\w+)`", promise[1])),
        )


SECTIONS = [section for page in PAGES for section in sections(page)]
each_section = pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.id)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as running:
        yield running


@pytest.fixture(scope="module")
def keys(product: Product) -> dict[str, str]:
    """The key of each section, made by the command that it shows."""
    env = product.env | {"XUNJI_URL": f"http://127.0.0.1:{product.port}"}
    made = {}
    for section in SECTIONS:
        answer = CliRunner().invoke(app, [*section.source[1:], "--json"], env=env)
        assert answer.exit_code == 0, answer.output
        made[section.id] = str(json.loads(answer.output)["key"])
    return made


@pytest.fixture(scope="module")
def web(product: Product, keys: dict[str, str]) -> Iterator[None]:
    """All lines for the web, each on a page of its own."""
    visits = [
        {"name": section.id, "stdin": section.code.replace("KEY", keys[section.id])}
        for section in SECTIONS
        if section.platform == WEB
    ]
    with Browsing(product, visits) as visitors:
        visitors.until_half()
        yield
        visitors.go_on()
        asked = visitors.leave()
    assert {name: seen["faults"] for name, seen in asked.items()} == {visit["name"]: [] for visit in visits}


@each_section
def test_the_lines_of_a_page_leave_what_it_promises(
    product: Product, keys: dict[str, str], section: Section, request: pytest.FixtureRequest
) -> None:
    assert section.promised
    program = None
    if section.platform == WEB:
        request.getfixturevalue("web")
    else:
        code = section.code.replace("KEY", keys[section.id])
        program = start(section, code.replace(COLLECTOR, f"http://127.0.0.1:{product.collector_port}"))
    try:
        until(lambda: names(product, section) >= section.promised, STORED_S, lambda: str(names(product, section)))
        if program is not None and section.platform != MINI:
            printed, _ = program.communicate(timeout=STORED_S)
            assert program.returncode == 0, printed
    finally:
        if program is not None:
            end(program)


def start(section: Section, code: str) -> subprocess.Popen[str]:
    if section.platform == "Python":
        command = [str(PYTHON.get(section.page, COMMON_PYTHON)), "-c", code]
    else:
        command = ["node", "--input-type=module", "--eval", MINI_PROGRAM % code if section.platform == MINI else code]
    return subprocess.Popen(
        command,
        cwd=HERE / "node",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def names(product: Product, section: Section) -> set[str]:
    answer = product.api.get("/api/v1/events", params={"source": section.source_name, "limit": 1000})
    assert answer.status_code == 200, answer.text
    return {event["name"] for event in answer.json()["events"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_says_to_look_at_shows_the_events(product: Product, page: Path) -> None:
    asked = re.findall(
        r'^ *curl .*"http://127\.0\.0\.1:8000(/api/v1/events\?source=([\w-]+))" \|\n +(.+)$', page.read_text(), re.M
    )
    assert len(asked) == page.read_text().count("/api/v1/events?source=")
    for path, source, reader in asked:
        if source in {section.source_name for section in SECTIONS}:
            answer = product.api.get(path, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
            shown = subprocess.run(shlex.split(reader), input=answer.text, capture_output=True, text=True, check=True)
            assert len(shown.stdout.splitlines()) == len(answer.json()["events"]) > 0


@each_section
def test_the_versions_that_a_page_names_are_those_that_are_tested(section: Section) -> None:
    packages = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
    tested = {f"{name}@{version}" for name, version in packages.items()}
    for path in (HERE / "python").glob("*.in"):
        tested |= set(re.findall(r"^[\w-]+==[\w.]+$", path.read_text(), re.MULTILINE))
    named = {name for line in section.installs for name in line.split()}
    assert named <= tested
