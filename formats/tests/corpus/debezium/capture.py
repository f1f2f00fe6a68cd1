#!/usr/bin/env python3
"""Captures what Debezium's connectors write, and beside it what the database itself says of every row.

    capture.py postgres|mariadb [odd]

Creates the tables of schema.sql, inserts the rows of steps.py, starts one connector for each variant (all of them see the same statements),
runs the statements of steps.py while it selects each touched row before and after, and writes

    DATABASE/VARIANT.TABLE.jsonl   one topic: a raw Kafka record a line, in the order of offsets
    DATABASE/truth.json            the rows at the snapshot, before and after each statement, and at the end, as the database's text
    DATABASE/avro-schemas.json     what the registry holds under the ids in the Avro records

With `odd`, the same for odd.schema.sql (odd.truth.json, odd.avro-schemas.json). Where the services are: KAFKA, CONNECT, REGISTRY, POSTGRES_PORT,
MARIADB_PORT in the environment. The README beside the corpora says how to start them.
"""

import base64
import importlib.util
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

sys.dont_write_bytecode = True
KAFKA = os.environ.get("KAFKA", "127.0.0.1:9092")
CONNECT = os.environ.get("CONNECT", "http://127.0.0.1:8083")
REGISTRY = os.environ.get("REGISTRY", "http://127.0.0.1:8081")
PORTS = {"postgres": int(os.environ.get("POSTGRES_PORT", "5433")), "mariadb": int(os.environ.get("MARIADB_PORT", "3307"))}
HERE = Path(__file__).resolve().parent


def json_converter(schemas):
    converter = {}
    for part in ("key", "value"):
        converter[f"{part}.converter"] = "org.apache.kafka.connect.json.JsonConverter"
        converter[f"{part}.converter.schemas.enable"] = str(schemas).lower()
    return converter


def avro_converter():
    """Confluent's wire format by Apicurio's converter: a zero byte, then the schema's id in four bytes."""
    converter = {}
    for part in ("key", "value"):
        converter[f"{part}.converter"] = "io.apicurio.registry.utils.converter.AvroConverter"
        settings = {
            "url": f"{REGISTRY}/apis/registry/v2",
            "auto-register": "true",
            "find-latest": "true",
            "as-confluent": "true",
            "use-id": "contentId",
            "headers.enabled": "false",
        }
        converter |= {f"{part}.converter.apicurio.registry.{name}": value for name, value in settings.items()}
    return converter | {"schema.name.adjustment.mode": "avro", "field.name.adjustment.mode": "avro"}


def flat(mode, **more):
    unwrap = {"type": "io.debezium.transforms.ExtractNewRecordState", "delete.tombstone.handling.mode": mode} | more
    return {"transforms": "unwrap"} | {f"transforms.unwrap.{name}": value for name, value in unwrap.items()}


