"""Says hello to a running cluster: python hello.py --bootstrap HOST:PORT. Exit code 0 when everything was as it should be."""

import argparse
import uuid

from kluster_client import Client, Refused


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", default="localhost:9092", metavar="HOST:PORT", help="Kafka's address")
    parser.add_argument("--prefix", default="", help="the topics' prefix, where they have one")
    parser.add_argument("--ack", default="all", choices=["first", "quorum", "all"], help="how many nodes must have done each write")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="how long each request may take")
    arguments = parser.parse_args()
    # A table of its own, so that it can be run again.
    table = f"hello_{uuid.uuid4().hex[:12]}"

    with Client(arguments.bootstrap, prefix=arguments.prefix, timeout=arguments.timeout) as client:
        done = client.execute(f"create table {table} (id int primary key, name varchar(40))", ack=arguments.ack)
        print(f"created {table} at offset {done['offset']}")

        insert = f"insert into {table} (id, name) values ($1, $2)"
        done = client.execute(insert, [1, "Jan"], ack=arguments.ack)
        check(done["rowsAffected"] == 1, done)
        print(f"inserted 1 row at offset {done['offset']}")

        rows = client.query(f"select id, name from {table} where id = $1", [1])
        check(rows == [{"id": 1, "name": "Jan"}], rows)
        print(f"read back {rows[0]} from one node")

        try:
            check(False, client.execute(insert, [1, "Jana"], ack=arguments.ack))
        except Refused as refused:
            check(refused.code == "unique_violation", refused.response)
            print(f"a second row with that key was refused: {refused.code}")

        # As after a lost answer: the same message again, so the same id, the same body, the same sinceOffset.
        message_id, since_offset = str(uuid.uuid4()), client.session_offset
        first = client.execute(insert, [2, "Eva"], ack=arguments.ack, message_id=message_id, since_offset=since_offset)
        again = client.execute(insert, [2, "Eva"], ack=arguments.ack, message_id=message_id, since_offset=since_offset)
        check(again["offset"] == first["offset"] and again["rowsAffected"] == 1, again)
        count = client.query(f"select count(*) as n from {table}", level="strong")
        check(count == [{"n": 2}], count)
        print(f"a message sent twice was executed once, at offset {first['offset']}")

        client.execute(f"drop table {table}", ack=arguments.ack)
        print(f"dropped {table}")


def check(right, what):
    if not right:
        raise SystemExit(f"this is not as it should be: {what}")


if __name__ == "__main__":
    main()
