"""A visitor looks, logs in and books, as segment-analytics-python tells it: `URL KEY VISITOR MEMBER`."""

import sys

from pause import pause
from segment.analytics.client import Client

url, key, visitor, member = sys.argv[1:5]
client = Client(key, host=url, gzip=True)
page = {"url": "https://shop.example.test/x9?utm_source=baidu&utm_campaign=x9-launch", "title": "X9"}
client.page(anonymous_id=visitor, category="车型", name="X9", properties=page, context={"page": page})
client.track(anonymous_id=visitor, event="seat_viewed", properties={"series": "X9", "row": 2})
client.identify(member, {"name": "李女士", "phone": "+86 136 5123 4567"}, anonymous_id=visitor)
client.flush()
pause()
client.track(member, "test_drive_booked", {"series": "X9", "price": 299_800})
client.group(member, "dealer-7", {"city": "上海"})
client.alias(f"{visitor}-tablet", member)
client.flush()
client.join()
