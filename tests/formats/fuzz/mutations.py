"""Ways to change an honest file: bits, lengths, pieces, and what its format is made of."""

import io
import json
import pickletools
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.formats.hostile import MARKER

_TOUCH = f'touch {MARKER}'.encode()
_TEXT = b'X' + struct.pack('<I', len(_TOUCH)) + _TOUCH


def _text(words: bytes) -> bytes:
    return b'\x8c' + bytes([len(words)]) + words


# Each leaves one value on the stack: a call that an unpickler of Python's would make, or a lie.
SNIPPETS = (
    b'cos\nsystem\n(' + _TEXT + b'tR',
    b'cposix\nsystem\n' + _TEXT + b'\x85R',
    b"(S'" + _TOUCH + b"'\nios\nsystem\n",
    b'(cos\nsystem\n' + _TEXT + b'o',
    b'cos\nsystem\n(' + _TEXT + b't\x81',
    b'cos\nsystem\n(' + _TEXT + b't}\x92',
    _text(b'os') + _text(b'system') + b'\x93(' + _TEXT + b'tR',
    b'cbuiltins\neval\n(X\x18\x00\x00\x00open("' + MARKER.encode() + b'", "w")' + b'tR',
    b'cbuiltins\ngetattr\n(cos\nsystem\n' + _text(b'__call__') + b'tR',
    b'csubprocess\nPopen\n(' + _TEXT + b'tR',
    b'ccollections\nOrderedDict\n)R}' + _text(b'__setstate__') + b'cos\nsystem\nsb',
    b'\x82\x01',
    b'\x84\xff\xff\xff\x7f',
    _TEXT + b'Q',
    b'P' + _TOUCH + b'\n',
    b'ctorch._utils\n_rebuild_tensor_v2\n(NJ\xff\xff\xff\x7f(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft)\x89NtR',
    b'ctorch.storage\n_load_from_bytes\n' + _TEXT + b'\x85R',
    b'ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R',
    b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85' + _text(b'b') + b'tR',
    b'cnumpy.core.multiarray\nscalar\n(' + _TEXT + b'tR',
    b'c_codecs\nencode\n(' + _TEXT + _text(b'latin1') + b'tR',
    b'\x95' + b'\xff' * 8 + b'N',
    b'\x8e' + struct.pack('<Q', 1 << 40) + b'xx',
    b'\x8a\xff' + b'\x7f' * 255,
    b'I' + b'9' * 5000 + b'\n',
    b'F1e999\n',
    b'(' * 500 + b't' * 500,
    b']' * 300 + b'a' * 299,
    b'\x97\x98',
    b'h\xff',
    b'j\xff\xff\xff\xff',
    b'2',
)
_NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
)
_WORDS = (b'0', b'-1', b'1e999', b'nan', b'9' * 30, b'\xff', b'\0', b'../', b'\n', b'"', b',', b'[')
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 1.5, 2**31, 2**63, 10**400, 1e308, float('nan'), float('inf'), ''),
    *('x' * 5000, '../../x', 'a\x1b[2J\n', [], {}, [[[]]], [1] * 10_000, {'a': {'b': 1}}, ['tiny']),
)


def bits(draw: np.random.Generator, data: bytes, _: Sequence[bytes]) -> bytes:
    """A few flipped bits."""
    changed = bytearray(data)
    for bit in draw.integers(0, 8 * len(data), draw.integers(1, 9)).tolist():
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def cut(draw: np.random.Generator, data: bytes, _: Sequence[bytes]) -> bytes:
    """Without its end, its beginning, or a piece in the middle."""
    first, last = sorted(draw.integers(0, len(data) + 1, 2).tolist())
    return (data[:first], data[first:], data[:first] + data[last:])[draw.integers(3)]


def splice(draw: np.random.Generator, data: bytes, others: Sequence[bytes]) -> bytes:
    """A piece of another file, or of itself, put in, or in the place of what was there."""
    source = others[draw.integers(len(others))] or data
    begin = int(draw.integers(len(source)))
    piece = source[begin : begin + int(draw.integers(1, 200))]
    at = int(draw.integers(len(data) + 1))
    return data[:at] + piece + data[at + len(piece) * int(draw.integers(2)) :]


