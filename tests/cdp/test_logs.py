"""What gets into our logs, and what never does."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from cdp.logs import configure_logs

PHONE, EMAIL, VIN = "13987654320", "li.na@example.com", "LSVAU2180N2183294"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs("info")
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    said = capsys.readouterr()
    assert said.out == ""
    return [json.loads(line) for line in said.err.splitlines()]


def test_a_line_is_json_with_time_level_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().info("batch_stored", events=3, partitions=[0, 1])
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "batch_stored", "level": "info", "events": 3, "partitions": [0, 1]}


def test_personal_values_are_masked_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().warning(f"called {PHONE}", owner=EMAIL, nested={"cars": [VIN], EMAIL: 1}, number=int(PHONE))
    text = json.dumps(lines(capsys))
    assert not [value for value in (PHONE, EMAIL, VIN) if value in text]
    assert "139****4320" in text


def test_a_trace_is_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(f"cannot read {PHONE}")
    except ValueError:
        structlog.get_logger().exception("step_failed")
    (line,) = lines(capsys)
    assert "ValueError: cannot read" in line["exception"]
    assert PHONE not in line["exception"]


def test_libraries_speak_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("some.library").warning("mail to %s failed", EMAIL)
    logging.getLogger("httpx").info("HTTP Request: GET /")
    (line,) = lines(capsys)
    assert line["level"] == "warning"
    assert line["event"].startswith("mail to ")
    assert EMAIL not in line["event"]


def test_what_json_cannot_hold_is_still_logged(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().error("odd", thing=object(), broken="\ud800", key={(1, 2): 3})
    (line,) = lines(capsys)
    assert line["level"].strip("'") == "error"


def test_levels_under_the_set_one_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning")
    structlog.get_logger().info("nobody_hears")
    logging.getLogger("some.library").info("nor this")
    assert lines(capsys) == []
