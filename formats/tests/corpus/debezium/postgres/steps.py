"""What happens in PostgreSQL: rows before the connectors start, then transactions of statements, with the rows that each one touches."""

# (statement, [(table, where the old row is, where the new row is)]); None where there is no such row.
ORDINARY = {
    "id": "1", "budget_id": "7", "attempts": "3", "amount": "1234.50", "rate": "0.0725", "fx": "1.0842500000", "score": "0.1",
    "weight": "2.5", "urgent": "true", "currency": "'EUR'", "payee": "'Anna Schmidt'", "note": "'first'", "due_on": "'2026-03-31'",
    "cutoff": "'17:30:00'", "created": "'2026-01-05 09:00:00'", "changed": "'2026-01-05 09:00:00.123'",
    "seen": "'2026-01-05 09:00:00.123456'", "at": "'2026-01-05 09:00:00.123456+02'", "ref": "'7f2c4a0e-9b1d-4c3e-8f5a-6d7e8f9a0b1c'",
    "meta": "'{\"b\": 1,  \"a\": [1, 2.50, null], \"a\": \"twice\"}'", "metab": "'{\"b\": 1, \"a\": [1, 2.50, null], \"a\": \"twice\"}'",
    "receipt": r"'\x00ff10feed'", "tags": "ARRAY['rent', 'fixed']", "state": "'sent'",
}
DIFFICULT = {
    "id": "2", "budget_id": "-2147483648", "attempts": "-32768", "amount": "-0.01", "rate": "-120.10", "fx": "-0.0000000001",
    "score": "-1.7976931348623157e308", "weight": "-3.4028235e38", "urgent": "false", "currency": "'E'",
    "payee": "'O''Brien \"quoted\" \\ back'", "note": "E'línea uno\\nline two\\t\\u20ac \\U0001F4B6 \\u0001 end'", "due_on": "'1969-12-31'",
    "cutoff": "'00:00:00.000001'", "created": "'1969-12-31 23:59:59'", "changed": "'1969-12-31 23:59:59.999'",
    "seen": "'1969-12-31 23:59:59.999999'", "at": "'1969-12-31 23:59:59.999999+00'", "ref": "'00000000-0000-0000-0000-000000000000'",
    "meta": "'\"just text\"'", "metab": "'[]'", "receipt": r"'\x'", "tags": "ARRAY['', NULL, 'a,b', '{\"x\"}', 'ü']", "state": "'it''s off'",
}
EMPTY = {"id": "3", "budget_id": "0", "attempts": "NULL", "urgent": "NULL", "payee": "''", "state": "NULL"}
# The key is the first integer that a double cannot hold.
EXTREME = {
    "id": "9007199254740993", "budget_id": "2147483647", "attempts": "32767", "amount": "9999999999999999.99",
    "rate": "123456789012345678901234567890.123456789", "fx": "9999999999.9999999999", "score": "5e-324", "weight": "1.17549435e-38",
    "urgent": "true", "currency": "''", "payee": "'" + "x" * 100 + "'", "note": "''", "due_on": "'9999-12-31'", "cutoff": "'23:59:59.999999'",
    "created": "'9999-12-31 23:59:59'", "changed": "'0001-01-01 00:00:00.001'", "seen": "'9999-12-31 23:59:59.999999'",
    "at": "'0001-01-01 00:00:00+00'", "ref": "'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'", "meta": "'null'", "metab": "'null'",
    "receipt": "decode(repeat('a5', 40), 'hex')", "tags": "'{}'", "state": "'paid'",
}
# 2,240 characters that do not compress.
BIG = "(SELECT string_agg(md5(i::text), '') FROM generate_series({}, {}) i)"


def insert(table, row):
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})"


def one(table, row):
    """An insert, as a statement with the row it makes."""
    return (insert(table, row), [(table, None, f"id = {row['id']}")])


def change(table, what, key, new_key=None):
    return (f"UPDATE {table} SET {what} WHERE {key}", [(table, key, new_key or key)])


def delete(table, key):
    return (f"DELETE FROM {table} WHERE {key}", [(table, key, None)])


