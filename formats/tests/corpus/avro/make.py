#!/usr/bin/env python3
"""Makes the Avro corpus beside this file. Needs fastavro, avro and confluent-kafka[avro].

Values come from a fixed seed. Each record is written three times, which must agree: by Confluent's serializer (with its mock of a registry),
by fastavro, and field by field from the wire's own numbers. Apache's avro then reads it back to those numbers,
and fastavro to the truth, in both schemas, where Python's dates reach. Truth is the value that was
put in: decimals, times and uuids as strings, bytes in base64, a double that is no number as a string.
"""

import base64
import datetime
import io
import json
import random
import struct
import sys
import uuid
from pathlib import Path

import avro.io
import avro.schema
import fastavro
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry._sync import mock_schema_registry_client as mock
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True
from records import write_records, write_truth

RANDOM = random.Random(20260105)
logical = lambda kind, means, **more: {"type": kind, "logicalType": means} | more
PARTY = {
    "type": "record",
    "name": "Party",
    "fields": [
        {"name": "name", "type": "string"},
        {"name": "iban", "type": ["null", "string"], "default": None},
        {
            "name": "address",
            "type": ["null", {"type": "record", "name": "Address", "fields": [
                {"name": "street", "type": "string"},
                {"name": "floor", "type": ["int", "null"], "default": 0},
            ]}],
        },
    ],
}
STATES = ["draft", "sent", "paid"]
FIRST = {
    "type": "record",
    "name": "Payment",
    "namespace": "corpus",
    "doc": "Version 1",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "budget_id", "type": "int"},
        {"name": "amount", "type": logical("bytes", "decimal", precision=18, scale=2)},
        {"name": "fee", "type": ["null", logical("fixed", "decimal", precision=18, scale=4, name="Fee", size=8)], "default": None},
        {"name": "huge", "type": ["null", logical("bytes", "decimal", precision=38, scale=10)], "default": None},
        {"name": "score", "type": "double"},
        {"name": "weight", "type": "float"},
        {"name": "urgent", "type": "boolean"},
        {"name": "payee", "type": "string"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "legacy", "type": "string", "default": ""},
        {"name": "due_on", "type": logical("int", "date")},
        {"name": "cutoff", "type": logical("int", "time-millis")},
        {"name": "cutoff_us", "type": ["null", logical("long", "time-micros")], "default": None},
        {"name": "created", "type": logical("long", "timestamp-millis")},
        {"name": "seen", "type": logical("long", "timestamp-micros")},
        {"name": "local_created", "type": logical("long", "local-timestamp-millis")},
        {"name": "local_seen", "type": [logical("long", "local-timestamp-micros"), "null"]},
        {"name": "ref", "type": logical("string", "uuid")},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": STATES, "default": "draft"}},
        {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 16}},
        {"name": "receipt", "type": ["null", "bytes"], "default": None},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "limits", "type": {"type": "map", "values": ["null", "int"]}},
        {"name": "payer", "type": PARTY},
        {"name": "others", "type": {"type": "array", "items": "corpus.Party"}, "default": []},
        {"name": "either", "type": ["null", "long", "string", "boolean", "double"], "default": None},
        {"name": "nothing", "type": "null"},
    ],
}


def second():
    """Version 2: a field more that may be null, one more with a default, `legacy` gone, int to long, float to double, another order."""
    fields = {field["name"]: dict(field) for field in json.loads(json.dumps(FIRST["fields"]))}
    del fields["legacy"]
    fields["budget_id"]["type"] = "long"
    fields["weight"]["type"] = "double"
    fields["state"]["type"]["symbols"] = [*STATES, "refused"]
    fields["channel"] = {"name": "channel", "type": ["null", "string"], "default": None}
    fields["origin"] = {"name": "origin", "type": "string", "default": "wëb"}
    first = ["channel", "state", "note", "id"]
    # A type is defined where its name first occurs, so payer stays before others.
    order = first + [name for name in reversed(fields) if name not in (*first, "others")] + ["others"]
    return FIRST | {"doc": "Version 2", "fields": [fields[name] for name in order]}


SECOND = second()
SCHEMAS = {1: FIRST, 2: SECOND}