def lengths(draw: np.random.Generator, data: bytes, _: Sequence[bytes]) -> bytes:
    """Whole numbers of 1 to 8 bytes, most likely near the beginning, where headers are."""
    changed = bytearray(data)
    for _turn in range(draw.integers(1, 4)):
        size = int(draw.choice([1, 2, 4, 8]))
        number = int(draw.choice(_NUMBERS)) & ((1 << 8 * size) - 1)
        reach = len(data) if draw.integers(2) else min(len(data), 300)
        at = int(draw.integers(max(1, reach - size)))
        changed[at : at + size] = number.to_bytes(size, ('little', 'big')[draw.integers(2)])
    return bytes(changed)


def words(draw: np.random.Generator, data: bytes, _: Sequence[bytes]) -> bytes:
    """A text of its own put in at random places."""
    for _turn in range(draw.integers(1, 4)):
        at = int(draw.integers(len(data) + 1))
        data = data[:at] + _WORDS[draw.integers(len(_WORDS))] + data[at + draw.integers(3) :]
    return data


GENERIC: tuple[Callable, ...] = (bits, cut, splice, lengths, words)


def one_bit(draw: np.random.Generator, data: bytes, _: Sequence[bytes]) -> bytes:
    """What a disk or a copy does: one flipped bit, or a missing end."""
    if draw.integers(4) == 0:
        return data[: draw.integers(len(data))]
    changed, bit = bytearray(data), int(draw.integers(8 * len(data)))
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def opcodes(draw: np.random.Generator, data: bytes, others: Sequence[bytes]) -> bytes:
    """A snippet between two operations of a pickle, which goes on with or without its value."""
    try:
        places = [at or 0 for _, _, at in pickletools.genops(data)]
    except Exception:  # another kind of file
        return lengths(draw, data, others)
    at = places[draw.integers(len(places))]
    snippet = SNIPPETS[draw.integers(len(SNIPPETS))]
    return data[:at] + snippet + (b'', b'0', b'.')[draw.integers(3)] + data[at:]


def archive(draw: np.random.Generator, data: bytes, others: Sequence[bytes]) -> bytes:
    """An entry of an archive changed, the archive around it honest; sometimes renamed or repeated."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as read, zipfile.ZipFile(made, 'w') as written:
        names = read.namelist()
        chosen = names[draw.integers(len(names))] if draw.integers(2) else names[0]
        for name in names:
            content = read.read(name)
            if name == chosen:
                change = (opcodes, opcodes, bits, cut, lengths)[draw.integers(5)]
                content = change(draw, content, others) if content else content
                if draw.integers(8) == 0:
                    name = ('../x', 'a/data.pkl', name + '\x1b', '', 'a' * 5000)[draw.integers(5)]
            written.writestr(name, content)
    return made.getvalue()


def json_values(draw: np.random.Generator, data: bytes, _: Sequence[bytes]) -> bytes:
    """Some values of a JSON file, at any depth; without its digest, so that they are looked at."""
    record = json.loads(data)
    record.pop('sha256', None)
    for _turn in range(draw.integers(1, 3)):
        place = record
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = keys[draw.integers(len(keys))]
            inner = isinstance(place[key], dict | list) and len(place[key]) and draw.integers(4)
            if not inner:
                place[key] = _VALUES[draw.integers(len(_VALUES))]
                break
            place = place[key]
    return json.dumps(record).encode()


def header(draw: np.random.Generator, data: bytes, others: Sequence[bytes]) -> bytes:
    """The JSON header of a safetensors file, its length right again."""
    size = int.from_bytes(data[:8], 'little')
    text = json_values(draw, data[8 : 8 + size], others)
    return struct.pack('<Q', len(text)) + text + data[8 + size :]


def json_or_bytes(draw: np.random.Generator, data: bytes, others: Sequence[bytes]) -> bytes:
    """Values where the file is a description, the header where it holds variables, else bytes."""
    if data[:1] == b'{' and draw.integers(4):
        return json_values(draw, data, others)
    if data[8:9] == b'{' and draw.integers(2):
        return header(draw, data, others)
    return GENERIC[draw.integers(len(GENERIC))](draw, data, others)
