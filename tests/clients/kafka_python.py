"""What a user of kafka-python does with a broker: administration, an idempotent producer, a group that goes on where it stopped.

Takes the broker's address and a prefix for names; prints a line for each thing that worked and what became of a transaction, and ends with an
error at the first thing that went wrong.
"""

import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

bootstrap, prefix = sys.argv[1], sys.argv[2]
topic, group = f"{prefix}python", f"{prefix}python-group"
RECORDS = 300


def worked(what):
    print(f"worked: {what}", flush=True)


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")
    worked(what)


def becomes(find, wanted, what):
    """Apache Kafka's brokers learn of a change a moment after its controller has confirmed it."""
    deadline = time.monotonic() + 30
    while (found := find()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(found, wanted, what)


def read(count, **settings):
    """The next `count` records of the topic, read and committed by the group."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        consumer_timeout_ms=30_000,
        **settings,
    )
    records = []
    for record in consumer:
        records.append((record.key, record.value))
        if len(records) == count:
            break
    consumer.commit()
    consumer.close()
    return sorted(records)


admin = KafkaAdminClient(bootstrap_servers=bootstrap)
admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "3600000"})])
becomes(lambda: topic in admin.list_topics(), True, "a topic is created and listed")

admin.create_partitions({topic: NewPartitions(3)})
becomes(lambda: len(admin.describe_topics([topic])[0]["partitions"]), 3, "partitions are added")

resource = ConfigResource(ConfigResourceType.TOPIC, topic)
expect("3600000" in str(admin.describe_configs([resource])), True, "settings are described")

producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, compression_type="gzip")
sent = [producer.send(topic, key=b"%d" % n, value=b"value %d" % n, headers=[("n", b"%d" % n)]) for n in range(RECORDS)]
places = {(done.partition, done.offset) for done in (future.get(timeout=30) for future in sent)}
expect(len(places), RECORDS, "an idempotent producer writes each record to a place of its own")

written = sorted((b"%d" % n, b"value %d" % n) for n in range(RECORDS))
expect(read(RECORDS), written, "a group reads all records once")

producer.send(topic, key=b"next", value=b"more").get(timeout=30)
expect(read(1), [(b"next", b"more")], "the group goes on where it stopped")

looker = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None)
parts = [TopicPartition(topic, n) for n in range(3)]
expect(sum(looker.end_offsets(parts).values()), RECORDS + 1, "end offsets are told")
expect(sum(looker.beginning_offsets(parts).values()), 0, "beginning offsets are told")
expect(all(looker.offsets_for_times({part: 0 for part in parts}).values()), True, "offsets are found by time")
looker.close()

expect(group in str(admin.list_groups()), True, "the group is listed")
admin.delete_groups([group])
expect(group in str(admin.list_groups()), False, "an idle group is deleted")

transactional = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{prefix}python-id")
try:
    transactional.init_transactions()
    transactional.begin_transaction()
    transactional.send(topic, b"in a transaction")
    transactional.commit_transaction()
    print("transactions: work", flush=True)
except KafkaError as error:
    print("transactions:", error, flush=True)
transactional.close()

admin.delete_topics([topic])
becomes(lambda: topic in admin.list_topics(), False, "the topic is deleted")
admin.close()
producer.close()
