"""A visitor looks, logs in and books, as SensorsAnalyticsSDK tells it: `URL KEY VISITOR MEMBER`."""

import sys

import sensorsanalytics
from pause import pause

url, key, visitor, member = sys.argv[1:5]
consumer = sensorsanalytics.AsyncBatchConsumer(f"{url}/sa?project={key}", flush_max_time=1)
client = sensorsanalytics.SensorsAnalytics(consumer)
client.track(visitor, "seat_viewed", {"series": "X9", "row": 2, "$utm_source": "baidu", "$utm_campaign": "x9-launch"})
client.track_signup(member, visitor)
client.profile_set(member, {"city": "杭州", "level": "gold"}, is_login_id=True)
client.flush()
pause()
client.track(member, "test_drive_booked", {"series": "X9", "price": 299_800}, is_login_id=True)
client.profile_increment(member, {"drives": 1}, is_login_id=True)
client.item_set("car", "x9", {"price": 299_800})
client.flush()
client.close()
