"""A visitor looks, logs in and books, as posthog tells it: `URL KEY VISITOR MEMBER`."""

import sys

from pause import pause
from posthog import Posthog

url, key, visitor, member = sys.argv[1:5]
client = Posthog(key, host=url, gzip=True, max_retries=10)
address = "https://shop.example.test/x9?utm_source=baidu&utm_campaign=x9-launch"
client.capture("$pageview", distinct_id=visitor, properties={"$current_url": address, "$title": "X9"})
client.capture("seat_viewed", distinct_id=visitor, properties={"series": "X9", "row": 2})
client.alias(previous_id=visitor, distinct_id=member)
client.set(distinct_id=member, properties={"city": "杭州"})
client.flush()
pause()
client.capture("test_drive_booked", distinct_id=member, properties={"series": "X9", "price": 299_800})
client.group_identify("dealer", "dealer-7", {"city": "上海"})
client.shutdown()
