#!/usr/bin/env python3
"""Makes the Protobuf corpus beside this file. Needs grpcio-tools, googleapis-common-protos and confluent-kafka[protobuf].

protoc makes the descriptor sets (*.binpb) of the two versions; messages come from them and a fixed seed. Truth is what Python's protobuf
says: MessageToDict with the names of the proto file and with fields that have no presence always there. So 64-bit integers are strings in
it, bytes are in base64, and a double that is no number is a string.
"""

import base64
import json
import random
import struct
import sys
import uuid
from importlib import resources
from pathlib import Path

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry._sync import mock_schema_registry_client as mock
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.type import decimal_pb2
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True
from records import write_records, write_truth

RANDOM = random.Random(20260106)


def classes(name):
    """Compiles a proto file to a descriptor set beside it, and gives a class for each message, by its name."""
    out = HERE / f"{name}.binpb"
    includes = [str(HERE), str(resources.files("grpc_tools") / "_proto"), str(Path(decimal_pb2.__file__).parents[2])]
    options = [f"-I{path}" for path in includes]
    assert protoc.main(["protoc", *options, "--include_imports", f"--descriptor_set_out={out}", f"{name}.proto"]) == 0
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    names = ["Note", "Payment", "Payment.Line", "Payment.Line.Tax"]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"corpus.{name}")) for name in names}


def truth_of(message):
    said = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return json.loads(json.dumps(said, sort_keys=True))


def pick(*edges, other):
    return RANDOM.choice(edges) if RANDOM.random() < 0.6 else other()


def text():
    edges = ("", " ", "plain", "O'Brien \"q\" \\", "línea\nzwei\t€", "💶 to 日本", "\u0000nul", "x" * 200, "null")
    return pick(*edges, other=lambda: "".join(RANDOM.choice("abcdefgh ÄÖ€") for _ in range(RANDOM.randrange(1, 15))))


def integer(bits, signed=True):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return pick(0, 1, 127, 128, low, high, *([-1] if signed else []), other=lambda: RANDOM.randrange(low, high + 1))


def decimal():
    edges = ("0", "0.00", "-0.01", "12.50", "9999999999999999.99", "-123456789012345678901234567890.123456789", "2.5e8", "-1.5E-3", "+5", ".5")
    return pick(*edges, other=lambda: f"{RANDOM.randrange(-(10**8), 10**8) / 100:.2f}")


