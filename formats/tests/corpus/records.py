"""Kafka records as lines of JSON, for the scripts beside."""

import base64
import json


def base64_or_none(value):
    return None if value is None else base64.b64encode(value).decode()


def write_records(path, values, keys=None, headers=None):
    """Writes one topic: values, keys and headers are bytes; a record a second from 2026-01-01."""
    lines = []
    for offset, value in enumerate(values):
        record = {
            "key": base64_or_none(keys[offset] if keys else None),
            "value": base64_or_none(value),
            "headers": [[name, base64_or_none(text)] for name, text in (headers[offset] if headers else [])],
            "timestamp": 1767225600000 + 1000 * offset,
            "partition": 0,
            "offset": offset,
        }
        lines.append(json.dumps(record) + "\n")
    path.write_text("".join(lines))


def write_truth(path, truth):
    """Writes what the records of a topic mean: a list, one entry a record, each on a line of its own."""
    lines = [json.dumps(entry, ensure_ascii=False) for entry in truth]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
