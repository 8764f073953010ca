"""Archives and safetensors files that lie, and files that are no checkpoints at all."""

import json
import os
import struct
import zipfile

import numpy as np

from tests.formats import writer
from tests.formats.hostile.cases import PROTO, STOP, case, tiny


@case('a compressed entry')
def zip_bomb(path):
    pickled = PROTO + b'}' + STOP
    extra = {'archive/data/0': bytes(64 << 20)}
    path.write_bytes(writer.zip_bytes(pickled, extra=extra, compression=zipfile.ZIP_DEFLATED))


@case('points outside', '../../evil', '/etc/evil', 'archive/../../evil', '..\\evil')
def climbing(path, name):
    path.write_bytes(writer.zip_bytes(PROTO + b'}' + STOP, extra={name: b'x'}))


@case('each name once')
def two_pickles_of_one_name(path):
    data = bytearray(writer.zip_bytes(PROTO + b'}' + STOP, extra={'archive/data.pkX': b'}.'}))
    path.write_bytes(bytes(data).replace(b'archive/data.pkX', b'archive/data.pkl'))


@case('an archive with 2 entries called data.pkl')
def two_pickles(path):
    path.write_bytes(writer.zip_bytes(PROTO + b'}' + STOP, extra={'other/data.pkl': b'}.'}))


@case('Overlapped|overlap|damaged')
def overlapping_entries(path):
    """Every entry of the table points at the first one's bytes."""
    data = bytearray(writer.encode(tiny()))
    at = data.find(b'PK\x01\x02')
    while at >= 0:
        struct.pack_into('<I', data, at + 42, 0)
        at = data.find(b'PK\x01\x02', at + 4)
    path.write_bytes(data)


def _table_of(path, entries, zip64):
    """An archive that is a table of contents and nothing else."""
    record = struct.pack('<4s6H3I5H2I', b'PK\x01\x02', 20, 20, *(0,) * 14)
    table = record * entries
    end = b''
    if zip64:
        end += struct.pack('<4sQ2H2I4Q', b'PK\x06\x06', 44, 45, 45, 0, 0, 1, 1, len(table), 0)
        end += struct.pack('<4sIQI', b'PK\x06\x07', 0, 4 + len(table), 1)
    size = len(record) if zip64 else len(table)
    end += struct.pack('<4s4H2IH', b'PK\x05\x06', 0, 0, 1, 1, size, 0, 0)
    path.write_bytes(b'PK\x03\x04' + table + end)


@case('damaged archive', 'plain', 'zip64')
def endless_table(path, form):
    _table_of(path, 500_000, zip64=form == 'zip64')


@case('cut short|damaged', '4', '100', '5000', 'half', 'last')
def cut_zip(path, where):
    data = writer.encode(tiny())
    stop = {'half': len(data) // 2, 'last': len(data) - 1}.get(where) or int(where)
    path.write_bytes(data[:stop])


@case('truncated|damaged', '20', '100', '5000', 'half', 'last')
def cut_legacy(path, where):
    data = writer.encode(tiny(), 'legacy')
    stop = {'half': len(data) // 2, 'last': len(data) - 1}.get(where) or int(where)
    path.write_bytes(data[:stop])


@case('Bad CRC-32')
def flipped_bit_in_the_weights(path):
    data = bytearray(writer.encode(tiny()))
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@case('damaged archive')
def name_of_kilobytes_that_differs(path):
    """Python quotes it in its error, four characters for each byte."""
    data = bytearray(writer.encode({'w': np.zeros(25_000, np.float32)}))
    at = data.find(b'archive/data/0')
    struct.pack_into('<H', data, at - 4, 60_000)  # behind the local header's 30 bytes
    path.write_bytes(data)


@case('empty file')
def nothing(path):
    path.write_bytes(b'')


@case('without target.json')
def directory(path):
    path.mkdir()


@case('not a checkpoint')
def text(path):
    path.write_text('conv1.weight = 1\n' * 100)


@case('not a regular file')
def pipe(path):
    os.mkfifo(path)


@case('link_to_itself')
def link_to_itself(path):
    path.symlink_to(path)


def _safetensors(path, header, data=b'', length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', len(text) if length is None else length) + text + data)


def _entry(dtype='F32', shape=(1,), offsets=(0, 4)):
    return {'dtype': dtype, 'shape': list(shape), 'data_offsets': list(offsets)}


SAFETENSORS = {
    'shape': {'a': _entry(shape=(1 << 40,))},
    'overflow': {'a': _entry(shape=(1 << 62, 1 << 62))},
    'empty': {'a': _entry(shape=(0, 1 << 60, 1 << 60), offsets=(0, 0))},
    'offsets': {'a': _entry(offsets=(0, 1 << 60))},
    'backwards': {'a': _entry(offsets=(4, 0))},
    'overlap': {'a': _entry(), 'b': _entry()},
    'dimensions': {'a': _entry(shape=(1,) * 100)},
    'type': {'a': _entry(dtype='F8_E4M3', offsets=(0, 1))},
    'unknown_type': {'a': _entry(dtype='code')},
    'list': [1, 2],
}


@case('safetensors|not supported', *SAFETENSORS)
def lying_safetensors(path, name):
    data = b'' if name == 'empty' else b'\0' if name == 'type' else bytes(4)
    _safetensors(path, SAFETENSORS[name], data)


@case('a header of')
def safetensors_of_huge_header(path):
    _safetensors(path, b'{}', length=1 << 62)


@case('a header of')
def safetensors_of_a_million_tensors(path):
    row = b'"%07d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    _safetensors(path, b'{' + b','.join(row % i for i in range(100_000)) + b'}')


@case('25000 entries')
def safetensors_of_many_tensors(path):
    row = b'"%05d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    _safetensors(path, b'{' + b','.join(row % i for i in range(25_000)) + b'}')


@case('damaged safetensors')
def nested_safetensors(path):
    _safetensors(path, b'{"__metadata__":' + b'[' * 1_000_000)


@case('control characters')
def safetensors_that_speak_to_the_terminal(path):
    _safetensors(path, {'\x1b]0;evil\x07': _entry()}, bytes(4))


@case('no known backbone')
def safetensors_of_gigabytes_without_content(path):
    """A hole on the disk, as long as its header says."""
    count = 1 << 30
    _safetensors(path, {'a': _entry(shape=(count,), offsets=(0, 4 * count))})
    os.truncate(path, path.stat().st_size + 4 * count)


@case('not finite', 'nan', 'inf')
def not_finite(path, value):
    writer.save(path, tiny(**{'conv1.weight': np.full((8, 3, 3, 3), float(value), np.float32)}))


@case('variances below 0')
def negative_variance(path):
    writer.save(path, tiny(**{'bn1.running_var': np.full(8, -1, np.float32)}))
