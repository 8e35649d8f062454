"""What a user of confluent-kafka (librdkafka) does with a broker: administration, an idempotent producer, a group that goes on where it stopped.

Takes the broker's address and a prefix for names; prints a line for each thing that worked, what became of the newer group protocol and of a
transaction, and ends with an error at the first thing that went wrong.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec

bootstrap, prefix = sys.argv[1], sys.argv[2]
topic, group = f"{prefix}confluent", f"{prefix}confluent-group"
RECORDS = 300
PATIENCE = 30


def worked(what):
    print(f"worked: {what}", flush=True)


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")
    worked(what)


def becomes(find, wanted, what):
    """Apache Kafka's brokers learn of a change a moment after its controller has confirmed it."""
    deadline = time.monotonic() + PATIENCE
    while (found := find()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(found, wanted, what)


def done(futures):
    """The results of an administrative call, which raise what went wrong."""
    return [future.result(PATIENCE) for future in futures.values()]


def read(count, **settings):
    """The next `count` values of the topic, read and committed by the group; or the error that ends the reading."""
    base = {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    consumer = Consumer({**base, **settings})
    consumer.subscribe([topic])
    values, deadline = [], time.monotonic() + PATIENCE
    try:
        while len(values) < count and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error():
                return str(message.error())
            if message is not None:
                values.append(message.value())
        consumer.commit(asynchronous=False)
        return sorted(values)
    except KafkaException as error:
        return str(error)
    finally:
        consumer.close()


admin = AdminClient({"bootstrap.servers": bootstrap})
done(admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "3600000"})]))
becomes(lambda: topic in admin.list_topics(timeout=PATIENCE).topics, True, "a topic is created and listed")
done(admin.create_partitions([NewPartitions(topic, 3)]))
becomes(lambda: len(admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions), 3, "partitions are added")
settings = done(admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]))[0]
expect(settings["retention.ms"].value, "3600000", "settings are described")
described = done(admin.describe_topics(TopicCollection([topic]), include_authorized_operations=True))[0]
expect(len(described.authorized_operations), 8, "authorized operations of a topic are told")
cluster = admin.describe_cluster(include_authorized_operations=True).result(PATIENCE)
expect(len(cluster.authorized_operations), 7, "authorized operations of the cluster are told")

producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": "zstd"})
places = set()
for n in range(RECORDS):
    noted = lambda error, message: places.add((message.partition(), message.offset())) if not error else sys.exit(str(error))
    producer.produce(topic, key=b"%d" % n, value=b"value %d" % n, headers={"n": b"%d" % n}, on_delivery=noted)
producer.flush(PATIENCE)
expect(len(places), RECORDS, "an idempotent producer writes each record to a place of its own")
expect(read(RECORDS), sorted(b"value %d" % n for n in range(RECORDS)), "a group reads all records once")
producer.produce(topic, key=b"next", value=b"more")
producer.flush(PATIENCE)
expect(read(1), [b"more"], "the group goes on where it stopped")

ends = admin.list_offsets({TopicPartition(topic, n): OffsetSpec.latest() for n in range(3)})
expect(sum(result.offset for result in done(ends)), RECORDS + 1, "end offsets are told")
listed = admin.list_consumer_groups().result(PATIENCE)
expect(group in [listed.group_id for listed in listed.valid], True, "the group is listed")
described = done(admin.describe_consumer_groups([group], include_authorized_operations=True))[0]
expect(len(described.authorized_operations), 5, "authorized operations of a group are told")
done(admin.delete_consumer_groups([group]))
worked("an idle group is deleted")

newer = read(1, **{"group.protocol": "consumer", "group.id": f"{group}-newer"})
print("newer protocol:", "works" if isinstance(newer, list) else newer, flush=True)

transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{prefix}confluent-id"})
try:
    transactional.init_transactions(PATIENCE)
    transactional.begin_transaction()
    transactional.produce(topic, b"in a transaction")
    transactional.commit_transaction(PATIENCE)
    print("transactions: work", flush=True)
except KafkaException as error:
    print("transactions:", error, flush=True)

done(admin.delete_topics([topic]))
becomes(lambda: topic in admin.list_topics(timeout=PATIENCE).topics, False, "the topic is deleted")
