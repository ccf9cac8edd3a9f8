"""All dialects. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from collectors.dialect import Dialect, Page, Registry, Translator, taker
from collectors.file import File
from collectors.form import Form
from collectors.ga4 import Ga4
from collectors.growingio import GrowingIO
from collectors.ocean_engine import OceanEngine
from collectors.posthog import PostHog
from collectors.segment import Segment
from collectors.sensors import Sensors
from collectors.snowplow import Snowplow
from collectors.tencent_ads import TencentAds
from collectors.thinkingdata import ThinkingData
from collectors.tracker_file import TrackerFile

REMEMBERED_ROUTES = 1024

_ENQUIRIES: tuple[Dialect, ...] = (Form(), OceanEngine(), TencentAds())
DIALECTS: Registry = {
    dialect.name: dialect
    for dialect in (
        *_ENQUIRIES,
        Segment(),
        Sensors(),
        PostHog(),
        Ga4(),
        GrowingIO(),
        ThinkingData(),
        # Last: it takes any address of two segments.
        Snowplow(),
    )
}
TRANSLATORS: Mapping[str, Translator] = {**DIALECTS, File.name: File()}
"""And what comes into the log by no request."""
PAGES: Sequence[Page] = (TrackerFile().page,)

ENQUIRIES = frozenset(dialect.name for dialect in _ENQUIRIES)
"""Dialects whose every event is an enquiry, and captures a lead whatever XUNJI_CAPTURE_EVENTS names."""
FORM_FILLED = ENQUIRIES | {File.name}
"""Dialects whose bodies are full of names and other values that no pattern finds."""


@lru_cache(maxsize=REMEMBERED_ROUTES)
def route(method: str, path: str) -> Dialect | None:
    """The dialect that takes hits at this path, None where there is none."""
    return taker(DIALECTS.values(), method, path)