JSON, SCHEMAS = json_converter(False), json_converter(True)
ALL = ("payment", "payment_full", "ledger", "journal")
# Variant: its settings, and the tables it captures (those that the database has).
VARIANTS = {
    "json-schemas": (SCHEMAS, ("payment", "ledger")),
    "json": (JSON, ALL),
    # As the others have it, a null in a column with a default travels as that default.
    "json-nulls": (JSON | {"value.converter.replace.null.with.default": "false"}, ("payment", "payment_full")),
    "json-decimal-string": (JSON | {"decimal.handling.mode": "string"}, ("payment",)),
    "json-decimal-double": (JSON | {"decimal.handling.mode": "double"}, ("payment",)),
    "json-time-connect": (JSON | {"time.precision.mode": "connect"}, ("payment",)),
    "json-time-isostring": (JSON | {"time.precision.mode": "isostring"}, ("payment",)),
    "json-time-adaptive-microseconds": (JSON | {"time.precision.mode": "adaptive_time_microseconds"}, ("payment",)),
    "json-transactions": (JSON | {"provide.transaction.metadata": "true"}, ("payment", "ledger")),
    "json-flat": (
        JSON | flat("tombstone", **{"add.fields": "op,table,source.ts_ms,source.snapshot", "add.headers": "op,db"}),
        ALL,
    ),
    "json-flat-rewrite": (JSON | flat("rewrite-with-tombstone"), ("payment", "payment_full", "ledger")),
    "json-schemas-flat": (SCHEMAS | flat("tombstone"), ("payment", "ledger")),
    "avro": (avro_converter(), ALL),
}
MODES = {
    "decimal-string": {"decimal.handling.mode": "string"},
    "decimal-double": {"decimal.handling.mode": "double"},
    **{
        f"time-{name}": {"time.precision.mode": name.replace("adaptive-", "adaptive_time_")}
        for name in ("connect", "isostring", "adaptive-microseconds", "microseconds", "nanoseconds")
    },
}
ODD_VARIANTS = {
    "json-schemas": (SCHEMAS, ("odd", "types")),
    **{f"json-{name}": (JSON | mode, ("odd", "types")) for name, mode in MODES.items()},
    **{f"json-schemas-{name}": (SCHEMAS | mode, ("types",)) for name, mode in MODES.items()},
    "avro": (avro_converter(), ("odd", "types")),
    "avro-time-connect": (avro_converter() | MODES["time-connect"], ("types",)),
}


class Postgres:
    schema = "public"
    # Of the connector that hands over a table's text.
    connector = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.user": "postgres",
        "database.password": "postgres",
        "database.dbname": "corpus",
        "plugin.name": "pgoutput",
        "publication.autocreate.mode": "filtered",
    }

    def __init__(self, port):
        import psycopg

        admin = psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True)
        for (slot,) in admin.execute("SELECT slot_name FROM pg_replication_slots").fetchall():
            admin.execute("SELECT pg_drop_replication_slot(%s)", [slot])
        admin.execute("DROP DATABASE IF EXISTS corpus WITH (FORCE)")
        admin.execute("CREATE DATABASE corpus")
        self.db = psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="corpus")
        self.run("SET TimeZone = 'UTC'")
        self.commit()
        self.version = self.rows("SHOW server_version")[0]["server_version"].split()[0]

    def run(self, sql):
        self.db.execute(sql)

    def script(self, text):
        self.db.execute(text)
        self.commit()

    def rows(self, sql):
        """Rows as the server's own text, not as the client reads it."""
        result = self.db.execute(sql).pgresult
        names = [result.fname(i).decode() for i in range(result.nfields)]
        text = lambda r, c: None if result.get_value(r, c) is None else result.get_value(r, c).decode()
        return [{name: text(r, c) for c, name in enumerate(names)} for r in range(result.ntuples)]

    def transaction(self):
        return self.rows("SELECT pg_current_xact_id() AS x")[0]["x"]

    def commit(self):
        self.db.commit()

    def rollback(self):
        self.db.rollback()

    def settings(self, name, number):
        mine = {"slot.name": f"s{number}", "publication.name": f"p{number}", "skipped.operations": "none"}
        return self.connector | mine