def double():
    return pick(0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf"), other=lambda: RANDOM.gauss(0, 1e6))


def sometimes(probability=0.5):
    return RANDOM.random() < probability


def some(make, most=4):
    return [make() for _ in range(RANDOM.randrange(most))] if sometimes(0.7) else []


def fill_line(line):
    line.label = text()
    if sometimes():
        line.amount.value = decimal()
    if sometimes():
        line.discount = integer(32)
    for _ in range(RANDOM.randrange(2)):
        tax = line.taxes.add(rate=RANDOM.choice([0.19, 0.0]))
        if sometimes():
            tax.notes[text()[:5]] = text()


def stamp(at):
    at.seconds, at.nanos = pick((0, 0), (-1, 999999999), (-62135596800, 0), (253402300799, 999999999), other=lambda: (RANDOM.randrange(2 * 10**9), 10**6))


def state():
    return RANDOM.choice([0, 1, 2, -1])


def payment(make, number):
    """A message of either version with what both have."""
    m = make(id=number)
    if number == 0:
        return m
    m.plain32, m.unsigned32, m.unsigned64 = integer(32), integer(32, False), integer(64, False)
    m.zigzag32, m.zigzag64 = integer(32), integer(64)
    m.fixed_32, m.fixed_64, m.signed_fixed32, m.signed_fixed64 = integer(32, False), integer(64, False), integer(32), integer(64)
    m.weight = pick(0.0, 0.5, -3.4028234663852886e38, float("nan"), other=lambda: RANDOM.randrange(1000) / 8)
    m.score, m.urgent, m.payee = double(), sometimes(), text()
    m.receipt = pick(b"", b"\0", bytes(range(256)), other=lambda: RANDOM.randbytes(9))
    for name, value in (("maybe_int", integer(32)), ("maybe_text", text()), ("maybe_bool", sometimes()), ("maybe_double", double()),
                        ("maybe_bytes", b""), ("maybe_state", state())):
        if sometimes():
            setattr(m, name, value)
    for name, value in (("packed", lambda: integer(32)), ("unpacked", lambda: integer(32)), ("packed_zigzag", lambda: integer(64)),
                        ("packed_doubles", double), ("unpacked_fixed", lambda: integer(32, False)), ("states", state),
                        ("flags", sometimes), ("tags", text), ("blobs", lambda: RANDOM.randbytes(RANDOM.randrange(4)))):
        getattr(m, name).extend(some(value))
    for _ in range(RANDOM.randrange(3)):
        m.limits[text()[:6]] = integer(64)
    if sometimes(0.4):
        fill_line(m.by_number[integer(32)])
    if sometimes(0.4):
        m.by_flag[sometimes()] = text()
    if sometimes(0.4):
        m.by_state["one"] = state()
    chosen = RANDOM.choice(["text", "number", "flag", "line", "chosen", None])
    if chosen == "line":
        fill_line(m.line)
    elif chosen:
        setattr(m, chosen, {"text": RANDOM.choice(["", "x"]), "number": RANDOM.choice([0, -5]), "flag": sometimes(), "chosen": state()}[chosen])
    m.state = state()
    if sometimes():
        fill_line(m.first)
    for _ in range(RANDOM.randrange(3)):
        fill_line(m.lines.add())
    if sometimes(0.8):
        stamp(m.seen)
    if sometimes():
        m.took.seconds, m.took.nanos = RANDOM.choice([(0, 0), (1, 500000000), (-1, -500000000), (315576000000, 0)])
    for name, value in (("wrapped_int", integer(64)), ("wrapped_text", RANDOM.choice(["", "x"])), ("wrapped_bool", sometimes()),
                        ("wrapped_double", double()), ("wrapped_bytes", RANDOM.choice([b"", b"\xff"]))):
        if sometimes():
            getattr(m, name).value = value
            getattr(m, name).SetInParent()
    if sometimes(0.8):
        m.amount.value = decimal()
    if sometimes():
        m.money.currency_code, m.money.units, m.money.nanos = RANDOM.choice([("EUR", 12, 500000000), ("USD", -1, -750000000), ("", 0, 0)])
    if sometimes():
        m.due_on.year, m.due_on.month, m.due_on.day = RANDOM.choice([(2026, 3, 31), (1, 1, 1), (9999, 12, 31), (0, 2, 29), (2026, 0, 0)])
    for _ in range(RANDOM.randrange(2)):
        stamp(m.history.add())
    m.amount_text = decimal()
    return m


def newer(message):
    """What only the second version has."""
    message.channel, message.fingerprint, message.checksum = text(), integer(64, False), integer(32, False)
    fill_line(message.extra)
    message.extra.unit = "m"
    message.numbers.extend([1, -1, 2**62])
    message.shares["a"] = 0.5
    message.largest_number = 2**64 - 1
    if sometimes():
        message.share = 0.25
    if sometimes():
        message.state = 3
        message.states.extend([3, 1])
    for line in message.lines:
        line.unit = "kg"
    return message


def varint(value):
    value, out = value & (2**64 - 1), b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def zigzag(value):
    return varint((value << 1) ^ (value >> 63))


def tag(number, wire):
    return varint(number << 3 | wire)


def sized(number, payload):
    return tag(number, 2) + varint(len(payload)) + payload


def frame(schema, index, payload):
    """Confluent's: a zero byte, the id in four bytes, the path to the message; that to the first message is one zero."""
    path = b"\0" if index == [0] else zigzag(len(index)) + b"".join(map(zigzag, index))
    return b"\0" + struct.pack(">I", schema) + path + payload


def main():
    first, second = classes("payment"), classes("payment_2")
    mock.uuid.uuid4 = lambda: uuid.UUID(int=RANDOM.getrandbits(128), version=4)
    registry = SchemaRegistryClient.new_client({"url": "mock://corpus"})
    context = SerializationContext("payment", MessageField.VALUE)
    index = {"Note": [0], "Payment": [1], "Payment.Line": [1, 0], "Payment.Line.Tax": [1, 0, 0]}
    ids, schemas = {}, {}

    def framed(version, kind, message):
        serializer = ProtobufSerializer(type(message), registry, {"use.deprecated.format": False})
        # Not in the order of a hash, so that maps have the same bytes in each run.
        payload = message.SerializeToString(deterministic=True)
        head = serializer(message, context)[: -len(payload) or None]
        ids.setdefault(version, struct.unpack(">I", head[1:5])[0])
        ours = frame(ids[version], index[kind], payload)
        assert ours == head + payload
        return ours

    # The registry first sees version 1, then 2.
    made = [(1, "Payment", payment(first["Payment"], number)) for number in range(30)]
    made += [(2, "Payment", newer(payment(second["Payment"], number))) for number in range(30, 42)]
    made += [(1, "Note", first["Note"](text=said)) for said in ("", "a note", "€")]
    for _ in range(3):
        line = first["Payment.Line"]()
        fill_line(line)
        made.append((1, "Payment.Line", line))
    made.append((1, "Payment.Line.Tax", first["Payment.Line.Tax"](rate=0.19, notes={"b": "2", "a": "1"})))
    values, truths = [], []
    for version, kind, message in made:
        values.append(framed(version, kind, message))
        entry = {"schema": ids[version], "message": f"corpus.{kind}", "value": truth_of(message)}
        if version == 2:
            older = first[kind].FromString(message.SerializeToString())
            entry[f"read_as_{ids[1]}"] = truth_of(older)
        truths.append(entry)
    values.append(None)
    truths.append({"schema": None, "message": None, "value": None})
    keys = [str(getattr(message, "id", 0)).encode() for _, _, message in made] + [b"7"]
    write_records(HERE / "confluent.jsonl", values, keys)
    write_truth(HERE / "confluent.truth.json", truths)
    bare = [message for _, kind, message in made[:30]][::2]
    write_records(HERE / "bare.jsonl", [message.SerializeToString(deterministic=True) for message in bare])
    write_truth(HERE / "bare.truth.json", [truth_of(message) for message in bare])

    for version, name in ((1, "payment"), (2, "payment_2")):
        files = descriptor_pb2.FileDescriptorSet.FromString((HERE / f"{name}.binpb").read_bytes()).file
        mine = next(file for file in files if file.name == f"{name}.proto")
        serialized = base64.b64encode(mine.SerializeToString()).decode()
        schemas[ids[version]] = {"file": f"{name}.proto", "descriptor_set": f"{name}.binpb", "references": list(mine.dependency), "serialized": serialized}
    (HERE / "schemas.json").write_text(json.dumps(schemas, indent=1) + "\n")

    unusual(first["Payment"])
    damaged(first["Payment"], ids[1], made[5][2].SerializeToString(deterministic=True))


def unusual(make):
    """Bare messages of version 1 as few writers make them. Truth is what Python's protobuf reads."""
    line = lambda label: sized(1, label)
    cases = [
        ("nothing at all is a message, all defaults", b""),
        ("fields from last to first", sized(54, b"1.5") + sized(14, b"late") + tag(1, 0) + varint(7)),
        ("a scalar twice: the last one", tag(1, 0) + varint(1) + tag(1, 0) + varint(2)),
        ("a string twice: the last one", sized(14, b"one") + sized(14, b"two")),
        ("a message twice: merged", sized(41, line(b"one") + tag(3, 0) + varint(3)) + sized(41, line(b"two"))),
        ("a time stamp twice: merged", sized(43, tag(1, 0) + varint(5)) + sized(43, tag(2, 0) + varint(7))),
        ("a choice twice: the last one", sized(35, b"text") + tag(36, 0) + varint(9)),
        ("a message as choice twice: merged", sized(38, line(b"a")) + sized(38, tag(3, 0) + varint(4))),
        ("packed, yet sent one by one", tag(22, 0) + varint(1) + tag(22, 0) + varint(-1)),
        ("packed in two parts, with one between", sized(22, varint(1) + varint(2)) + tag(22, 0) + varint(3) + sized(22, varint(4))),
        ("not packed, yet sent packed", sized(23, varint(1) + varint(2)) + sized(26, b"\1\0\0\0\2\0\0\0")),
        ("packed and empty", sized(22, b"")),
        ("a map's entry without key", sized(31, tag(2, 0) + varint(5))),
        ("a map's entry without value", sized(31, sized(1, b"k")) + sized(32, tag(1, 0) + varint(1))),
        ("a map's entry that is empty", sized(31, b"")),
        ("a map's key twice: the last one", sized(31, sized(1, b"k") + tag(2, 0) + varint(1)) + sized(31, sized(1, b"k") + tag(2, 0) + varint(2))),
        ("a map's value before its key", sized(31, tag(2, 0) + varint(5) + sized(1, b"k"))),
        ("a number that the enum does not have", tag(40, 0) + varint(77) + tag(21, 0) + varint(-77) + sized(27, varint(1) + varint(78))),
        ("zeros that need not be sent", tag(1, 0) + varint(0) + sized(14, b"") + tag(13, 0) + varint(0)),
        ("zeros of optional fields, which are there", tag(16, 0) + varint(0) + sized(17, b"") + tag(18, 0) + varint(0)),
        ("a bool of 2", tag(13, 0) + varint(2)),
        ("a bool of 2^63", tag(13, 0) + varint(2**63)),
        ("an int32 in ten bytes", tag(2, 0) + varint(-1)),
        ("an int32 of more than 32 bits: the lower ones", tag(2, 0) + varint(2**32 + 5)),
        ("a uint32 of more than 32 bits: the lower ones", tag(3, 0) + varint(2**35 + 6)),
        ("a varint longer than it need be", tag(1, 0) + b"\x87\x80\x80\x00"),
        ("a length longer than it need be", tag(14, 2) + b"\x83\x80\x00" + b"abc"),
        ("unknown fields of every wire type", tag(200, 0) + varint(1) + tag(201, 1) + bytes(8) + sized(202, b"x") + tag(203, 5) + bytes(4) + sized(14, b"known")),
        ("an unknown group, with one inside", tag(200, 3) + tag(1, 0) + varint(1) + tag(2, 3) + tag(2, 4) + tag(200, 4) + sized(14, b"after")),
        ("a known field of another wire type is unknown", tag(14, 0) + varint(1) + sized(1, b"x") + tag(2, 5) + bytes(4)),
        ("an unknown field with the largest number", tag(2**29 - 1, 0) + varint(1)),
        ("wrappers that are empty messages", sized(45, b"") + sized(46, b"") + sized(47, b"")),
        ("messages that are empty", sized(41, b"") + sized(43, b"") + sized(50, b"") + sized(42, b"") * 2),
        ("doubles by their bits: -0, a NaN with a payload", tag(12, 1) + struct.pack("<d", -0.0) + tag(19, 1) + struct.pack("<Q", 0x7FF8000000000123)),
    ]
    write_records(HERE / "unusual.jsonl", [payload for _, payload in cases])
    write_truth(HERE / "unusual.truth.json", [{"why": why, "value": truth_of(make.FromString(payload))} for why, payload in cases])


def damaged(make, schema, whole):
    """Records in Confluent's framing that are broken in one way each; Python's protobuf refuses each of the messages."""
    path = [1]
    messages = [
        ("cut in the middle of a field", whole[: whole.index(b"\x72") + 1]),
        ("a tag without its value", tag(1, 0)),
        ("a varint cut", tag(1, 0) + b"\xff"),
        ("a varint of eleven bytes", tag(1, 0) + b"\xff" * 10 + b"\1"),
        ("a varint without end", tag(1, 0) + b"\xff" * 40),
        ("a tag of more than 32 bits", b"\xf8\xff\xff\xff\x7f" + b"\1"),
        ("a string longer than the record", tag(14, 2) + varint(100) + b"abc"),
        ("a string of 2^63 bytes", tag(14, 2) + varint(2**63) + b"abc"),
        ("a string of 2^31 bytes", tag(14, 2) + varint(2**31) + b"abc"),
        ("a string that is not UTF-8", sized(14, b"\xc3\x28")),
        ("a map's key that is not UTF-8", sized(31, sized(1, b"\xff"))),
        ("a fixed64 of seven bytes", tag(8, 1) + bytes(7)),
        ("a fixed32 of three bytes", tag(7, 5) + bytes(3)),
        ("a field with the number 0", tag(0, 0) + b"\1"),
        ("wire type 6", tag(1, 6) + b"\1"),
        ("wire type 7", tag(1, 7) + b"\1"),
        ("a group's end without its start", tag(200, 4)),
        ("a group without its end", tag(200, 3) + tag(1, 0) + b"\1"),
        ("a group with another one's end", tag(200, 3) + tag(201, 4)),
        ("packed doubles of nine bytes", sized(25, bytes(9))),
        ("packed varints, the last one cut", sized(22, b"\1\xff")),
        ("a nested message longer than its own length", sized(41, tag(1, 2) + varint(9) + b"abc")),
        ("a time stamp that is cut", sized(43, tag(1, 0) + b"\xff")),
    ]
    for why, payload in messages:
        try:
            make.FromString(payload)
            raise AssertionError(why)
        except DecodeError:
            pass
    good = frame(schema, path, whole)
    frames = [
        ("no byte at all", b""),
        ("nothing but the first byte", good[:1]),
        ("the schema's id is cut", good[:4]),
        ("nothing after the schema's id", good[:5]),
        ("the path to the message is cut", good[:6]),
        ("a first byte that is not 0", b"\1" + good[1:]),
        ("JSON, not Protobuf", b'{"id": 1}'),
        ("no schema has this id", frame(999999, path, whole)),
        ("no message at this index", frame(schema, [2], whole)),
        ("no nested message at this index", frame(schema, [1, 1], whole)),
        ("a path deeper than the schema", frame(schema, [1, 0, 0, 0], whole)),
        ("a negative index", frame(schema, [-1], whole)),
        ("a path of a negative length", good[:5] + zigzag(-1) + whole),
        ("a path of 2^40 steps", good[:5] + zigzag(2**40) + whole),
        ("a varint without end in the path", good[:5] + b"\xff" * 40),
    ]
    disputed = [
        ("the path to the first message in its long form", b"\0" + struct.pack(">I", schema) + zigzag(1) + zigzag(0) + sized(1, b"a note")),
        ("the path as older writers have it, not zigzag", b"\0" + struct.pack(">I", schema) + b"\1\1" + whole),
        ("the message's bytes under the path of another one", frame(schema, [0], whole)),
        ("nanoseconds beyond a second", frame(schema, path, sized(43, tag(1, 0) + varint(5) + tag(2, 0) + varint(10**9)))),
        ("negative nanoseconds", frame(schema, path, sized(43, tag(1, 0) + varint(5) + tag(2, 0) + varint(-1)))),
        ("a time stamp beyond the year 9999", frame(schema, path, sized(43, tag(1, 0) + varint(253402300800)))),
        ("a decimal that is none", frame(schema, path, sized(50, sized(1, b"twelve")))),
        ("a decimal of no characters", frame(schema, path, sized(50, sized(1, b"")))),
        ("money of opposite signs", frame(schema, path, sized(51, sized(1, b"EUR") + tag(2, 0) + varint(1) + tag(3, 0) + varint(-5)))),
        ("a date of no day", frame(schema, path, sized(52, tag(1, 0) + varint(2026) + tag(2, 0) + varint(13)))),
    ]
    all_of = [*((why, frame(schema, path, payload)) for why, payload in messages), *frames, *disputed]
    write_records(HERE / "damaged.jsonl", [value for _, value in all_of])
    names = {why for why, _ in disputed}
    write_truth(HERE / "damaged.truth.json", [{"why": why, "disputed": why in names} for why, _ in all_of])


if __name__ == "__main__":
    main()
