// What a user of kafkajs does with a broker: administration, an idempotent producer, a group that goes on where it stopped.
//
// Takes the broker's address and a prefix for names; prints a line for each thing that worked and what became of a transaction, and ends with an
// error at the first thing that went wrong.
const { Kafka, logLevel, CompressionTypes } = require("kafkajs");

const [bootstrap, prefix] = process.argv.slice(2);
const [topic, group] = [`${prefix}kafkajs`, `${prefix}kafkajs-group`];
const RECORDS = 300;
const PATIENCE_MS = 30_000;

const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING });

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

/** The next `count` values of the topic, read and committed by the group. */
async function read(count) {
  const consumer = kafka.consumer({ groupId: group });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const values = [];
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${values.length} of ${count} records read`)), PATIENCE_MS);
    const eachMessage = async ({ message }) => {
      values.push(message.value.toString());
      if (values.length === count) {
        clearTimeout(late);
        resolve();
      }
    };
    consumer.run({ eachMessage }).catch(reject);
  });
  // It commits what it has been through.
  await consumer.disconnect();
  return values.sort();
}

async function transact() {
  const producer = kafka.producer({ transactionalId: `${prefix}kafkajs-id`, maxInFlightRequests: 1, idempotent: true });
  try {
    await producer.connect();
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: "in a transaction" }] });
    await transaction.commit();
    return "work";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  } finally {
    await producer.disconnect();
  }
}

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  const configEntries = [{ name: "retention.ms", value: "3600000" }];
  await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1, configEntries }] });
  await becomes(async () => (await admin.listTopics()).includes(topic), true, "a topic is created and listed");
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
  const partitions = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length;
  await becomes(partitions, 3, "partitions are added");
  const described = await admin.describeConfigs({ resources: [{ type: 2, name: topic, configNames: ["retention.ms"] }] });
  expect(described.resources[0].configEntries[0].configValue, "3600000", "settings are described");
  expect((await admin.describeCluster()).brokers.length, 1, "the cluster is described");
  expect((await admin.listPartitionReassignments({})).topics, [], "no partition is on its way");
  const acls = { resourceType: 1, resourcePatternType: 1, operation: 1, permissionType: 1 };
  const refused = await admin.describeAcls(acls).then(() => "answered", (error) => error.type);
  expect(refused, "SECURITY_DISABLED", "there are no ACLs");

  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const messages = Array.from({ length: RECORDS }, (_, n) => ({ key: `${n}`, value: `value ${n}`, headers: { n: `${n}` } }));
  await producer.send({ topic, messages, compression: CompressionTypes.GZIP });
  const ends = async () => (await admin.fetchTopicOffsets(topic)).reduce((sum, { offset }) => sum + Number(offset), 0);
  expect(await ends(), RECORDS, "an idempotent producer writes each record once");
  expect(await read(RECORDS), messages.map(({ value }) => value).sort(), "a group reads all records once");
  await producer.send({ topic, messages: [{ key: "next", value: "more" }] });
  expect(await read(1), ["more"], "the group goes on where it stopped");
  await producer.disconnect();

  const groups = async () => (await admin.listGroups()).groups.map(({ groupId }) => groupId).includes(group);
  expect(await groups(), true, "the group is listed");
  await admin.deleteGroups([group]);
  expect(await groups(), false, "an idle group is deleted");
  console.log(`transactions: ${await transact()}`);
  await admin.deleteTopics({ topics: [topic] });
  await becomes(async () => (await admin.listTopics()).includes(topic), false, "the topic is deleted");
  await admin.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