class MariaDb:
    schema = "corpus"
    connector = {
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        "database.user": "root",
        "database.password": "",
        "database.include.list": "corpus",
        "schema.history.internal": "io.debezium.relational.history.MemorySchemaHistory",
        "include.schema.changes": "false",
    }

    def __init__(self, port):
        import pymysql

        # No conversions of what is read: rows as the server's own text.
        writing = {kind: convert for kind, convert in pymysql.converters.conversions.items() if isinstance(kind, type)}
        self.db = pymysql.connect(host="127.0.0.1", port=port, user="root", charset="utf8mb4", conv=writing)
        self.run("DROP DATABASE IF EXISTS corpus")
        self.run("CREATE DATABASE corpus")
        self.run("USE corpus")
        self.run("SET time_zone = '+00:00'")
        self.version = self.rows("SELECT version() v")[0]["v"].split("-")[0]

    def run(self, sql):
        with self.db.cursor() as cursor:
            cursor.execute(sql)

    def script(self, text):
        for statement in "\n".join(line.split(" --")[0] for line in text.splitlines() if not line.startswith("--")).split(";"):
            if statement.strip():
                self.run(statement)

    def rows(self, sql):
        with self.db.cursor() as cursor:
            cursor.execute(sql)
            names = [column[0] for column in cursor.description]
            text = lambda value: "0x" + value.hex() if isinstance(value, bytes) else value
            return [dict(zip(names, map(text, row))) for row in cursor.fetchall()]

    def transaction(self):
        return None

    def commit(self):
        self.db.commit()

    def rollback(self):
        self.db.rollback()

    def settings(self, name, number):
        mine = {"database.server.id": str(7000 + number), "skipped.operations": "none"}
        return self.connector | mine


def http(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read()
    return json.loads(text) if text else None


def topic_records(topics, isolation="read_committed"):
    """Every record of the topics, by topic, in the order of offsets."""
    consumer = Consumer({"bootstrap.servers": KAFKA, "group.id": str(uuid.uuid4()), "isolation.level": isolation})
    known = consumer.list_topics(timeout=10).topics
    records = {topic: [] for topic in topics}
    left = {}
    for topic in topics:
        for partition in known[topic].partitions if topic in known else ():
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            if high > low:
                left[(topic, partition)] = high
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in left])
    while left:
        message = consumer.poll(10)
        assert message is not None and not message.error(), message and message.error()
        records[message.topic()].append(message)
        if message.offset() + 1 >= left.get((message.topic(), message.partition()), 0):
            left.pop((message.topic(), message.partition()), None)
    consumer.close()
    return records


def line(message):
    text = lambda value: None if value is None else base64.b64encode(value).decode()
    return json.dumps(
        {
            "key": text(message.key()),
            "value": text(message.value()),
            "headers": [[name, text(value)] for name, value in message.headers() or []],
            "timestamp": message.timestamp()[1],
            "partition": message.partition(),
            "offset": message.offset(),
        }
    )


def failed(name):
    status = http("GET", f"{CONNECT}/connectors/{name}/status")
    return next((task["trace"] for task in status["tasks"] if task["state"] == "FAILED"), None)


def run_statements(database, steps):
    """Runs the statements, and returns them with the rows that they touched, each as it was and as it is then."""
    truth, committed = [], True
    rows = lambda table, where: None if where is None else database.rows(f"SELECT * FROM {table} WHERE {where}")[0]
    for number, step in enumerate(steps, 1):
        if step == "ROLLBACK":
            committed = False
            continue
        done = []
        for sql, touched in step:
            truncated = touched == "TRUNCATE"
            old = [] if truncated else [rows(table, before) for table, before, _ in touched]
            database.run(sql)
            new = [] if truncated else [rows(table, after) for table, _, after in touched]
            changes = [{"table": t[0], "old": o, "new": n} for t, o, n in zip(touched, old, new)] if not truncated else "truncate"
            done.append({"sql": sql, "changes": changes})
        transaction = database.transaction()
        database.commit() if committed else database.rollback()
        truth.append({"transaction": transaction, "committed": committed, "statements": done})
        committed = True
    return truth