TABLES = ["payment", "payment_full", "ledger", "journal"]
KEYS = {"payment": "id", "payment_full": "id", "ledger": "account, seq", "journal": "what"}
LEDGER = "INSERT INTO ledger (seq, account, amount, memo) VALUES "

SEED = [
    *(insert("payment", row) for row in (ORDINARY, DIFFICULT, EMPTY, EXTREME)),
    insert("payment_full", ORDINARY),
    insert("payment_full", DIFFICULT),
    LEDGER + "(1, 'cash', 10.00, 'opening'), (1, 'Bank, \"north\"', -10.00, NULL)",
    "INSERT INTO journal VALUES ('opened', 1.00)",
]

FIFTH = ORDINARY | {"id": "5", "amount": "0.00", "note": "'fifth'", "big": BIG.format(1, 70)}
SIXTH = EMPTY | {"id": "6", "payee": "'six'", "amount": "6.00"}

# Each one a transaction.
STEPS = [
    [one("payment", FIFTH)],
    # The large text is untouched: what comes instead of it?
    [change("payment", "amount = 5.25, note = 'text untouched'", "id = 5")],
    [change("payment", "state = 'paid', urgent = NULL, at = '2026-10-25 02:30:00+02', tags = tags || ARRAY['settled']", "id = 1")],
    # Several statements, two tables, one row changed twice.
    [
        one("payment", SIXTH),
        change("payment", "amount = 6.50, metab = '{\"k\": 9007199254740993}'", "id = 6"),
        (LEDGER + "(2, 'cash', 6.50, 'six')", [("ledger", None, "account = 'cash' AND seq = 2")]),
        (LEDGER + "(3, 'cash', -6.50, 'six back')", [("ledger", None, "account = 'cash' AND seq = 3")]),
    ],
    # The key itself changes.
    [change("payment", "id = 20, note = 'was 2'", "id = 2", "id = 20")],
    [delete("payment", "id = 3")],
    # One that is taken back.
    "ROLLBACK",
    [one("payment", EMPTY | {"id": "99"}), change("payment", "amount = 99", "id = 1")],
    # The same key goes and comes again in one transaction.
    [delete("payment", "id = 6"), one("payment", SIXTH | {"note": "'again'"})],
    # Nothing changes, yet it is an update.
    [change("payment", "note = note", "id = 1")],
    # The key changes beside a large text that does not.
    [change("payment", "id = 50", "id = 5", "id = 50")],
    [change("payment", f"big = {BIG.format(101, 170)}", "id = 50")],
    [change("payment", "big = NULL, note = NULL, amount = NULL", "id = 50")],
    [change("payment", "amount = -9999999999999999.99, rate = 1e-20, note = ''", "id = 50")],
    [delete("payment", "id = 9007199254740993")],
    # Two rows by one statement.
    [
        (
            "UPDATE payment SET attempts = attempts + 1 WHERE id IN (1, 20)",
            [("payment", "id = 1", "id = 1"), ("payment", "id = 20", "id = 20")],
        )
    ],
    [change("ledger", "amount = 10.01, memo = 'corrected'", "account = 'cash' AND seq = 1")],
    [change("ledger", "account = 'vault'", "account = 'cash' AND seq = 2", "account = 'vault' AND seq = 2")],
    [delete("ledger", "account = 'Bank, \"north\"' AND seq = 1")],
    [("INSERT INTO journal VALUES ('noted', 2.50)", [("journal", None, "what = 'noted'")])],
    [change("journal", "amount = 3.50", "what = 'noted'")],
    [delete("journal", "what = 'opened'")],
    # The table with whole old rows.
    [one("payment_full", FIFTH)],
    [change("payment_full", "amount = 5.25, note = 'text untouched'", "id = 5")],
    [change("payment_full", "id = 50", "id = 5", "id = 50")],
    [change("payment_full", "note = note", "id = 2")],
    [delete("payment_full", "id = 2")],
    [delete("payment_full", "id = 50")],
    [("TRUNCATE payment, payment_full", "TRUNCATE")],
    [one("payment", SIXTH), one("payment_full", SIXTH)],
    [one("payment", ORDINARY | {"id": "-9223372036854775808", "tags": "NULL"})],
    [change("payment", "note = 'the last change'", "id = 6")],
]

