"""A small client of Kluster, written from docs/protocol.md alone. Needs kafka-python.

    client = Client("localhost:9092")
    done = client.execute("insert into person(id, name) values ($1, $2)", [1, "Jan"], ack="all")
    people = client.query("select * from person where id = $1", [1])      # read your writes

One request at a time: it sends, waits for answers, sends again, and ends. It is an example to read, not a product: no threads, no streams.
"""

import json
import os
import time
import uuid
from collections import defaultdict

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

MAX_RECORD_BYTES = 8 * 1024 * 1024 + 64 * 1024
RETRY_EVERY_S = 60.0
FRESH_S = 1.0
ACKS = ("logged", "first", "quorum", "all")


class Refused(Exception):
    """The request had no effect; `code` is Kluster's own, `response` the whole answer."""

    def __init__(self, response):
        super().__init__(response["resultCode"])
        self.response = response
        self.code = response["error"]["code"]


class TimedOut(Exception):
    """No (or not enough) answers in time. The outcome is open: ask again with the same `message_id` and `since_offset`."""

    def __init__(self, message_id, since_offset, answered):
        super().__init__(f"request {message_id}: answered by {answered or 'nobody'} in time")
        self.message_id, self.since_offset, self.answered = message_id, since_offset, answered


class NoVoters(Exception):
    """No node has joined the cluster yet, so there is nothing to count; only `first` works."""


class Diverged(Exception):
    """Two nodes answered one request at one offset with different chains: they hold different data."""


def murmur2(data):
    """MurmurHash2 as in docs/protocol.md, section Partitions."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        for n, byte in enumerate(rest):
            h ^= byte << 8 * n
        h = h * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key, count):
    """The partition of RESPONSES that answers to this client id go to."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % count


class Client:
    """A connection to one database of a cluster. `session_offset` is the highest offset of ALL that it has seen."""

    def __init__(self, bootstrap, client_id=None, prefix="", timeout=30.0, **kafka):
        self.client_id = client_id or f"python-{uuid.uuid4()}"
        self.prefix, self.timeout = prefix, timeout
        self.session_offset = None
        self._end_known_at = 0.0
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, max_request_size=MAX_RECORD_BYTES, **kafka
        )
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            auto_offset_reset="none",
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
            fetch_max_wait_ms=100,
            **kafka,
        )
        self._all = TopicPartition(self._name("ALL"), 0)
        self._listen()

    def execute(self, sql, params=None, ack="first", message_id=None, since_offset=None, timeout=None):
        """One statement on every node. Gives the answer once `ack` is reached; raises Refused, TimedOut, NoVoters or Diverged.

        A retry repeats `message_id` and `since_offset` as they were (TimedOut tells them), None included.
        """
        return self._through_all(_body(sql, params), ack, message_id, since_offset, timeout)

    def transaction(self, statements, ack="first", message_id=None, since_offset=None, timeout=None):
        """Statements, each {"sqlString", "params", "expectRows"}, that take effect together or not at all."""
        return self._through_all({"statements": statements}, ack, message_id, since_offset, timeout)

    def query(self, sql, params=None, level="session", timeout=None):
        """Rows read on one node, as dictionaries. Levels: eventual, session (reads this client's writes), strong, ordered."""
        if level == "ordered":
            answer = self.execute(sql, params, timeout=timeout)
            # An attempt before was executed and its rows are gone: a read may be asked anew under a new id.
            return self.query(sql, params, level, timeout) if answer.get("resultGone") else answer["result"]
        min_offset = {"eventual": lambda: None, "session": lambda: self.session_offset, "strong": self.barrier}[level]()
        return self._through_one(_body(sql, params), min_offset, timeout)["result"]

    def barrier(self):
        """Appends a barrier to ALL. Its offset lies behind everything that was acknowledged before."""
        value = json.dumps({"control": "barrier"}).encode()
        placed = self._producer.send(self._all.topic, value, partition=0, headers=[("kluster-kind", b"control")]).get(self.timeout)
        self._see(placed.offset)
        return placed.offset

    def close(self):
        self._consumer.close()
        self._producer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- Sending ------------------------------------------------------------------------------------------------------------

    def _through_all(self, body, ack, message_id, since_offset, timeout):
        if ack not in ACKS:
            raise ValueError(f"ack is one of {', '.join(ACKS)}, not {ack!r}")
        if message_id is None:
            message_id, since_offset = str(uuid.uuid4()), self._newest_offset()
        request = {"messageId": message_id, "clientId": self.client_id, **body}
        if since_offset is not None:
            request["sinceOffset"] = since_offset
        deadline = time.monotonic() + (timeout or self.timeout)
        tally = Tally(ack)
        value = json.dumps(request).encode()
        next_send, placed = 0.0, None
        while time.monotonic() < deadline:
            if time.monotonic() >= next_send:
                placed, next_send = self._send(self._all.topic, 0, value, deadline), time.monotonic() + RETRY_EVERY_S
                if placed is None:
                    next_send = time.monotonic() + 0.5
                elif ack == "logged":
                    return {"requestId": message_id, "offset": placed}
            for answer in self._answers(message_id, "ALL", min(deadline, next_send)):
                self._see(answer["offset"])
                if tally.add(answer):
                    return _checked(tally.answer)
        raise TimedOut(message_id, since_offset, tally.nodes())

    def _through_one(self, body, min_offset, timeout):
        deadline = time.monotonic() + (timeout or self.timeout)
        topic = self._name("ONE")
        partitions = sorted(self._producer.partitions_for(topic))
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut("(a read)", None, [])
            # Each attempt has an id of its own: parts of two executions are never joined.
            message_id = str(uuid.uuid4())
            request = {"messageId": message_id, "clientId": self.client_id, **body, "timeoutMs": int(left * 1000)}
            if min_offset is not None:
                request["minOffset"] = min_offset
            partition = partitions[int.from_bytes(os.urandom(4), "little") % len(partitions)]
            self._send(topic, partition, json.dumps(request).encode(), deadline)
            answer = self._one_answer(message_id, min(deadline, time.monotonic() + max(left / 3, 1.0)))
            if answer is None or answer.get("error", {}).get("code") in ("not_yet", "unavailable"):
                continue
            if "offset" in answer:
                self._see(answer["offset"])
            return _checked(answer)

    def _one_answer(self, message_id, until):
        parts = Parts()
        while time.monotonic() < until:
            for response in self._answers(message_id, "ONE", until):
                answer = parts.add(response)
                if answer is not None:
                    return answer
        return None

    def _send(self, topic, partition, value, deadline):
        """The record's offset; None: it may or may not be in the log, and may be sent again."""
        try:
            left = max(deadline - time.monotonic(), 0.001)
            offset = self._producer.send(topic, value, partition=partition).get(left).offset
        except KafkaError:
            return None
        if topic == self._all.topic:
            self._see(offset)
            self._end_known_at = time.monotonic()
        return offset

    def _newest_offset(self):
        """An offset below whatever is sent from now on: what was seen just now, else the end of ALL less one; None while ALL is empty."""
        if self.session_offset is not None and time.monotonic() - self._end_known_at < FRESH_S:
            return self.session_offset
        end = self._consumer.end_offsets([self._all])[self._all]
        return end - 1 if end > 0 else None

    # --- Listening ----------------------------------------------------------------------------------------------------------

    def _listen(self):
        """Finds the end of this client's partition of RESPONSES before anything is sent, and reads on from there."""
        topic = self._name("RESPONSES")
        partitions = self._consumer.partitions_for_topic(topic)
        if not partitions:
            raise RuntimeError(f"there is no topic {topic}: create the topics with `kluster-admin topics create`")
        mine = TopicPartition(topic, partition_of(self.client_id, len(partitions)))
        self._consumer.assign([mine])
        self._consumer.seek(mine, self._consumer.end_offsets([mine])[mine])

    def _answers(self, message_id, topic, until):
        """The answers to this request that come next, before `until`."""
        left = max(until - time.monotonic(), 0.0)
        for records in self._consumer.poll(timeout_ms=int(min(left, 0.5) * 1000)).values():
            for record in records:
                response = json.loads(record.value)
                if response["requestId"] == message_id and response["requestTopic"] == topic:
                    yield response

    def _see(self, offset):
        self.session_offset = offset if self.session_offset is None else max(offset, self.session_offset)

    def _name(self, topic):
        return self.prefix + topic


