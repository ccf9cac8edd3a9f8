"""A visitor looks, logs in and books, as snowplow-tracker tells it: `URL KEY VISITOR MEMBER`."""

import sys
from urllib.parse import urlsplit

from pause import pause
from snowplow_tracker import (
    AsyncEmitter,
    PageView,
    SelfDescribing,
    SelfDescribingJson,
    StructuredEvent,
    Subject,
    Tracker,
)

url, key, visitor, member = sys.argv[1:5]
place = urlsplit(url)
emitter = AsyncEmitter(place.hostname, protocol=place.scheme, port=place.port, batch_size=2, max_retry_delay_seconds=1)
subject = Subject().set_domain_user_id(visitor).set_platform("web")
tracker = Tracker("shop", emitters=emitter, subject=subject, app_id=key)
address = "https://shop.example.test/x9?utm_source=baidu&utm_campaign=x9-launch"
tracker.track(PageView(page_url=address, page_title="X9"))
schema = "iglu:com.example/seat_viewed/jsonschema/1-0-0"
tracker.track(SelfDescribing(SelfDescribingJson(schema, {"series": "X9", "row": 2})))
tracker.flush()
pause()
subject.set_user_id(member)
tracker.track(StructuredEvent(category="shop", action="test_drive_booked", label="X9", value=299_800))
tracker.flush()
emitter.sync_flush()
