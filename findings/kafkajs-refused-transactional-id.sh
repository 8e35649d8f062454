#!/usr/bin/env bash
# kafkajs 2.2.4 hides why a coordinator refuses: "Failed to find group coordinator" instead of the broker's error.
#
# Versions: kafkajs 2.2.4 (npm), Apache Kafka 4.3.1 (Maven Central), Node.js and Java 17 or newer as installed.
# Input: a broker with an authorizer, an ACL that denies the transactional id "denied", and a transactional producer of that id.
# Expected: an error that names TRANSACTIONAL_ID_AUTHORIZATION_FAILED (53), which the broker puts into its answer to
#   FindCoordinator. The protocol says which errors that API has (https://kafka.apache.org/protocol#protocol_error_codes);
#   the Java producer, the control below, throws TransactionalIdAuthorizationException.
# Seen: KafkaJSGroupCoordinatorNotFound "Failed to find group coordinator", without a cause and without the code.
# Source: kafkajs, src/cluster/index.js, findGroupCoordinatorMetadata: the retrier bails out with the broker's error, but
#   brokerPool.withBroker (src/cluster/brokerPool.js) swallows it and gives back null, of which that sentence is made.
#
# Prints what was seen; ends with 1 when it is something else.
set -euo pipefail
work=$(mktemp -d)
broker=''
trap '[[ -z $broker ]] || kill "$broker" 2>/dev/null || true; [[ -z $broker ]] || wait "$broker" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

cat >pom.xml <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>4.3.1</version></dependency>
  </dependencies>
</project>
POM
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies "-DoutputDirectory=$work/libs" >mvn.log 2>&1 || { cat mvn.log && exit 2; }
npm install --silent --no-audit --no-fund --prefix "$work" kafkajs@2.2.4 >npm.log 2>&1 || { cat npm.log && exit 2; }

port=$((20000 + RANDOM % 10000))
cat >server.properties <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$work/data
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
PROPERTIES
run() { java -Xmx512m -cp "$work/libs/*" "$@"; }
run kafka.tools.StorageTool format --config server.properties --cluster-id AAAAAAAAAAAAAAAAAAAAAA >format.log 2>&1 || { cat format.log && exit 2; }
java -Xmx512m -cp "$work/libs/*" kafka.Kafka server.properties >broker.log 2>&1 &
broker=$!

# The first command waits for the broker; a denial is in force once it is listed.
acls() { run org.apache.kafka.tools.AclCommand --bootstrap-server "127.0.0.1:$port" "$@" 2>/dev/null; }
acls --add --deny-principal User:ANONYMOUS --transactional-id denied >/dev/null
until acls --list --transactional-id denied | grep -q permissionType=DENY; do :; done

cat >transact.js <<'JS'
const { Kafka, logLevel } = require("kafkajs");
const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.NOTHING, retry: { retries: 2 } });
const producer = kafka.producer({ transactionalId: "denied", idempotent: true, maxInFlightRequests: 1 });
producer
  .connect()
  .then(() => producer.transaction())
  .then(() => "began a transaction", (error) => `${error.name}: ${error.message}; code ${error.code}, cause ${error.cause}`)
  .then((said) => (console.log(said), process.exit()));
JS
seen=$(node transact.js "127.0.0.1:$port")
control=$(run org.apache.kafka.tools.ProducerPerformance --bootstrap-server "127.0.0.1:$port" --topic any --num-records 1 --record-size 1 \
    --throughput -1 --transactional-id denied 2>&1 | grep -o 'TransactionalIdAuthorizationException' | head -n 1 || true)
echo "the Java producer: ${control:-something else}"
echo "kafkajs:           $seen"
[[ $control == TransactionalIdAuthorizationException ]]
[[ $seen == "KafkaJSGroupCoordinatorNotFound: Failed to find group coordinator; code undefined, cause undefined" ]]
