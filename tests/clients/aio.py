"""What a user of aiokafka does with a broker: administration, an idempotent producer, a group that goes on where it stopped.

Takes the broker's address and a prefix for names; prints a line for each thing that worked, what became of a transaction, and ends with an error
at the first thing that went wrong.
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

bootstrap, prefix = sys.argv[1], sys.argv[2]
topic, group = f"{prefix}aio", f"{prefix}aio-group"
RECORDS = 300
PATIENCE = 30


def worked(what):
    print(f"worked: {what}", flush=True)


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")
    worked(what)


async def becomes(find, wanted, what):
    """Apache Kafka's brokers learn of a change a moment after its controller has confirmed it."""
    for _ in range(PATIENCE * 20):
        if (found := await find()) == wanted:
            break
        await asyncio.sleep(0.05)
    expect(found, wanted, what)


async def read(count):
    """The next `count` values of the topic, read and committed by the group."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        values = [(await asyncio.wait_for(consumer.getone(), PATIENCE)).value for _ in range(count)]
        await consumer.commit()
        return sorted(values)
    finally:
        await consumer.stop()


async def transact():
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{prefix}aio-id")
    try:
        await producer.start()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"in a transaction")
        return "work"
    except KafkaError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await producer.stop()


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "3600000"})])

    async def listed():
        return topic in await admin.list_topics()

    async def partitions():
        return len((await admin.describe_topics([topic]))[0]["partitions"])

    await becomes(listed, True, "a topic is created and listed")
    await admin.create_partitions({topic: NewPartitions(3)})
    await becomes(partitions, 3, "partitions are added")
    settings = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    expect("3600000" in str(settings), True, "settings are described")
    expect(len((await admin.describe_cluster())["brokers"]), 1, "the cluster is described")

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, compression_type="gzip")
    await producer.start()
    sent = [await producer.send(topic, key=b"%d" % n, value=b"value %d" % n) for n in range(RECORDS)]
    places = {(done.partition, done.offset) for done in await asyncio.wait_for(asyncio.gather(*sent), PATIENCE)}
    expect(len(places), RECORDS, "an idempotent producer writes each record to a place of its own")
    expect(await read(RECORDS), sorted(b"value %d" % n for n in range(RECORDS)), "a group reads all records once")
    await producer.send_and_wait(topic, key=b"next", value=b"more")
    expect(await read(1), [b"more"], "the group goes on where it stopped")
    await producer.stop()

    looker = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await looker.start()
    parts = [TopicPartition(topic, n) for n in range(3)]
    expect(sum((await looker.end_offsets(parts)).values()), RECORDS + 1, "end offsets are told")
    expect(sum((await looker.beginning_offsets(parts)).values()), 0, "beginning offsets are told")
    found = await looker.offsets_for_times({part: 0 for part in parts})
    expect(all(found.values()), True, "offsets are found by time")
    await looker.stop()

    groups = await admin.list_consumer_groups()
    expect(group in str(groups), True, "the group is listed")
    described = await admin.describe_consumer_groups([group])
    expect("Empty" in str(described), True, "the group is empty when its member has left")
    print("transactions:", await transact(), flush=True)
    await admin.delete_topics([topic])
    await becomes(listed, False, "the topic is deleted")
    await admin.close()


asyncio.run(main())
