"""Play the demo: Ms. Li's journey, sent over HTTP to the collectors that run, just as her devices would.

Three weeks of visits come first, then the form of a motor show, which captures a lead. Everything after the
collectors is the product at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, TypeVar

import httpx

from cdp.api_client import ApiClient
from cdp.demo_journey import HitToSend, Journey
from cdp.errors import XunjiError
from cdp.moments import now_ms

PATIENCE_S = 20.0
"""The longest wait for the pipeline, on a machine that has other things to do."""
NEW_KEY_S = 5.0
"""Until a collector of another machine knows a new key: a second, if that machine has nothing else to do."""
POLL_S = 0.05

T = TypeVar("T")


class DemoFailed(XunjiError):
    """The demo could not be played to its end; the text says where it stopped."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The demo stopped: {why}.")


def is_empty(client: ApiClient) -> bool:
    """Whether nobody has sent anything or made a source, so that the demo may be played."""
    accepted = sum(part["accepted"] for part in client.get("/accounting")["partitions"])
    return not accepted and not client.all("/sources", "sources")


def newest_lead(client: ApiClient) -> dict[str, Any] | None:
    """The newest lead with its trail, None where there is none."""
    found = client.get("/leads", limit=1)["leads"]
    return client.get(f"/leads/{found[0]['id']}") if found else None


def play(client: ApiClient, collectors: str, *, zone: tzinfo) -> dict[str, Any]:
    """Send the journey to the collectors at this URL; the lead that it ends in. Raises DemoFailed."""
    journey = Journey(now=now_ms(), zone=zone)
    keys = {end: client.post("/sources", source)["key"] for end, source in journey.sources().items()}
    with httpx.Client(base_url=collectors, timeout=PATIENCE_S, trust_env=False) as sender:
        for visit in journey.visits():
            _send(sender, journey.hit(visit, keys[visit.end]))
        # In life weeks lie between the visits and the form; here the pipeline gets the moment that it needs.
        _until(lambda: _processed(client), "the visits were not processed in time")
        form = journey.form()
        _send(sender, journey.hit(form, keys[form.end]))
    return _until(lambda: newest_lead(client), "no lead was captured; does XUNJI_CAPTURE_EVENTS name lead_submitted?")


def _send(sender: httpx.Client, hit: HitToSend) -> None:
    try:
        answer = sender.post(hit.target, headers=hit.headers, content=hit.body)
        end = time.monotonic() + NEW_KEY_S
        while answer.status_code == 401 and time.monotonic() < end:
            time.sleep(POLL_S)
            answer = sender.post(hit.target, headers=hit.headers, content=hit.body)
    except httpx.TransportError as error:
        raise DemoFailed(f"the collector does not answer ({error})") from error
    if answer.status_code != 200:
        raise DemoFailed(f"the collector answered {answer.status_code} on {hit.target.partition('?')[0]}")


def _processed(client: ApiClient) -> bool:
    return all(part["pending"] == 0 for part in client.get("/accounting")["partitions"])


def _until(found: Callable[[], T | None], otherwise: str) -> T:
    end = time.monotonic() + PATIENCE_S
    while not (value := found()):
        if time.monotonic() > end:
            raise DemoFailed(otherwise)
        time.sleep(POLL_S)
    return value