class Tally:
    """Counts answers from ALL: distinct voters, of one membership version, with the same outcome."""

    def __init__(self, ack):
        self.ack = ack
        self.answer = None
        self._parts = Parts()
        self._groups = defaultdict(dict)

    def add(self, response):
        """True once enough nodes have answered alike; then `answer` is one of their answers."""
        whole = self._parts.add(response)
        if whole is None:
            return False
        members = whole["members"]
        if not members["voter"] and members["voters"] > 0:
            return False
        if self.ack == "first":
            self.answer = whole
            return True
        if members["voters"] == 0:
            raise NoVoters("no node has joined the cluster yet; only ack='first' works")
        self._check_chain(whole)
        group = self._groups[members["version"], whole.get("error", {}).get("code")]
        group[whole["nodeId"]] = whole
        self.answer = whole
        return len(group) >= (members["voters"] if self.ack == "all" else members["voters"] // 2 + 1)

    def nodes(self):
        return sorted({node for group in self._groups.values() for node in group})

    def _check_chain(self, whole):
        for group in self._groups.values():
            for other in group.values():
                if other["offset"] == whole["offset"] and other["chain"] != whole["chain"]:
                    raise Diverged(f"nodes {other['nodeId']} and {whole['nodeId']} differ at offset {whole['offset']}")


class Parts:
    """Joins the parts of answers: only those of one node under one messageId, in their order."""

    def __init__(self):
        self._open = {}

    def add(self, response):
        """The whole answer, if this part completes it."""
        if "part" not in response:
            return response
        key = response["nodeId"], response["messageId"]
        number, last = response["part"], response.get("lastPart", False)
        joined, expected = self._open.get(key, (None, 0))
        if number < expected:
            return None  # sent again
        if number > expected:
            self._open.pop(key, None)  # a part was missed: this execution cannot be joined
            return None
        joined = response if joined is None else _join(joined, response)
        self._open[key] = joined, number + 1
        return self._open.pop(key)[0] if last else None


def _join(joined, part):
    if "error" in part:
        return part  # broken off: the rows before are not all
    if "result" in part:
        joined["result"] += part["result"]
        joined["rowsAffected"] = part.get("rowsAffected", joined.get("rowsAffected"))
    for index, statement in enumerate(part.get("results", [])):
        if index == len(joined["results"]):
            joined["results"].append(statement)
            continue
        into = joined["results"][index]
        into["result"] += statement["result"]
        into["rowsAffected"] = max(into["rowsAffected"], statement["rowsAffected"])
    return joined


def _body(sql, params):
    return {"sqlString": sql, "params": params} if params else {"sqlString": sql}


def _checked(answer):
    if answer["resultCode"] != "OK":
        raise Refused(answer)
    return answer