def plain(schema):
    """The schema without logical types: what is on the wire."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: plain(part) if name in ("type", "items", "values", "fields") else part for name, part in schema.items() if name != "logicalType"}


def civil(days):
    """Year, month and day of a number of days since 1970, in the Gregorian calendar without end."""
    days += 719468
    era, day = divmod(days, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    year += era * 400 + (month >= 10)
    return year, month + (3 if month < 10 else -9), day - (153 * month + 2) // 5 + 1


def date_text(days):
    year, month, day = civil(days)
    sign = "+" if year > 9999 else "-" if year < 0 else ""
    return f"{sign}{abs(year):04}-{month:02}-{day:02}"


def time_text(value, unit):
    seconds, rest = divmod(value, unit)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:0{len(str(unit)) - 1}}"


def stamp_text(value, unit, zone):
    days, rest = divmod(value, 86400 * unit)
    return f"{date_text(days)}T{time_text(rest, unit)}{zone}"


def decimal_text(unscaled, scale):
    digits = f"{abs(unscaled):0{scale + 1}}"
    return ("-" if unscaled < 0 else "") + digits[:-scale] + "." + digits[-scale:]


def twos(value, size=None):
    """The shortest two's complement, or one of `size` bytes."""
    return value.to_bytes(size or (value + (value < 0)).bit_length() // 8 + 1, "big", signed=True)


def pick(*edges, other):
    return RANDOM.choice(edges) if RANDOM.random() < 0.5 else other()


TEXTS = ("", " ", "plain", "O'Brien \"q\" \\", "línea\nzwei\t€", "💶 to 日本", "\u0000nul", "x" * 300, "e\u0301 is not é", "null")


def text():
    return pick(*TEXTS, other=lambda: "".join(RANDOM.choice("abcdefgh ÄÖ€") for _ in range(RANDOM.randrange(1, 20))))


def party():
    """A party on the wire and as truth, which are the same."""
    address = RANDOM.choice([None, {"street": text(), "floor": RANDOM.choice([None, 0, -1, 12])}])
    return {"name": text(), "iban": RANDOM.choice([None, "DE02120300000000202051", ""]), "address": address}


def record(number, version):
    """One record on the wire (numbers and bytes) and as truth."""
    integer = lambda bits: RANDOM.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))
    wire, truth = {}, {}

    def put(name, value, said=...):
        wire[name], truth[name] = value, value if said is ... else said

    def maybe(name, value, say):
        put(name, *((None,) if RANDOM.random() < 0.25 else (value, say(value))))

    near = lambda unit: RANDOM.randrange(1_700_000_000 * unit, 1_800_000_000 * unit)
    put("id", number if number < 40 else pick(2**63 - 1, -(2**63), 2**53 + 1, other=lambda: integer(64)))
    put("budget_id", pick(0, -1, 2**31 - 1, -(2**31), other=lambda: integer(32)))
    if version == 2 and RANDOM.random() < 0.5:
        put("budget_id", pick(2**31, -(2**63), other=lambda: integer(50)))
    amount = pick(0, -1, 10, 127, 128, -128, -129, 10**18 - 1, -(10**18) + 1, other=lambda: RANDOM.randrange(-(10**9), 10**9))
    put("amount", twos(amount), decimal_text(amount, 2))
    fee = pick(0, -1, 10**18 - 1, -(10**18) + 1, other=lambda: RANDOM.randrange(10**6))
    maybe("fee", twos(fee, 8), lambda _: decimal_text(fee, 4))
    huge = pick(10**38 - 1, -(10**38) + 1, 0, other=lambda: RANDOM.randrange(10**30))
    maybe("huge", twos(huge), lambda _: decimal_text(huge, 10))
    score = pick(0.1, -0.0, 5e-324, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf"), other=lambda: RANDOM.gauss(0, 1e6))
    spoken = lambda number: str(number).replace("nan", "NaN").replace("inf", "Infinity") if number != number or abs(number) == float("inf") else number
    put("score", score, spoken(score))
    weight = pick(0.5, -3.4028234663852886e38, 16777216.0, float("nan"), other=lambda: float(RANDOM.randrange(1000)) / 8)
    put("weight", weight, spoken(weight))
    put("urgent", RANDOM.random() < 0.5)
    put("payee", text())
    maybe("note", text(), lambda note: note)
    put("legacy", text())
    days = pick(0, -1, 20543, -719162, 2932896, -141432, 2932897, 2**31 - 1, -(2**31), other=lambda: RANDOM.randrange(20000, 21000))
    put("due_on", days, date_text(days))
    cutoff = pick(0, 86399999, 1, other=lambda: RANDOM.randrange(86400000))
    put("cutoff", cutoff, time_text(cutoff, 1000))
    maybe("cutoff_us", pick(0, 86399999999, other=lambda: RANDOM.randrange(86400 * 10**6)), lambda value: time_text(value, 10**6))
    for name, unit, zone in (("created", 1000, "Z"), ("seen", 10**6, "Z"), ("local_created", 1000, ""), ("local_seen", 10**6, "")):
        value = pick(0, -1, -62135596800 * unit, 253402300800 * unit - 1, 253402300800 * unit, other=lambda: near(unit))
        if name == "local_seen" and RANDOM.random() < 0.3:
            put(name, None)
        else:
            put(name, value, stamp_text(value, unit, zone))
    ref = str(pick(uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), other=lambda: uuid.UUID(int=RANDOM.getrandbits(128))))
    put("ref", ref)
    put("state", RANDOM.choice(STATES if version == 1 else [*STATES, "refused", "refused"]))
    said = lambda value: base64.b64encode(value).decode()
    digest = pick(bytes(16), b"\xff" * 16, other=lambda: RANDOM.randbytes(16))
    put("digest", digest, said(digest))
    maybe("receipt", pick(b"", b"\x00", bytes(range(256)), other=lambda: RANDOM.randbytes(9)), said)
    put("tags", pick([], [""], ["a", "b", "a"], other=lambda: [text() for _ in range(RANDOM.randrange(5))]))
    put("limits", {text()[:9]: RANDOM.choice([None, 0, -1, 2**31 - 1]) for _ in range(RANDOM.randrange(4))})
    put("payer", party())
    put("others", [party() for _ in range(RANDOM.randrange(3))])
    put("either", RANDOM.choice([None, 7, -(2**63), "7", "", True, False, 7.5]))
    put("nothing", None)
    if version == 2:
        del wire["legacy"], truth["legacy"]
        maybe("channel", text(), lambda channel: channel)
        put("origin", text())
    return wire, truth


