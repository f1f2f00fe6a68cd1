#!/usr/bin/env python3
"""Reads the captured JSON without schemas and compares every event with truth.json: that the two fit, and what is lost on the way.

Knows three losses, which are the connector's: a null in a column with a default travels as the default (not in json-nulls), a large text
that an update left alone is a placeholder, and an old row of a table with the default replica identity is its key.
"""

import base64
import json
import sys
from collections import Counter
from datetime import datetime, timezone
from decimal import Context, Decimal
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULTS = {"attempts": "1", "urgent": "f", "state": "draft"}
KEYS = {"payment": ["id"], "payment_full": ["id"], "ledger": ["account", "seq"], "journal": []}
SCALES = {"amount": 2, "fx": 10, "whole": 0, "rate": 18}
INTEGERS = {"id", "budget_id", "attempts", "seq"}
# Before the Gregorian calendar, a snapshot's days differ from the database's.
JULIAN = "1582-10-15"
MILLIS, MICROS, DAYS = ("created", "changed"), ("seen",), ("due_on",)
BIG = Context(prec=80)
PLACEHOLDER = "__debezium_unavailable_value"


def unscaled(text, scale):
    return Decimal(int.from_bytes(base64.b64decode(text), "big", signed=True)).scaleb(-scale, context=BIG)


def instant(text):
    at = datetime.fromisoformat(text.replace("+00", "")).replace(tzinfo=timezone.utc)
    passed = at - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (passed.days * 86400 + passed.seconds) * 10**6 + passed.microseconds


def same(database, column, text, value):
    """Whether a value of the record is what the database wrote as `text`."""
    if text is None or value is None:
        return text is value
    if column in INTEGERS:
        return str(value) == text
    if column == "rate" and isinstance(value, dict):
        return unscaled(value["value"], value["scale"]) == Decimal(text)
    if column in SCALES:
        return unscaled(value, SCALES[column]) == Decimal(text)
    if column in ("score", "weight"):
        return value == float(text)
    if column == "urgent":
        return value == (text == "t") if database == "postgres" else str(value) == text
    if column in DAYS + MILLIS + MICROS + ("at", "at6") and text < JULIAN:
        return True
    if column in DAYS:
        return value == instant(text) // (86400 * 10**6)
    if column in MILLIS:
        return value * 1000 == instant(text)
    if column in MICROS:
        return value == instant(text)
    if column in ("at", "at6"):
        return instant(value[:-1]) == instant(text)
    if column in ("cutoff", "cutoff6"):
        return value == instant("1970-01-01 " + text)
    if column in ("receipt", "photo"):
        return base64.b64decode(value).hex() == text[2:]
    if column == "tags":
        quoted = lambda v: "NULL" if v is None else v if v.isalnum() else '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return "{" + ",".join(map(quoted, value)) + "}" == text
    return value == text


def row_fits(database, nulls, truth, old, value, lost):
    if truth is None or value is None:
        return truth is value
    for column, text in truth.items():
        got = value[column]
        if same(database, column, text, got):
            continue
        if got == PLACEHOLDER and old and old[column] == text:
            lost["placeholder"] += 1
        elif text is None and column in DEFAULTS and not nulls and same("postgres", column, DEFAULTS[column], bool(got) if column == "urgent" else got):
            lost["default for null"] += 1
        else:
            return False
    return True


def expected(truth, table):
    """(op, key, old row, new row, the same in the truth) by statement; a changed key is a delete and a create."""
    key = lambda row: {column: row[column] for column in KEYS[table]}
    yield [("r", key(row), None, row, None) for row in truth["snapshot"][table]]
    for step in truth["steps"]:
        for statement in step["statements"] if step["committed"] else ():
            if statement["changes"] == "truncate":
                if f" {table}" in statement["sql"].replace(",", ""):
                    yield [("t", None, None, None, None)]
                continue
            events = []
            for change in statement["changes"]:
                old, new = change["old"], change["new"]
                if change["table"] != table:
                    continue
                if old and new and key(old) != key(new):
                    events += [("d", key(old), old, None, None), ("x", key(old), None, None, None), ("c", key(new), None, new, old)]
                elif old and new:
                    if old != new or truth["database"].startswith("postgres"):
                        events.append(("u", key(new), old, new, old))
                elif new:
                    events.append(("c", key(new), None, new, None))
                else:
                    events += [("d", key(old), old, None, None), ("x", key(old), None, None, None)]
            yield events


def check(database, variant, table):
    truth = json.loads((HERE / database / "truth.json").read_text())
    decode = lambda text: None if text is None else json.loads(base64.b64decode(text))
    records = [json.loads(line) for line in (HERE / database / f"{variant}.{table}.jsonl").read_text().splitlines()]
    lost, at = Counter(), 0
    key_only = database == "postgres" and table in ("payment", "ledger")
    for events in expected(truth, table):
        waiting = list(events)
        for record in records[at : at + len(events)]:
            value, key = decode(record["value"]), decode(record["key"])

            def fits(event):
                op, its_key, old, new, before = event
                if op == "x":
                    return value is None and text(key) == (its_key or None)
                if value is None or value["op"] != op or text(key) != (its_key or None):
                    return False
                if key_only and old and op == "u":
                    # An old row comes only where the key changes.
                    lost["no old row"] += 1
                    old = None
                elif key_only and old:
                    lost["old row is its key"] += 1
                    return value["after"] is None and {k: str(v) for k, v in value["before"].items() if k in KEYS[table]} == its_key
                nulls = variant == "json-nulls"
                old_fits = row_fits(database, nulls, old, None, value["before"], lost)
                return old_fits and row_fits(database, nulls, new, before, value["after"], lost)

            text = lambda key: None if key is None else {name: str(part) for name, part in key.items()}
            match = next((event for event in waiting if fits(event)), None)
            if match is None:
                sys.exit(f"{database}/{variant}.{table} at {record['offset']}: {key} {value}\nis none of {waiting}")
            waiting.remove(match)
        at += len(events)
    assert at == len(records), f"{database}/{variant}.{table}: {len(records)} records, {at} expected"
    print(f"{database}/{variant}.{table}: {at} records fit; lost on the way: {dict(lost) or 'nothing'}")


if __name__ == "__main__":
    for variant, table in [("json", t) for t in KEYS] + [("json-nulls", "payment"), ("json-nulls", "payment_full")]:
        for database in ("postgres", "mariadb"):
            if (HERE / database / f"{variant}.{table}.jsonl").exists():
                check(database, variant, table)
