"""A visitor looks, logs in and books, as rudder-sdk-python tells it: `URL KEY VISITOR MEMBER`."""

import sys

from pause import pause
from rudderstack.analytics.client import Client

url, key, visitor, member = sys.argv[1:5]
client = Client(key, host=url)
page = {"url": "https://shop.example.test/x9?utm_source=baidu&utm_campaign=x9-launch", "title": "X9"}
client.page(anonymous_id=visitor, category="车型", name="X9", properties=page, context={"page": page})
client.track(anonymous_id=visitor, event="seat_viewed", properties={"series": "X9", "row": 2})
client.identify(member, {"name": "李女士", "email": "Li@Example.com"}, anonymous_id=visitor)
client.flush()
pause()
client.track(member, "test_drive_booked", {"series": "X9", "price": 299_800})
client.screen(member, "车型", "后排空间", {"row": 2})
client.flush()
client.join()
