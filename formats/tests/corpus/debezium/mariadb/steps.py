"""What happens in MariaDB: rows before the connectors start, then transactions of statements, with the rows that each one touches."""

ORDINARY = {
    "id": "1", "budget_id": "7", "attempts": "3", "amount": "1234.50", "rate": "0.0725", "whole": "42", "fx": "1.0842500000",
    "score": "0.1", "weight": "2.5", "urgent": "true", "currency": "'EUR'", "payee": "'Anna Schmidt'", "note": "'first'",
    "due_on": "'2026-03-31'", "cutoff": "'17:30:00'", "cutoff6": "'17:30:00.123456'", "created": "'2026-01-05 09:00:00'",
    "changed": "'2026-01-05 09:00:00.123'", "seen": "'2026-01-05 09:00:00.123456'", "at": "'2026-01-05 07:00:00'",
    "at6": "'2026-01-05 07:00:00.123456'", "ref": "'7f2c4a0e-9b1d-4c3e-8f5a-6d7e8f9a0b1c'",
    "meta": "'{\"b\": 1,  \"a\": [1, 2.50, null], \"a\": \"twice\"}'", "receipt": "0x00ff10feed", "photo": "0x89504e47", "state": "'sent'",
    "flags": "'a,c'",
}
DIFFICULT = {
    "id": "2", "budget_id": "-2147483648", "attempts": "-32768", "amount": "-0.01", "rate": "-120.10", "whole": "-1",
    "fx": "-0.0000000001", "score": "-1.7976931348623157e308", "weight": "-3.4e38", "urgent": "false", "currency": "'E'",
    "payee": "'O''Brien \"quoted\" \\\\ back'", "note": "'línea uno\\nline two\\t€ 💶 \x01 end'", "due_on": "'1969-12-31'",
    "cutoff": "'00:00:00'", "cutoff6": "'00:00:00.000001'", "created": "'1969-12-31 23:59:59'", "changed": "'1969-12-31 23:59:59.999'",
    "seen": "'1969-12-31 23:59:59.999999'", "at": "'1970-01-01 00:00:01'", "at6": "'1970-01-01 00:00:00.000001'",
    "ref": "'00000000-0000-0000-0000-000000000000'", "meta": "'\"just text\"'", "receipt": "''", "photo": "''", "state": "'it''s off'",
    "flags": "''",
}
EMPTY = {"id": "3", "budget_id": "0", "attempts": "NULL", "urgent": "NULL", "payee": "''", "state": "NULL"}
# The key is the first integer that a double cannot hold.
EXTREME = {
    "id": "9007199254740993", "budget_id": "2147483647", "attempts": "32767", "amount": "9999999999999999.99",
    "rate": "12345678901234567890.123456789012345678", "whole": "99999999999999999999", "fx": "9999999999.9999999999",
    "score": "2.2250738585072014e-308", "weight": "1.17549e-38", "urgent": "true", "currency": "''", "payee": "'" + "x" * 100 + "'",
    "note": "''", "due_on": "'9999-12-31'", "cutoff": "'23:59:59'", "cutoff6": "'23:59:59.999999'", "created": "'9999-12-31 23:59:59'",
    "changed": "'1000-01-01 00:00:00.001'", "seen": "'9999-12-31 23:59:59.999999'", "at": "'2038-01-19 03:14:07'",
    "at6": "'2038-01-19 03:14:07.999999'", "ref": "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "meta": "'null'",
    "receipt": "REPEAT(0xa5, 40)", "photo": "0x00", "state": "'paid'", "flags": "'a,b,c'",
}


def insert(table, row):
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})"


def one(table, row):
    """An insert, as a statement with the row it makes."""
    return (insert(table, row), [(table, None, f"id = {row['id']}")])


def change(table, what, key, new_key=None):
    return (f"UPDATE {table} SET {what} WHERE {key}", [(table, key, new_key or key)])


def delete(table, key):
    return (f"DELETE FROM {table} WHERE {key}", [(table, key, None)])


TABLES = ["payment", "ledger", "journal"]
KEYS = {"payment": "id", "ledger": "account, seq", "journal": "what"}
LEDGER = "INSERT INTO ledger (seq, account, amount, memo) VALUES "

SEED = [
    *(insert("payment", row) for row in (ORDINARY, DIFFICULT, EMPTY, EXTREME)),
    LEDGER + "(1, 'cash', 10.00, 'opening'), (1, 'Bank, \"north\"', -10.00, NULL)",
    "INSERT INTO journal VALUES ('opened', 1.00)",
]

FIFTH = ORDINARY | {"id": "5", "amount": "0.00", "note": "'fifth'", "big": "REPEAT('0123456789abcdef', 140)"}
SIXTH = EMPTY | {"id": "6", "payee": "'six'", "amount": "6.00"}

