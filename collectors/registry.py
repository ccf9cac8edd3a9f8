"""All dialects. A new one is a file and a line here."""

from __future__ import annotations

from functools import lru_cache

from collectors.dialect import Dialect, Registry
from collectors.ga4 import Ga4
from collectors.segment import Segment
from collectors.sensors import Sensors
from collectors.snowplow import Snowplow

REMEMBERED_ROUTES = 1024

DIALECTS: Registry = {dialect.name: dialect for dialect in (Segment(), Sensors(), Ga4(), Snowplow())}


@lru_cache(maxsize=REMEMBERED_ROUTES)
def route(method: str, path: str) -> Dialect | None:
    """The dialect that takes hits at this path, None where there is none; HEAD is asked as GET."""
    method = "GET" if method == "HEAD" else method
    return next((dialect for dialect in DIALECTS.values() if dialect.handles(method, path)), None)
