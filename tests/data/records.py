"""Writes RecordIO files as MXNet does, byte by byte, for the tests of the reader."""

import io
import struct

import numpy as np
from PIL import Image

MAGIC = struct.pack('<I', 0xCED7230A)


def jpeg(seed, size=16, **options):
    """A small JPEG of smooth noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((size, size)).save(buffer, 'JPEG', **options)
    return buffer.getvalue()


def part(kind, content):
    head = MAGIC + struct.pack('<I', kind << 29 | len(content))
    return head + content + bytes(-len(content) % 4)


def framed(content):
    """A record; where the magic number stands in it at a multiple of four, it is cut there."""
    cuts = [at for at in range(0, len(content) - 3, 4) if content[at : at + 4] == MAGIC]
    pieces, start = [], 0
    for cut in cuts:
        pieces.append(content[start:cut])
        start = cut + 4
    pieces.append(content[start:])
    if len(pieces) == 1:
        return part(0, content)
    kinds = [1, *[2] * (len(pieces) - 2), 3]
    return b''.join(part(kind, piece) for kind, piece in zip(kinds, pieces, strict=True))


def header(labels, number=0):
    """One label stands in the header itself, several behind it."""
    if np.isscalar(labels):
        return struct.pack('<IfQQ', 0, labels, number, 0)
    block = np.asarray(labels, '<f4').tobytes()
    return struct.pack('<IfQQ', len(labels), 0.0, number, 0) + block


def write(path, records):
    """Writes PATH.rec and PATH.idx from {key: content}; returns the offset of each key."""
    offsets, position = {}, 0
    with open(path.with_suffix('.rec'), 'wb') as file:
        for key, content in records.items():
            offsets[key] = position
            position += file.write(framed(content))
    lines = ''.join(f'{key}\t{offset}\n' for key, offset in offsets.items())
    path.with_suffix('.idx').write_text(lines)
    return offsets


def training_set(people, landmarks=False):
    """Records of {label: [JPEG, ...]} as insightface lays them out."""
    images = [(label, image) for label, own in people.items() for image in own]
    begin, end = len(images) + 1, len(images) + 1 + len(people)
    records = {0: header([begin, end])}
    for key, (label, image) in enumerate(images, start=1):
        labels = [label, *range(10)] if landmarks else label
        records[key] = header(labels, key) + image
    start = 1
    for key, own in enumerate(people.values(), start=begin):
        records[key] = header([start, start + len(own)], key)
        start += len(own)
    return records