# Each one a transaction.
STEPS = [
    [one("payment", FIFTH)],
    # The large text is untouched; MariaDB logs it all the same.
    [change("payment", "amount = 5.25, note = 'text untouched'", "id = 5")],
    [change("payment", "state = 'paid', urgent = NULL, at = '2026-10-25 00:30:00', flags = 'b', big = NULL", "id = 5")],
    # Several statements, two tables, one row changed twice.
    [
        one("payment", SIXTH),
        change("payment", "amount = 6.50, meta = '{\"k\": 9007199254740993}'", "id = 6"),
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
    # REPLACE and INSERT … ON DUPLICATE KEY UPDATE: what do they come as?
    [("REPLACE INTO payment (id, budget_id, payee) VALUES (6, 1, 'replaced')", [("payment", "id = 6", "id = 6")])],
    [
        (
            "INSERT INTO payment (id, budget_id, payee) VALUES (6, 2, 'x') ON DUPLICATE KEY UPDATE budget_id = 2",
            [("payment", "id = 6", "id = 6")],
        )
    ],
    [change("payment", "big = NULL, note = NULL, amount = NULL", "id = 1")],
    [change("payment", "amount = -9999999999999999.99, rate = 1e-18, note = ''", "id = 1")],
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
    # A truncation is not in the row log, but in the statements: does it come?
    [("TRUNCATE journal", "TRUNCATE")],
    [one("payment", ORDINARY | {"id": "-9223372036854775808"})],
    [change("payment", "note = 'the last change'", "id = 6")],
]

ODD = {
    1: {"day": "'0000-00-00'", "dt": "'0000-00-00 00:00:00'", "dt3": "'0000-00-00 00:00:00'", "at": "'0000-00-00 00:00:00'"},
    2: {"day": "'2024-02-00'", "dt": "'2024-00-00 12:00:00'", "dt3": "'2024-02-00 12:00:00.5'"},
    3: {"t": "'838:59:59'", "t3": "'838:59:59.999'"},
    4: {"t": "'-838:59:59'", "t3": "'-00:00:00.001'"},
    5: {
        "u8": "255", "i24": "-8388608", "u32": "4294967295", "u64": "18446744073709551615", "yr": "2155", "bits": "b'111111110001'",
        "bit1": "b'1'", "tiny2": "-128", "d65": "99999999999999999999999999999999999.999999999999999999999999999999", "d": "1e16",
    },
    6: {"yr": "1901", "at": "'2038-01-19 03:14:07.999999'", "bit1": "b'0'", "bits": "b'1'", "d": "-0.0", "d65": "-1e-30", "u64": "9223372036854775808"},
    7: {"day": "'0001-01-01'", "dt": "'9999-12-31 23:59:59.999999'", "dt3": "'0001-01-01 00:00:00.001'"},
    8: {"day": "'1582-10-10'", "dt": "'1969-12-31 23:59:59.999999'", "dt3": "'1582-10-10 12:00:00'", "at": "'1970-01-01 00:00:00.000001'"},
    9: {"bin": "'ab'", "latin": "'é€'", "pt": "ST_PointFromText('POINT(1.5 -2)')", "lng": "REPEAT('é', 300)"},
    10: {"u8": "0"},
    11: {"uid": "'7f2c4a0e-9b1d-4c3e-8f5a-6d7e8f9a0b1c'"},
}
ODD_SEED = ["SET sql_mode = ''"] + [insert("odd", {"id": str(key)} | row) for key, row in ODD.items()]
# The same rows again, as live changes: they take another way through the connector.
ODD_STEPS = [[one("odd", {"id": str(100 + key)} | row)] for key, row in ODD.items()]
# The snapshot stops at this one.
ODD_STEPS.append([one("odd", {"id": "112", "yr": "0"})])
ODD_STEPS.append([change("odd", "u64 = 1, lng = 'last'", "id = 110")])
TYPES = {
    "id": "1", "n": "12", "n2": "12.50", "u64": "12", "day": "'2026-01-05'", "t0": "'09:00:01'", "t3": "'09:00:01.123'",
    "t6": "'09:00:01.123456'", "dt0": "'2026-01-05 09:00:01'", "dt3": "'2026-01-05 09:00:01.123'", "dt6": "'2026-01-05 09:00:01.123456'",
    "at0": "'2026-01-05 07:00:01'", "at3": "'2026-01-05 07:00:01.123'", "at6": "'2026-01-05 07:00:01.123456'", "yr": "2026",
}
ODD_SEED.append(insert("types", TYPES))
ODD_STEPS.insert(0, [one("types", TYPES | {"id": "2"})])
