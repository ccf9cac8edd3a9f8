"""What an SDK tells, and what the product has to know afterwards.

Each client tells the same story in its SDK's words: a visitor looks at a car, logs in and books a test drive. The
package is unmodified. A program gets the collector's address, a key, a visitor's id and a member's id; a page in a
browser the first two and the last.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.real.product import Product, until

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "sdks"
PYTHON = {"growingio": CACHE / "growingio" / "bin" / "python"}
"""The environments that `make sdks` lays out; one has a protobuf too old for the others."""
COMMON_PYTHON = CACHE / "common" / "bin" / "python"
LONGEST_LINE = 300
ADVERTISEMENT = ("baidu", "x9-launch")
PROGRAM_S, STORED_S = 60.0, 30.0
UNCOUNTED = frozenset({"$$heatmap"})
"""PostHog sends one every five seconds, so that their number is the machine's affair."""


@dataclass(frozen=True, slots=True)
class Story:
    """`names` counts every event under our name; `campaign` is one that carries the advertisement's words, '' where
    the SDK has no place for them. `arguments` go to the program after the ids."""

    program: str
    names: Mapping[str, int]
    kind: str = "server"
    campaign: str = "page_viewed"
    retries: bool = True
    """Whether the client keeps what a collector that is away could not take."""
    nobodys: tuple[str, ...] = ()
    """Events about a thing, which are of nobody."""
    arguments: tuple[str, ...] = ()

    @property
    def of_the_member(self) -> Counter[str]:
        return Counter({name: count for name, count in self.names.items() if name not in self.nobodys})

    @property
    def id(self) -> str:
        return "-".join([self.program.removeprefix("with-").replace(".", "-"), *self.arguments])

    def command(self, url: str, key: str, visitor: str, member: str) -> list[str]:
        program, language = self.program.rsplit(".", 1)
        told = [url, key, visitor, member, *self.arguments]
        if language == "mjs":
            return ["node", str(HERE / "node" / self.program), *told]
        family = program.removeprefix("with_")
        return [str(PYTHON.get(family, COMMON_PYTHON)), str(HERE / "python" / self.program), *told]


class Known:
    """What the product knows of one source and its member."""

    def __init__(self, product: Product, source: str) -> None:
        self.product = product
        self.source = source
        self.member = f"member-{source}"

    def events(self) -> list[dict[str, Any]]:
        answer = self.product.api.get("/api/v1/events", params={"source": self.source, "limit": 1000})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["events"]
        return found

    def names(self) -> Counter[str]:
        return Counter(event["name"] for event in self.events() if event["name"] not in UNCOUNTED)

    def campaigns(self) -> dict[str, tuple[str, str]]:
        """Source and name of the advertisement, of each name of an event that knows one."""
        found = {event["name"]: event["campaign"] for event in self.events()}
        return {name: (each["source"], each["name"]) for name, each in found.items() if each["source"]}

    def trail(self) -> Counter[str]:
        """Names of everything that the member did."""
        asked = {"kind": "member_id", "value": self.member}
        person = self.product.api.post("/api/v1/persons/lookup", json=asked)
        assert person.status_code == 200, person.text
        trail = self.product.api.get(f"/api/v1/persons/{person.json()['id']}/trail", params={"limit": 1000})
        assert trail.status_code == 200, trail.text
        names = (event["name"] for event in trail.json()["events"])
        return Counter(name for name in names if name not in UNCOUNTED)

    def until_stored(self, events: int) -> None:
        until(lambda: self.names().total() >= events, STORED_S, lambda: f"{self.source}: {self.names()}")


class Telling(Known):
    """A story being told by a running program."""

    def __init__(self, story: Story, product: Product, source: str) -> None:
        super().__init__(product, source)
        self.story = story
        key = product.create_source(source, story.kind)
        url = f"http://127.0.0.1:{product.collector_port}"
        self._process = subprocess.Popen(
            story.command(url, key, drawn(source), self.member),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Telling:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)

    def until_half(self) -> None:
        """Wait until the first half is told."""
        until_line(self._process, "half")

    def finish(self) -> None:
        """Let it tell the second half; fails with what the program printed."""
        printed, _ = self._process.communicate("\n", timeout=PROGRAM_S)
        assert self._process.returncode == 0, printed


def until_line(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the process prints this line; fails with what it printed instead."""
    assert process.stdout
    heard = []
    for line in process.stdout:
        if line.rstrip() == word:
            return
        # A trace may quote a whole bundle, which is one line.
        heard.append(line[:LONGEST_LINE].rstrip())
    raise AssertionError("\n".join(heard))


def end(process: subprocess.Popen[str]) -> None:
    """Leave no process behind, whatever it was at."""
    process.kill()
    with process:
        pass


def drawn(seed: str) -> str:
    """A visitor's id as today's SDKs draw it in a browser: a UUID of version 7."""
    digits = hashlib.sha256(seed.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-7{digits[12:15]}-a{digits[15:18]}-{digits[18:30]}"