def as_written(schema, wire):
    """The record in Avro, field by field from what is on the wire: also a dictionary of each field's bytes."""
    named = {"corpus.Party": fastavro.parse_schema(plain(PARTY) | {"namespace": "corpus"}, named_schemas={})}
    fields = {}
    for field in plain(schema)["fields"]:
        kind = field["type"]
        if field["name"] == "others":
            kind = {"type": "array", "items": plain(PARTY)}
        value = wire[field["name"]]
        if field["name"] == "either" and value is not None:
            # Not left to a guess: of a union's branches, the one of the value's type.
            value = ({int: "long", str: "string", bool: "boolean", float: "double"}[type(value)], value)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(kind, named_schemas={}), value)
        fields[field["name"]] = out.getvalue()
    return fields


def typed(wire):
    """What Confluent's serializer gets: numbers and bytes where they pass for their logical type, and unions with their branch."""
    value = dict(wire)
    if value["either"] is not None:
        value["either"] = ({int: "long", str: "string", bool: "boolean", float: "double"}[type(value["either"])], value["either"])
    return value


def read_back(schema, payload):
    reader = avro.io.DatumReader(avro.schema.parse(json.dumps(plain(schema))))
    stream = io.BytesIO(payload)
    value = reader.read(avro.io.BinaryDecoder(stream))
    assert stream.read() == b""
    return value


