// What a user of @platformatic/kafka does with a broker: administration, an idempotent producer, a group that goes on where it stopped.
//
// Takes the broker's address and a prefix for names; prints a line for each thing that worked, what became of the newer group protocol and of a
// transaction, and ends with an error at the first thing that went wrong.
import { Admin, Consumer, Producer, stringDeserializers, stringSerializers } from "@platformatic/kafka";

const [bootstrap, prefix] = process.argv.slice(2);
const [topic, group] = [`${prefix}platformatic`, `${prefix}platformatic-group`];
const RECORDS = 300;
const PATIENCE_MS = 30_000;

const base = { clientId: "platformatic", bootstrapBrokers: [bootstrap], retries: 2 };
const admin = new Admin(base);

function worked(what) {
  console.log(`worked: ${what}`);
}

function expect(found, wanted, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
  worked(what);
}

/** Apache Kafka's brokers learn of a change a moment after its controller has confirmed it. */
async function becomes(find, wanted, what) {
  const deadline = Date.now() + PATIENCE_MS;
  let found = await find();
  while (found !== wanted && Date.now() < deadline) {
    await new Promise((resume) => setTimeout(resume, 50));
    found = await find();
  }
  expect(found, wanted, what);
}

/** What an error and those that it is made of say. */
function words(error) {
  return [error, ...(error.errors ?? [])].map(({ message }) => message).join(": ");
}

/** The next `count` values of the topic, read and committed by the group. */
async function read(count, options = {}) {
  const consumer = new Consumer({ ...base, groupId: group, deserializers: stringDeserializers, ...options });
  try {
    const stream = await consumer.consume({ topics: [topic], mode: "committed", fallbackMode: "earliest", autocommit: false, maxWaitTime: 100 });
    const values = [];
    for await (const message of stream) {
      values.push(message.value);
      await message.commit();
      if (values.length === count) break;
    }
    return values.sort();
  } finally {
    await consumer.close(true);
  }
}

async function transact() {
  const producer = new Producer({ ...base, serializers: stringSerializers, idempotent: true, transactionalId: `${prefix}platformatic-id` });
  try {
    const transaction = await producer.beginTransaction();
    await transaction.send({ messages: [{ topic, value: "in a transaction" }] });
    await transaction.commit();
    return "work";
  } catch (error) {
    return words(error);
  } finally {
    await producer.close(true);
  }
}

const configs = [{ name: "retention.ms", value: "3600000" }];
await admin.createTopics({ topics: [topic], partitions: 2, replicas: 1, configs });
await becomes(async () => (await admin.listTopics()).includes(topic), true, "a topic is created and listed");
await admin.createPartitions({ topics: [{ name: topic, count: 3, assignments: null }] });
const partitions = async () => (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitions.length;
await becomes(partitions, 3, "partitions are added");
const resources = [{ resourceType: 2, resourceName: topic, configurationKeys: ["retention.ms"] }];
const [described] = await admin.describeConfigs({ resources });
expect(described.configs[0].value, "3600000", "settings are described");
const lying = async () => {
  const [broker] = await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0, 1, 2] }] });
  return broker.results[0].topics[0].partitions.length;
};
await becomes(lying, 3, "the log dir is described");
expect((await admin.describeClientQuotas({ components: [], strict: false })).length, 0, "there are no quotas");

const producer = new Producer({ ...base, serializers: stringSerializers, idempotent: true });
const messages = Array.from({ length: RECORDS }, (_, n) => ({ topic, key: `${n}`, value: `value ${n}`, headers: { n: `${n}` } }));
await producer.send({ messages, acks: -1, compression: "gzip" });
worked("an idempotent producer writes");
expect(await read(RECORDS), messages.map(({ value }) => value).sort(), "a group reads all records once");
await producer.send({ messages: [{ topic, key: "next", value: "more" }], acks: -1 });
expect(await read(1), ["more"], "the group goes on where it stopped");
await producer.close(true);

const groups = async () => (await admin.listGroups()).has(group);
expect(await groups(), true, "the group is listed");
await admin.deleteGroups({ groups: [group] });
expect(await groups(), false, "an idle group is deleted");
const newer = await read(1, { groupId: `${group}-newer`, groupProtocol: "consumer" }).then(() => "works", words);
console.log(`newer protocol: ${newer}`);
console.log(`transactions: ${await transact()}`);
await admin.deleteTopics({ topics: [topic] });
await becomes(async () => (await admin.listTopics()).includes(topic), false, "the topic is deleted");
await admin.close();
