"""What a client tells, as a program of its own, and what the product has to know afterwards.

Each client tells the same story in its SDK's words: a visitor looks at a car, logs in and books a test drive. The
package is unmodified; the program gets the collector's address, a key, a visitor's id and a member's id.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.real.product import Product, until

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "sdks"
PYTHON = {"growingio": CACHE / "growingio" / "bin" / "python"}
"""The environments that `make sdks` lays out; one has a protobuf too old for the others."""
COMMON_PYTHON = CACHE / "common" / "bin" / "python"
LONGEST_LINE = 300
PROGRAM_S, STORED_S = 60.0, 30.0


@dataclass(frozen=True, slots=True)
class Story:
    """`names` counts every event under our name; `campaign` is the event that carries the advertisement's words,
    and `kind` the kind of the source. `arguments` go to the program after the ids."""

    program: str
    names: Mapping[str, int]
    kind: str = "server"
    campaign: str = "page_viewed"
    retries: bool = True
    """Whether the client keeps what a collector that is away could not take."""
    nobodys: tuple[str, ...] = ()
    """Events about a thing, which are of nobody."""
    arguments: tuple[str, ...] = ()
    identifiers: Mapping[str, str] = field(default_factory=dict)
    """What the login told besides: kind and value by which the member is found as well."""

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


class Telling:
    """One story being told to one product by a running program."""

    def __init__(self, story: Story, product: Product, name: str) -> None:
        self.story = story
        self.product = product
        self.source = name
        self.visitor, self.member = drawn(name), f"member-{name}"
        key = product.create_source(name, story.kind)
        url = f"http://127.0.0.1:{product.collector_port}"
        self._process = subprocess.Popen(
            story.command(url, key, self.visitor, self.member),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_half(self) -> None:
        """Wait until the first half is told."""
        assert self._process.stdout
        heard = []
        for line in self._process.stdout:
            if line == "half\n":
                return
            # A trace may quote a whole bundle, which is one line.
            heard.append(line[:LONGEST_LINE])
        raise AssertionError("\n".join(heard))

    def end(self) -> None:
        """Let it tell the second half; fails with what the program printed."""
        try:
            printed, _ = self._process.communicate("\n", timeout=PROGRAM_S)
        finally:
            self._process.kill()
        assert self._process.returncode == 0, printed

    def until_stored(self) -> None:
        """Wait until there are as many events as were told."""
        expected = sum(self.story.names.values())
        until(lambda: self.names().total() >= expected, STORED_S, lambda: str(self.names()))

    def events(self) -> list[dict[str, Any]]:
        answer = self.product.api.get("/api/v1/events", params={"source": self.source, "limit": 1000})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["events"]
        return found

    def names(self) -> Counter[str]:
        return Counter(event["name"] for event in self.events())

    def trail(self, kind: str, value: str) -> Counter[str]:
        """Names of everything that the person with this identifier did."""
        person = self.product.api.post("/api/v1/persons/lookup", json={"kind": kind, "value": value})
        assert person.status_code == 200, person.text
        trail = self.product.api.get(f"/api/v1/persons/{person.json()['id']}/trail", params={"limit": 1000})
        assert trail.status_code == 200, trail.text
        return Counter(event["name"] for event in trail.json()["events"])


def drawn(seed: str) -> str:
    """A visitor's id as today's SDKs draw it in a browser: a UUID of version 7."""
    digits = hashlib.sha256(seed.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-7{digits[12:15]}-a{digits[15:18]}-{digits[18:30]}"
