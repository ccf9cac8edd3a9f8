"""Walks the steward's path of docs/identity.md: every line that it prints is run, every answer compared."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

PAGE = Path(__file__).parents[1] / "docs" / "identity.md"
SECTION = re.compile(r"^## The steward's path\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(json)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CURL = re.compile(
    r"""(?:(?P<name>\w+)=\$\()?curl (?P<words>.*?)(?: \| tee /dev/stderr)?(?: \| cut -d'"' -f(?P<field>\d+)\))?"""
)

Collect = Callable[[str, str], None]
"""Sends a hit as a collector takes it: the write key and the body."""


class Step(NamedTuple):
    """A line that calls the API, and what the page says that it answers, None where it says nothing."""

    line: str
    expected: Any


class Answered(NamedTuple):
    step: Step
    answer: httpx.Response


def steps() -> Iterator[Step]:
    """Each line of the section with `curl` in it, in order; an answer belongs to the last line before it."""
    found = SECTION.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    waiting: str | None = None
    for json_block, text in BLOCK.findall(found[1]):
        if json_block:
            assert waiting is not None
            yield Step(waiting, json.loads(text))
            waiting = None
            continue
        for line in text.splitlines():
            if "curl " in line:
                if waiting is not None:
                    yield Step(waiting, None)
                waiting = line
    if waiting is not None:
        yield Step(waiting, None)


def walk(client: httpx.Client, admin_key: str, collect: Collect) -> list[Answered]:
    """Run the path against a system whose API the client reaches; fails where an answer is not as the page has it."""
    known = {"API": "/api/v1", "AUTH": f"Authorization: Bearer {admin_key}", "JSON": "Content-Type: application/json"}
    done = []
    for step in steps():
        found = CURL.fullmatch(step.line)
        assert found is not None, step.line
        words = shlex.split(_filled(found["words"], known))
        if any("/v1/track" in word for word in words):
            collect(words[words.index("-u") + 1].rstrip(":"), words[words.index("-d") + 1])
            continue
        answer = _ask(client, words)
        assert answer.is_success, (step.line, answer.text)
        if step.expected is not None:
            assert_like(answer.json(), step.expected, step.line)
        if found["name"]:
            known[found["name"]] = answer.text.split('"')[int(found["field"]) - 1]
        if "KEY" in known:
            known["STEWARD"] = f"Authorization: Bearer {known['KEY']}"
        done.append(Answered(step, answer))
    return done


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda name: known[name[1]], text)


def _ask(client: httpx.Client, words: list[str]) -> httpx.Response:
    method, body, headers, path = "GET", None, {}, ""
    rest = iter(words)
    for word in rest:
        match word:
            case "-sS":
                continue
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                method, body = "POST", next(rest)
            case _:
                path = word
    content = None if body is None else body.encode()
    return client.request(method, path, headers=headers, content=content)


def assert_like(value: Any, expected: Any, where: str) -> None:
    """Whether the value is that of the page, in which … ends a text that goes on, and a field … stands for others."""
    if isinstance(expected, str) and expected.endswith("…"):
        assert str(value).startswith(expected[:-1]), (where, value, expected)
    elif isinstance(expected, dict):
        assert isinstance(value, dict), (where, value)
        named = expected.keys() - {"…"}
        assert named <= value.keys() if "…" in expected else named == value.keys(), (where, value)
        for name in named:
            assert_like(value[name], expected[name], f"{where} {name}")
    elif isinstance(expected, list):
        assert len(value) == len(expected), (where, value)
        for one, other in zip(value, expected, strict=True):
            assert_like(one, other, where)
    else:
        assert value == expected, (where, value)
