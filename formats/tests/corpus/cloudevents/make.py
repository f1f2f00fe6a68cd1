#!/usr/bin/env python3
"""Makes the CloudEvents corpus beside this file, by the Kafka binding of the PyPI package `cloudevents`: its present one, and the one
that its 1.x had, which many still run. Truth is the event that was put in; the package reads each of its records back.
"""

import base64
import datetime
import json
import sys
from pathlib import Path

from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.http import CloudEvent as OldEvent
from cloudevents.v1.kafka import to_binary as old_binary
from cloudevents.v1.kafka import to_structured as old_structured

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True
from records import write_records, write_truth

UTC = datetime.timezone.utc
AT = datetime.datetime(2026, 1, 5, 9, 0, 0, 123456, UTC)
FIRST = {"id": "1", "source": "/billing", "type": "payment.created", "time": AT, "datacontenttype": "application/json"}
EVENTS = [
    (FIRST | {"partitionkey": "42"}, {"id": 1, "amount": "12.50", "tags": ["a", None], "large": 9007199254740993}),
    (FIRST | {"id": "2", "subject": "payments/2"}, {"text": "línea\n\"quoted\" 💶", "nested": {"a": {"b": 1.5}}}),
    (FIRST | {"id": "3", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tenant": "ü/ö"}, [1, 2, 3]),
    (FIRST | {"id": "4", "attempt": 3, "replayed": True}, "only text"),
    (FIRST | {"id": "5", "dataschema": "https://example.com/schemas/payment.json"}, 12.5),
    ({"id": "6", "source": "urn:uuid:7f2c4a0e-9b1d-4c3e-8f5a-6d7e8f9a0b1c", "type": "x", "time": AT}, {"without": "a content type"}),
    (FIRST | {"id": "7"}, None),
    (FIRST | {"id": "8", "datacontenttype": "application/octet-stream"}, b"\x00\xff\x10binary"),
    (FIRST | {"id": "9", "datacontenttype": "application/avro"}, b""),
    (FIRST | {"id": "10", "datacontenttype": "text/plain"}, "plain, ünd more"),
    (FIRST | {"id": "11", "datacontenttype": "application/xml"}, "<a b=\"c\">d</a>"),
    (FIRST | {"id": "12", "datacontenttype": "application/vnd.corpus+json; charset=utf-8"}, {"suffix": True}),
    (FIRST | {"id": "13", "time": datetime.datetime(2026, 1, 5, 9, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=-5, minutes=-30)))}, {}),
    (FIRST | {"id": "14", "datacontenttype": "application/json"}, b'{"json": "as bytes"}'),
    (FIRST | {"id": "ü 15", "source": "https://example.com/a?b=c#d"}, {"id": "of unicode"}),
]


def said(attributes, data):
    """The event as truth: attributes as text, data as it was put in, bytes as base64."""
    text = lambda value: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime.datetime) else value
    event = {"attributes": {name: text(value) for name, value in sorted(attributes.items())}}
    if isinstance(data, bytes):
        return event | {"data_base64": base64.b64encode(data).decode()}
    return event | {"data": data}


def write(name, messages, truths):
    as_bytes = lambda key: key.encode() if isinstance(key, str) else key
    headers = [list(message.headers.items()) for message in messages]
    write_records(HERE / f"{name}.jsonl", [m.value for m in messages], [as_bytes(m.key) for m in messages], headers)
    write_truth(HERE / f"{name}.truth.json", truths)


def main():
    json_format, structured, binary, truths = JSONFormat(), [], [], []
    for attributes, data in EVENTS:
        attributes = {"specversion": "1.0"} | attributes
        event = CloudEvent(attributes, data)
        structured.append(kafka.to_structured(event, json_format))
        binary.append(kafka.to_binary(event, json_format))
        truths.append(said(attributes, data))
        back = kafka.from_structured(structured[-1], json_format)
        assert back.get_attributes() == attributes and back.get_data() == (data if data != b"" else b""), attributes
    # The package gives every event a time; it need not have one, nor data.
    least = {"specversion": "1.0", "id": "16", "source": "a", "type": "b"}
    structured.append(kafka.KafkaMessage({"content-type": b"application/cloudevents+json"}, None, json.dumps(least).encode()))
    binary.append(kafka.KafkaMessage({f"ce_{name}": value.encode() for name, value in least.items()}, None, b""))
    truths.append(said(least, None))
    write("structured", structured, truths)
    quirks = {3: "the package writes a text without quotes, so it is not JSON, and a boolean as True", 6: "no data is no bytes"}
    write("binary", binary, [truth | ({"quirk": quirks[i]} if i in quirks else {}) for i, truth in enumerate(truths)])

    old = []
    for attributes, data in EVENTS:
        attributes = {name: value.isoformat() if name == "time" else str(value) for name, value in attributes.items()}
        old.append((attributes, data))
    # Of 1.x: everything is text, and an event that has no content type cannot be written.
    events = [(OldEvent(attributes, data), data) for attributes, data in old if "datacontenttype" in attributes]
    names = lambda event: {name: value for name, value in event.get_attributes().items() if value is not None}
    write("structured-1x", [old_structured(event) for event, _ in events], [said(names(event), data) for event, data in events])
    # It makes JSON of all data unless told otherwise.
    plain = lambda data: data if isinstance(data, (bytes, str)) else json.dumps(data)
    marshaller = lambda event: None if "json" in event["datacontenttype"] and not isinstance(event.data, bytes) else plain
    write("binary-1x", [old_binary(event, marshaller(event)) for event, _ in events], [said(names(event), data) for event, data in events])
    damaged(structured[0], binary[0])


