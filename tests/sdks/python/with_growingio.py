"""A visitor looks, logs in and books, as growingio-tracker tells it: `URL KEY VISITOR MEMBER [FORMAT]`.

FORMAT is json, which is the SDK's own choice, or protobuf or snappy.
"""

import sys

from growingio_tracker import DefaultConsumer, GrowingTracker
from pause import pause

url, key, visitor, member, *wanted = sys.argv[1:]
parser = None
if wanted == ["protobuf"]:
    from growingio_tracker_protobuf.protobuf_parser import ProtobufParser

    parser = ProtobufParser()
elif wanted == ["snappy"]:
    from growingio_tracker_snappy.snappy_parser import SnappyParser

    parser = SnappyParser()
consumer = DefaultConsumer(key, "site-1", url, data_parser=parser)
tracker = GrowingTracker.consumer(consumer)
tracker.track_custom_event("seat_viewed", anonymous_id=visitor, attributes={"series": "X9", "row": "2"})
tracker.track_user(login_user_id=member, anonymous_id=visitor, attributes={"level": "gold"})
pause()
tracker.track_custom_event("test_drive_booked", login_user_id=member, attributes={"series": "X9"})
tracker.submit_item("car", "x9", {"price": "299800"})
