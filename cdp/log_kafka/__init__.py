"""The log of hits on Kafka: one topic, `<prefix>.hits`, whose partitions are the log's.

The writer answers when all in-sync replicas have a hit, or when it lies in the local spool because they are away. The
consumer is a member of the group `<prefix>.workers`, which only says whose a partition is: from where on it is read is
told by the records store. The reader finds any record by its position.
"""

from cdp.log_kafka.consumer import KafkaLogConsumer
from cdp.log_kafka.reader import KafkaLogReader
from cdp.log_kafka.writer import KafkaLogWriter

__all__ = ["KafkaLogConsumer", "KafkaLogReader", "KafkaLogWriter"]