def equal(one, other):
    """Equal, with NaN equal to itself, and a float as close as 32 bits are."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack(">d", one) == struct.pack(">d", other) or (one != one and other != other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def as_second(truth):
    """What a reader of version 2 gets of a record of version 1: `legacy` gone, defaults for what is new."""
    return {name: value for name, value in truth.items() if name != "legacy"} | {"channel": None, "origin": "wëb"}


def fastavro_says(payload, schema, truth, reader=None):
    """Whether fastavro, with the logical types, reads the truth; None where a Python date cannot hold a value."""
    parse = lambda schema: schema and fastavro.parse_schema(schema, named_schemas={})
    try:
        value = fastavro.schemaless_reader(io.BytesIO(payload), parse(schema), parse(reader))
    except (OverflowError, ValueError):
        return None
    says = {
        **dict.fromkeys(("amount", "fee", "huge"), lambda v, text: format(v, "f") == text),
        "due_on": lambda v, text: v.isoformat() == text,
        **dict.fromkeys(("cutoff", "cutoff_us"), lambda v, text: v == datetime.time.fromisoformat(text)),
        **dict.fromkeys(("created", "seen"), lambda v, text: v == datetime.datetime.fromisoformat(text)),
        **dict.fromkeys(("local_created", "local_seen"), lambda v, text: v == datetime.datetime.fromisoformat(text)),
        **dict.fromkeys(("digest", "receipt"), lambda v, text: base64.b64encode(v).decode() == text),
        "ref": lambda v, text: str(v) == text,
        **dict.fromkeys(("score", "weight"), lambda v, said: v == float(said) or v != v and said == "NaN"),
    }
    fits = lambda name, v: v is truth[name] if None in (v, truth[name]) else says.get(name, lambda v, t: v == t)(v, truth[name])
    return value.keys() == truth.keys() and all(fits(name, value[name]) for name in value)


def long(value):
    """A long on the wire."""
    value, out = (value << 1) ^ (value >> 63), b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def main():
    # Its ids count from 1; its GUIDs would differ in each run.
    mock.uuid.uuid4 = lambda: uuid.UUID(int=RANDOM.getrandbits(128), version=4)
    registry = SchemaRegistryClient.new_client({"url": "mock://corpus"})
    context = SerializationContext("payment", MessageField.VALUE)
    schemas, serializers = {}, {}
    for version, schema in SCHEMAS.items():
        registered = registry.register_schema_full_response("payment-value", Schema(json.dumps(schema), "AVRO"))
        assert registered.schema_id == version
        schemas[version] = {"guid": registered.guid, "schema": schema}
        settings = {"auto.register.schemas": False}
        serializers[version] = AvroSerializer(registry, json.dumps(plain(schema)), conf=settings | {"use.schema.id": version})
    (HERE / "schemas.json").write_text(json.dumps(schemas, indent=1, ensure_ascii=False) + "\n")

    confluent, bare, keys, truths, verdicts, first = [], [], [], [], [], None
    for number in range(50):
        version = 1 if number % 5 < 3 else 2
        schema = SCHEMAS[version]
        wire, truth = record(number, version)
        fields = as_written(schema, wire)
        payload = b"".join(fields.values())
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(plain(schema), named_schemas={}), typed(wire))
        framed = serializers[version](typed(wire), context)
        assert out.getvalue() == payload and framed == b"\0" + struct.pack(">I", version) + payload, number
        assert equal(read_back(schema, payload), {f["name"]: wire[f["name"]] for f in schema["fields"]}), number
        verdicts.append(fastavro_says(payload, schema, truth))
        if version == 1:
            verdicts.append(fastavro_says(payload, FIRST, as_second(truth), SECOND))
        first = first or (wire, truth, fields)
        confluent.append(framed)
        if version == 1:
            bare.append((payload, truth))
        keys.append(str(wire["id"]).encode())
        entry = {"schema": version, "value": truth}
        if version == 1:
            entry["read_as_2"] = as_second(truth)
        truths.append(entry)
    assert False not in verdicts and verdicts.count(True) > 30
    confluent.append(None)
    keys.append(b"7")
    truths.append({"schema": None, "value": None})
    write_records(HERE / "confluent.jsonl", confluent, keys)
    write_truth(HERE / "confluent.truth.json", truths)
    write_records(HERE / "bare.jsonl", [payload for payload, _ in bare])
    write_truth(HERE / "bare.truth.json", [truth for _, truth in bare])

    # The newer way: the schema's GUID in a header, after a byte 1.
    values, headers = [], []
    settings = {"auto.register.schemas": False, "use.schema.id": 1, "schema.id.serializer": header_schema_id_serializer}
    in_header = AvroSerializer(registry, json.dumps(plain(FIRST)), conf=settings)
    some = [record(number, 1) for number in range(3)]
    for wire, _ in some:
        mine = SerializationContext("payment", MessageField.VALUE, headers=[])
        values.append(in_header(typed(wire), mine))
        headers.append(mine.headers)
    write_records(HERE / "header.jsonl", values, headers=headers)
    write_truth(HERE / "header.truth.json", [{"schema": 1, "value": truth} for _, truth in some])

    blocks_and_damage(*first)


def blocks_and_damage(wire, truth, fields):
    """Records of version 1 that are unusual, and such as are damaged: each of them the first record with some of its bytes replaced."""
    head = b"\0\0\0\0\1"
    whole = head + b"".join(fields.values())
    instead = lambda **parts: head + b"".join((fields | parts).values())
    string = lambda text: long(len(text.encode())) + text.encode()
    item = string("a")
    unusual = [
        ("an array in two blocks", {"tags": long(1) + item + long(2) + item + item + long(0)}, {"tags": ["a", "a", "a"]}),
        ("a block with its size in bytes", {"tags": long(-2) + long(4) + item + item + long(0)}, {"tags": ["a", "a"]}),
        ("a map in two blocks, one with its size", {"limits": long(-1) + long(4) + item + long(1) + long(7) + long(1) + string("b") + long(0) + long(0)},
         {"limits": {"a": 7, "b": None}}),
        ("a map with a key twice: the last one wins", {"limits": long(2) + item + long(1) + long(1) + item + long(1) + long(2) + long(0)}, {"limits": {"a": 2}}),
        ("a varint longer than it need be", {"id": b"\x87\x00"}, {"id": -4}),
        ("a decimal longer than it need be", {"amount": long(4) + b"\xff\xff\xff\xfe"}, {"amount": "-0.02"}),
        ("a decimal with more leading bytes than 128 bits have", {"amount": long(40) + bytes(38) + b"\x01\x00"}, {"amount": "2.56"}),
    ]
    values = [instead(**parts) for _, parts, _ in unusual]
    for (why, _, changed), value in zip(unusual, values):
        read_back(FIRST, value[5:])
    write_records(HERE / "unusual.jsonl", values)
    write_truth(HERE / "unusual.truth.json", [{"why": why, "value": truth | changed} for why, _, changed in unusual])

    damaged = [
        ("no byte at all", b""),
        ("nothing but the first byte", whole[:1]),
        ("the schema's id is cut", whole[:4]),
        ("no byte after the schema's id", whole[:5]),
        ("cut in the middle", whole[: len(whole) // 2]),
        ("the last byte is gone", whole[:-1]),
        ("a first byte that is not 0", b"\1" + whole[1:]),
        ("JSON, not Avro", json.dumps({"id": 1}).encode()),
        ("no schema has this id", b"\0\0\x0f\x42\x3f" + whole[5:]),
        ("no schema has this id, the largest", b"\0\xff\xff\xff\xff" + whole[5:]),
        ("the id of another schema", b"\0\0\0\0\2" + whole[5:]),
        ("a byte too many", whole + b"\0"),
        ("the record twice", whole + whole[5:]),
        ("a string longer than the record", instead(payee=long(10**6) + b"abc")),
        ("a string of 2^62 bytes", instead(payee=long(2**62) + b"abc")),
        ("a string of a negative length", instead(payee=long(-1) + b"abc")),
        ("a string that is not UTF-8", instead(payee=long(2) + b"\xc3\x28")),
        ("bytes of 2^63 - 1", instead(receipt=long(1) + long(2**63 - 1))),
        ("a varint of eleven bytes", instead(id=b"\xff" * 10 + b"\1")),
        ("a varint beyond 64 bits", instead(id=b"\xff" * 9 + b"\x7f")),
        ("a varint without end", head + b"\xff" * 40),
        ("an int beyond 32 bits", instead(budget_id=long(2**31))),
        ("a branch that the union does not have", instead(note=long(2) + string("x"))),
        ("a negative branch", instead(note=long(-1) + string("x"))),
        ("a symbol that the enum does not have", instead(state=long(3))),
        ("a negative symbol", instead(state=long(-1))),
        ("a boolean of 2", instead(urgent=b"\2")),
        ("an array of 2^62 items", instead(tags=long(2**62) + item)),
        ("an array of -2^63 items", instead(tags=long(-(2**63)) + long(2) + item)),
        ("a map of 2^62 entries", instead(limits=long(2**62) + item)),
        ("an array without its end, as nothing follows", head + b"".join(list(fields.values())[:22]) + long(1) + item),
    ]
    # Whether these are errors is for the reader to say; what it says should be on purpose.
    disputed = [
        ("a decimal of no bytes", instead(amount=long(0))),
        ("a decimal of more digits than its precision", instead(amount=long(8) + twos(10**18, 8))),
        ("a decimal of 40 significant bytes", instead(amount=long(40) + b"\x7f" * 40)),
        ("a time of 24 hours", instead(cutoff=long(86400000))),
        ("a negative time", instead(cutoff=long(-1))),
        ("a uuid that is none", instead(ref=string("not-a-uuid"))),
        ("a uuid in capitals without hyphens", instead(ref=string(truth["ref"].replace("-", "").upper()))),
        ("a time stamp that no calendar reaches", instead(seen=long(2**63 - 1))),
        ("a block whose size in bytes is negative", instead(tags=long(-1) + long(-2) + item + long(0))),
        ("a block whose size in bytes is wrong", instead(tags=long(-1) + long(77) + item + long(0))),
    ]
    values = [value for _, value in damaged + disputed]
    write_records(HERE / "damaged.jsonl", values)
    entries = [{"why": why, "disputed": False} for why, _ in damaged] + [{"why": why, "disputed": True} for why, _ in disputed]
    write_truth(HERE / "damaged.truth.json", entries)


if __name__ == "__main__":
    main()