ODD = {
    1: {"n": "'NaN'", "n2": "'NaN'", "d": "'NaN'", "f": "'NaN'", "nums": "ARRAY['NaN'::numeric, 1.5]"},
    2: {"d": "'Infinity'", "f": "'Infinity'"},
    3: {"d": "'-Infinity'", "f": "'-Infinity'"},
    4: {"day": "'infinity'", "ts": "'infinity'", "ts3": "'infinity'", "tz": "'infinity'"},
    5: {"day": "'-infinity'", "ts": "'-infinity'", "ts3": "'-infinity'", "tz": "'-infinity'"},
    6: {"day": "'4713-01-01 BC'", "ts": "'4713-01-01 00:00:00 BC'", "ts3": "'0044-03-15 12:00:00.5 BC'", "tz": "'0044-03-15 12:00:00+00 BC'"},
    7: {"day": "'200000-12-31'", "ts": "'294246-12-31 23:59:59.999999'", "ts3": "'10000-01-01'", "tz": "'10000-01-01 00:00:00+00'"},
    8: {"day": "'1582-10-10'", "ts": "'1582-10-10 12:00:00.000001'", "ts3": "'1500-02-28 12:00'", "tz": "'1582-10-10 12:00:00+00'"},
    9: {"t": "'24:00:00'", "t3": "'24:00:00'", "ttz": "'24:00:00+00'", "d": "'-0'", "f": "'-0'", "n": "1e-30", "span": "'-1 mons 2 days -00:00:00.000001'"},
    10: {
        "n": "1e40", "n2": "-12345678.90", "d": "1e16", "f": "16777216", "day": "'2024-02-29'", "ts": "'2026-03-29 02:30:00'",
        "ts3": "'2026-03-29 02:30:00.0005'", "tz": "'2026-03-29 02:30:00.5-11:30'", "t": "'12:34:56.789'", "t3": "'12:34:56.789'",
        "ttz": "'12:34:56.789+05:30'", "span": "'1 year 2 mons 3 days 04:05:06.789'", "bits": "B'000000001101'", "bit1": "B'1'",
        "cash": "1234.5", "ints": "'{1,NULL,-2147483648}'", "nums": "'{1.50,NULL,-0.01}'", "addr": "'10.1.0.0/16'", "pt": "'(1.5,-2)'",
        "days": "'[2026-01-01,2026-02-01)'",
    },
    11: {"n": "0"},
    # PostgreSQL 14 and later.
    12: {"n": "'Infinity'"},
    13: {"n": "'-Infinity'"},
}
ODD_SEED = [insert("odd", {"id": str(key)} | row) for key, row in ODD.items()]
# The same rows again, as live changes: they take another way through the connector.
ODD_STEPS = [[one("odd", {"id": str(100 + key)} | row)] for key, row in ODD.items()]
ODD_STEPS.append([change("odd", "n = 1, addr = '::1'", "id = 111")])
TYPES = {
    "id": "1", "n": "12.50", "n2": "12.50", "cash": "12.5", "nums": "'{12.50}'", "day": "'2026-01-05'", "t0": "'09:00:01'",
    "t3": "'09:00:01.123'", "t6": "'09:00:01.123456'", "ttz": "'09:00:01.123456+02'", "ts0": "'2026-01-05 09:00:01'",
    "ts3": "'2026-01-05 09:00:01.123'", "ts6": "'2026-01-05 09:00:01.123456'", "tz3": "'2026-01-05 09:00:01.123+02'",
    "tz6": "'2026-01-05 09:00:01.123456+02'", "tss": "'{2026-01-05 09:00:01.123456}'",
}
ODD_SEED.append(insert("types", TYPES))
ODD_STEPS.insert(0, [one("types", TYPES | {"id": "2"})])
