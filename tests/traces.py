"""Reads the traces that `profiling` writes, without any reader of JAX's or XProf's."""

import gzip
import json
import pathlib


def steps(folder: pathlib.Path, label: str) -> list[int]:
    """Returns the numbers of the annotated steps in the only trace below `folder`.

    Both files must be readable: the JSON of Perfetto, and the protobuf of XProf, whose planes must fill
    it to its last byte and hold the annotation.
    """
    (text,) = folder.glob('plugins/profile/*/perfetto_trace.json.gz')
    with gzip.open(text) as file:
        events = json.load(file)['traceEvents']
    (space,) = text.parent.glob('*.xplane.pb')
    planes = [value for number, value in fields(space.read_bytes()) if number == 1]
    assert any(label.encode() in plane for plane in planes)
    found = [event for event in events if event.get('name') == label]
    assert all(event['dur'] > 0 for event in found)
    return [int(event['args']['step_num']) for event in sorted(found, key=lambda one: one['ts'])]


def fields(data: bytes):
    """Yields (number, value) of a message whose fields are texts or messages, to its end."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while at < len(data):
        key, length = varint(), varint()
        assert key & 7 == 2, 'neither a text nor a message'
        assert at + length <= len(data), 'cut off'
        yield key >> 3, data[at : at + length]
        at += length