def damaged(structured, binary):
    event = json.loads(structured.value)
    changed = lambda **more: json.dumps({name: value for name, value in (event | more).items() if value is not ...}).encode()
    kind = [("content-type", b"application/cloudevents+json")]
    heads = dict(binary.headers)
    without = lambda name: [item for item in heads.items() if item[0] != name]
    instead = lambda **more: list((heads | {name.replace("content_type", "content-type"): value for name, value in more.items()}).items())
    cases = [
        ("structured: no bytes", kind, b"", False),
        ("structured: not JSON", kind, b"{", False),
        ("structured: a list", kind, b"[]", False),
        *((f"structured: no {name}", kind, changed(**{name: ...}), False) for name in ("id", "source", "type", "specversion")),
        ("structured: an empty id", kind, changed(id=""), False),
        ("structured: an id that is a number", kind, changed(id=1), False),
        ("structured: a version that nobody knows", kind, changed(specversion="2.0"), False),
        ("structured: data twice", kind, changed(data_base64="AA=="), False),
        ("structured: base64 that is none", kind, changed(data=..., data_base64="a!"), False),
        ("structured: base64 without its padding", kind, changed(data=..., data_base64="AA"), True),
        ("structured: a time that is none", kind, changed(time="yesterday"), False),
        ("structured: a time without a zone", kind, changed(time="2026-01-05T09:00:00"), True),
        ("structured: an attribute with a name in capitals", kind, changed(TraceParent="x"), True),
        ("structured: an attribute that is an object", kind, changed(extra={"a": 1}), True),
        ("structured: an attribute that is null is not there", kind, changed(subject=None), True),
        ("structured: the older version 0.3", kind, changed(specversion="0.3"), True),
        ("structured: a character set after the content type", [("content-type", b"application/cloudevents+json; charset=UTF-8")], structured.value, True),
        ("structured: the content type in another case", [("Content-Type", b"Application/CloudEvents+JSON")], structured.value, True),
        ("structured: no content type at all", [], structured.value, True),
        ("structured: a batch, which Kafka's binding does not have", [("content-type", b"application/cloudevents-batch+json")],
         b"[" + structured.value + b"]", False),
        ("structured: another format", [("content-type", b"application/cloudevents+avro")], b"\0", False),
        ("structured: a Kafka null", kind, None, True),
        *((f"binary: no {name}", without(name), binary.value, False) for name in ("ce_id", "ce_source", "ce_type", "ce_specversion")),
        ("binary: no content type", without("content-type"), binary.value, True),
        ("binary: data that is not of its content type", list(heads.items()), b"{", False),
        ("binary: a header that is not UTF-8", instead(ce_type=b"\xff"), binary.value, False),
        ("binary: a header that is null", instead(ce_subject=None), binary.value, True),
        ("binary: a header twice", [*heads.items(), ("ce_id", b"2")], binary.value, True),
        ("binary: a header in capitals", [*without("ce_id"), ("CE_ID", b"1")], binary.value, True),
        ("binary: a time that is none", instead(ce_time=b"1767603600"), binary.value, False),
        ("binary: a Kafka null, which is an event without data", list(heads.items()), None, True),
        ("neither: no header and no JSON", [], b"hello", False),
    ]
    write_records(HERE / "damaged.jsonl", [value for _, _, value, _ in cases], headers=[head for _, head, _, _ in cases])
    write_truth(HERE / "damaged.truth.json", [{"why": why, "disputed": disputed} for why, _, _, disputed in cases])


if __name__ == "__main__":
    main()