def main(which, odd):
    folder = HERE / which
    spec = importlib.util.spec_from_file_location("steps", folder / "steps.py")
    steps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(steps)
    prefix = "odd." if odd else ""
    tables, keys = (["odd", "types"], {"odd": "id", "types": "id"}) if odd else (steps.TABLES, steps.KEYS)
    variants = ODD_VARIANTS if odd else VARIANTS
    for name in http("GET", f"{CONNECT}/connectors"):
        http("DELETE", f"{CONNECT}/connectors/{name}")
    time.sleep(3)

    database = (Postgres if which == "postgres" else MariaDb)(PORTS[which])
    database.script((folder / f"{prefix}schema.sql").read_text())
    for sql in steps.ODD_SEED if odd else steps.SEED:
        database.run(sql)
    database.commit()
    everything = lambda: {table: database.rows(f"SELECT * FROM {table} ORDER BY {keys[table]}") for table in tables}
    truth = {"database": f"{which} {database.version}", "snapshot": everything()}
    database.commit()

    # A topic prefix that an earlier run did not use.
    run = uuid.uuid4().hex[:6]
    topics, file_of = {}, {}
    for number, (name, (settings, wanted)) in enumerate(variants.items(), 1):
        mine = [table for table in wanted if table in tables]
        topic_prefix = f"{name.replace('-', '_')}_{run}"
        connector = database.settings(name, number) | {
            "database.hostname": "127.0.0.1",
            "database.port": str(PORTS[which]),
            "topic.prefix": topic_prefix,
            "table.include.list": ",".join(f"{database.schema}.{table}" for table in mine),
            "topic.creation.default.replication.factor": "1",
            "topic.creation.default.partitions": "1",
            "errors.log.enable": "true",
        }
        topics[name] = {table: f"{topic_prefix}.{database.schema}.{table}" for table in mine}
        if name == "json-transactions":
            topics[name]["transaction"] = f"{topic_prefix}.transaction"
        http("PUT", f"{CONNECT}/connectors/{name}/config", connector | settings)

    def wait(what, enough, seconds=120):
        waiting, end = set(topics), time.time() + seconds
        while waiting and time.time() < end:
            time.sleep(1)
            seen = topic_records([t for name in waiting for t in topics[name].values()])
            for name in list(waiting):
                if all(enough(table, seen[topic]) for table, topic in topics[name].items()):
                    waiting.discard(name)
                elif trace := failed(name):
                    print(f"{name} failed: {trace[:3000]}")
                    waiting.discard(name)
        print(f"{what}: waited in vain for {sorted(waiting)}" if waiting else f"{what}: done")

    wait("snapshot", lambda table, seen: len(seen) >= len(truth["snapshot"].get(table, ())))
    truth["steps"] = run_statements(database, steps.ODD_STEPS if odd else steps.STEPS)
    truth["final"] = everything()
    database.commit()
    # The last statement of each run touches one of these tables, and the connectors write in its order.
    last = {"payment": b"the last change", "odd": b"::1" if which == "postgres" else b"last"}
    ends = lambda table, seen: table not in last or any(last[table] in (m.value() or b"") for m in seen)
    wait("changes", ends)
    time.sleep(5)

    seen = topic_records([t for mine in topics.values() for t in mine.values()])
    for name, mine in topics.items():
        for table, topic in mine.items():
            lines = [line(message) for message in seen[topic]]
            path = folder / f"{name}.{table}.jsonl"
            path.write_text("".join(text + "\n" for text in lines))
            print(f"{path.relative_to(HERE)}: {len(lines)} records, {path.stat().st_size} bytes")
    avro = [topic for name, mine in topics.items() if name.startswith("avro") for topic in mine.values()]
    ids = sorted({int.from_bytes(b[1:5]) for t in avro for m in seen[t] for b in (m.key(), m.value()) if b})
    schemas = {str(i): json.loads(http("GET", f"{REGISTRY}/apis/ccompat/v7/schemas/ids/{i}")["schema"]) for i in ids}
    (folder / f"{prefix}avro-schemas.json").write_text(json.dumps(schemas, indent=1) + "\n")
    (folder / f"{prefix}truth.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n")
    for name in topics:
        http("DELETE", f"{CONNECT}/connectors/{name}")
    AdminClient({"bootstrap.servers": KAFKA}).delete_topics([t for mine in topics.values() for t in mine.values()])


if __name__ == "__main__":
    if sys.argv[1:2] not in (["postgres"], ["mariadb"]) or sys.argv[2:] not in ([], ["odd"]):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:] == ["odd"])
