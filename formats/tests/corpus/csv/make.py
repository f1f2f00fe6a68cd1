#!/usr/bin/env python3
"""Makes the CSV corpus beside this file, with Python's csv writer where it can write a case, else by hand.

Truth is what was written: a list of rows, each a list of texts, with null for a field that is empty without quotes where a case tells the
two apart. Python's csv reader reads each well-formed case back (to it, null and the empty text are one).
"""

import csv
import io
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True
from records import write_records, write_truth

HEADER = ["id", "amount", "payee", "note", "due_on", "urgent"]
ROWS = [
    ["1", "1234.50", "Anna Schmidt", "plain", "2026-03-31", "true"],
    ["2", "-0.01", "O'Brien \"quoted\"", "a, b; c\td|e", "1969-12-31", "false"],
    ["3", "9999999999999999.99", "línea", "one\ntwo\r\nthree\rfour", "9999-12-31", "TRUE"],
    ["4", "0", "💶 to 日本", "", "", ""],
    ["5", "1e3", "  spaces around  ", '"', "0001-01-01", "1"],
    ["6", "+5.00", '""', "\\ back \\n slash", "2024-02-29", "f"],
    ["-9223372036854775808", "", ",", "'", "", "yes"],
    ["9007199254740993", "1.2345678901234567890123456789", "\\", "#", "2026-1-5", "0"],
    ["", "", "", "", "", ""],
]


def written(rows, **settings):
    out = io.StringIO(newline="")
    csv.writer(out, **settings).writerows(rows)
    return out.getvalue()


def by_hand(rows, delimiter=",", end="\n"):
    """As PostgreSQL's COPY writes: null is nothing, the empty text is two quotes."""
    quoted = lambda text: '"' + text.replace('"', '""') + '"' if text == "" or any(c in text for c in delimiter + '"\r\n') else text
    return "".join(delimiter.join("" if field is None else quoted(field) for field in row) + end for row in rows)


def files():
    """(name, bytes, rows, settings of the reader)"""
    table = [HEADER, *ROWS]
    nulls = [["a", "b", "c"], ["1", None, ""], [None, None, None], ["", "", ""], ["x", "NULL", "null"], [None, "\\N", "-"], ["é", None, 'q"']]
    one = [["a"], ["1"], [""], ["2"]]
    yield "excel.csv", written(table), table, {}
    yield "unix.csv", written(table, dialect="unix"), table, {}
    yield "minimal-lf.csv", written(table, lineterminator="\n"), table, {}
    yield "semicolon.csv", written(table, delimiter=";"), table, {"delimiter": ";"}
    yield "tab.tsv", written(table, delimiter="\t"), table, {"delimiter": "\t"}
    yield "pipe-single-quotes.csv", written(table, delimiter="|", quotechar="'"), table, {"delimiter": "|", "quotechar": "'"}
    escape = {"quoting": csv.QUOTE_NONE, "escapechar": "\\", "lineterminator": "\n"}
    yield "escape-no-quotes.csv", written([row for row in table if "\n" not in row[3]], **escape), [row for row in table if "\n" not in row[3]], escape
    inside = {"doublequote": False, "escapechar": "\\"}
    yield "escape-in-quotes.csv", written(table, **inside), table, inside
    yield "no-header.csv", written(ROWS), ROWS, {}
    yield "nulls.csv", by_hand(nulls), nulls, {}
    yield "bom.csv", "\ufeff" + written(table[:3]), table[:3], {}
    yield "no-last-newline.csv", written(table[:3]).rstrip("\r\n"), table[:3], {}
    yield "cr-only.csv", written(table[:3], lineterminator="\r"), table[:3], {}
    yield "one-column.csv", written(one), one, {}
    yield "header-only.csv", written([HEADER]), [HEADER], {}
    yield "empty.csv", "", [], {}
    yield "header-difficult.csv", written([["id", "two words", "Größe", "a,b", 'a"b', ""], ["1", "2", "3", "4", "5", "6"]]), [
        ["id", "two words", "Größe", "a,b", 'a"b', ""], ["1", "2", "3", "4", "5", "6"]], {}
    yield "latin1.csv", written(table[:4:3]).encode("latin-1"), table[:4:3], {"encoding": "latin-1"}


def main():
    truth = {}
    for name, text, rows, settings in files():
        data = text if isinstance(text, bytes) else text.encode()
        (HERE / name).write_bytes(data)
        decoded = data.decode(settings.get("encoding", "utf-8-sig"))
        reading = {key: value for key, value in settings.items() if key not in ("lineterminator", "encoding")}
        read = list(csv.reader(io.StringIO(decoded, newline=""), **reading))
        assert read == [[field or "" for field in row] for row in rows], name
        truth[name] = {"settings": {key: value for key, value in settings.items() if key != "quoting"}, "rows": rows}
    lines = [f" {json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}" for name, entry in truth.items()]
    (HERE / "files.truth.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")

    # A row a record, as producers of CSV write to Kafka: without a header, most without an end of line.
    values = [written([row], lineterminator=("", "\n", "\r\n")[i % 3]).encode() for i, row in enumerate(ROWS)]
    nulls = [["7", None, "", None, "2026-01-05", None], [None] * 6]
    values += [by_hand([row], end="").encode() for row in nulls] + [None]
    write_records(HERE / "rows.jsonl", values)
    write_truth(HERE / "rows.truth.json", [*ROWS, *nulls, None])

    damaged = [
        ("no bytes", b"", True),
        ("one field too few", b"1,2.00,a,b,2026-01-05", False),
        ("one field too many", b"1,2.00,a,b,2026-01-05,true,more", False),
        ("a quote that is never closed", b'1,2.00,"a,b,2026-01-05,true', False),
        ("text after the closing quote", b'1,2.00,"a"b,c,2026-01-05,true', True),
        ("a quote inside a field without quotes", b'1,2.00,a"b,c,2026-01-05,true', True),
        ("a space before the opening quote", b'1,2.00, "a,b",2026-01-05,true', True),
        ("not UTF-8", b"1,2.00,\xe9,b,2026-01-05,true", False),
        ("a NUL", b"1,2.00,a\0b,c,2026-01-05,true", True),
        ("two rows in one record", b"1,2.00,a,b,2026-01-05,true\n2,3.00,a,b,2026-01-05,true\n", True),
        ("an empty line before the row", b"\n1,2.00,a,b,2026-01-05,true", True),
        ("a byte order mark", b"\xef\xbb\xbf1,2.00,a,b,2026-01-05,true", True),
        ("another delimiter", b"1;2.00;a;b;2026-01-05;true", False),
        ("a number with a comma, not quoted", b"1,2,00,a,b,2026-01-05,true", False),
        ("an amount that is none", b"1,two,a,b,2026-01-05,true", False),
        ("a date that no calendar has", b"1,2.00,a,b,2026-02-30,true", False),
        ("spaces around a number", b"1, 2.00 ,a,b,2026-01-05,true", True),
    ]
    write_records(HERE / "damaged.jsonl", [value for _, value, _ in damaged])
    write_truth(HERE / "damaged.truth.json", [{"why": why, "disputed": disputed} for why, _, disputed in damaged])


if __name__ == "__main__":
    main()
