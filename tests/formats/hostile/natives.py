"""Native folders that lie, of today's form and of earlier versions."""

import json
import os
import pathlib
import shutil
import struct
from typing import Any

import jax
import numpy as np

from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.weights import native_targets
from tests.formats.hostile.cases import case
from tests.weights import old_folders


def ones() -> Any:
    """Returns variables of the tiny network, all ones, drawn without compiling anything."""
    abstract = registry.abstract_variables(registry.build('tiny'), registry.VARIANTS['tiny'].input)
    return jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), abstract)


def tiny_target() -> Target:
    """Returns the tiny network, all ones."""
    return registry.make_target('tiny', ones())


def native(path: pathlib.Path) -> pathlib.Path:
    """Writes an honest native folder, all ones; made once, copied afterwards."""
    original = path.parent / '.native'
    if not original.exists():
        native_targets.save_target(original, tiny_target())
    shutil.copytree(original, path)
    return path


def old_native(path: pathlib.Path) -> pathlib.Path:
    """Writes the same as earlier versions did."""
    original = path.parent / '.old_native'
    if not original.exists():
        native_targets.save_target(original, tiny_target())
        old_folders.age(original, 'target.json', ones())
    shutil.copytree(original, path)
    return path


DESCRIPTIONS = {
    'list': [],
    'text': 'iresnet50',
    'schema': {'schema': 3},
    'no_schema': {'schema': ['2']},
    'architecture': {'architecture': '../../evil'},
    'unhashable': {'architecture': ['tiny']},
    'depths': {'config': {'depths': [10**9] * 4}},
    'many_depths': {'config': {'depths': [1] * 10**5}},
    'width': {'config': {'width': 10**12}},
    'option': {'config': {'axis_name': 'x'}},
    'parent': {'config': {'parent': {}}},
    'name': {'config': {'name': 'x'}},
    'unknown': {'config': {'code': 'x'}},
    'dtype': {'config': {'dtype': 'object'}},
    'config': {'config': 'width'},
    'form': {'architecture': 'mobilefacenet_prelu', 'config': {'form': 'x'}},
    'squeeze': {'architecture': 'ir50', 'config': {'squeeze_excite': 'x'}},
    'side': {'input': {'height': 10**12, 'width': 32, 'mean': [1] * 3, 'std': [1] * 3}},
    'infinite': {'input': {'height': float('inf'), 'width': 32, 'mean': [1] * 3, 'std': [1] * 3}},
    'nan': {'input': {'height': 32, 'width': 32, 'mean': [1] * 3, 'std': [float('nan')] * 3}},
    'long': {'input': {'height': 32, 'width': 32, 'mean': [10**400] * 3, 'std': [1] * 3}},
    'large': {'config': {'depths': [32] * 4, 'width': 8192, 'embedding': 8192}},
    'large_input': {'input': {'height': 4096, 'width': 4096, 'mean': [1] * 3, 'std': [1] * 3}},
    'digest': {'variables_sha256': '0' * 64},
    'no_digest': {'variables_sha256': None},
    'old': {'schema': 1},
    'changed': {'sha256': '0' * 64},
}


@case(r'target\.json|instead of|missing|SHA-256|found', *DESCRIPTIONS)
def lying_description(path, name):
    file = native(path) / 'target.json'
    lie = DESCRIPTIONS[name]
    if isinstance(lie, dict):
        old_folders.change(file)  # a lie of its own, not one that the digest gives away
        lie = {**json.loads(file.read_text()), **lie}
    file.write_text(json.dumps(lie))


@case(r'target\.json', 'nested', 'large', 'bytes', 'number')
def malformed_description(path, name):
    file = native(path) / 'target.json'
    content = {
        'nested': b'[' * 1_000_000,
        'large': b'[' + b'0,' * (3 << 20) + b'0]',
        'bytes': bytes(range(256)),
        'number': b'{"schema": ' + b'9' * 100_000 + b'}',
    }
    file.write_bytes(content[name])


VARIABLES = 'variables.safetensors'


@case('no such file')
def native_without_variables(path):
    (native(path) / VARIABLES).unlink()


@case('a directory')
def native_of_a_folder(path):
    (native(path) / VARIABLES).unlink()
    (path / VARIABLES).mkdir()


@case('not a regular file|without target', VARIABLES, 'target.json')
def native_of_a_pipe(path, name):
    (native(path) / name).unlink()
    os.mkfifo(path / name)


@case('damaged safetensors|empty file', 'emptied', 'cut', 'last', 'head')
def cut_variables(path, how):
    file = native(path) / VARIABLES
    data = file.read_bytes()
    stop = {'emptied': 0, 'cut': len(data) // 2, 'last': len(data) - 1, 'head': 5}[how]
    file.write_bytes(data[:stop])


@case('SHA-256')
def flipped_bit_in_the_variables(path):
    file = native(path) / VARIABLES
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def _header(path, change):
    """Changes the header of the honest file."""
    file = native(path) / VARIABLES
    data = file.read_bytes()
    length = int.from_bytes(data[:8], 'little')
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(change(header)).encode()
    file.write_bytes(struct.pack('<Q', len(text)) + text + data[8 + length :])
    return file


KERNEL = 'params/conv1/kernel'
LIES = {
    'shape': lambda header: {**header, KERNEL: {**header[KERNEL], 'shape': [216]}},
    'type': lambda header: {**header, KERNEL: {**header[KERNEL], 'dtype': 'I32'}},
    'missing': lambda header: {name: row for name, row in header.items() if name != KERNEL},
    'renamed': lambda header: {{KERNEL: 'params/evil'}.get(n, n): row for n, row in header.items()},
    'offsets': lambda header: {
        **header,
        KERNEL: {**header[KERNEL], 'data_offsets': [1 << 60, (1 << 60) + 864]},
    },
    'huge': lambda header: {**header, KERNEL: {**header[KERNEL], 'shape': [1 << 40, 1 << 40]}},
}


@case('instead of|missing|damaged safetensors', *LIES)
def lying_header(path, name):
    _header(path, LIES[name])


@case('unmatched')
def native_with_gigabytes_more(path):
    """A hole on the disk, as long as the header says."""
    size = 4 << 30

    def add(header):
        stop = max(row['data_offsets'][1] for row in header.values() if 'dtype' in row)
        entry = {'dtype': 'F32', 'shape': [size // 4], 'data_offsets': [stop, stop + size]}
        return {**header, 'params/more': entry}

    file = _header(path, add)
    os.truncate(file, file.stat().st_size + size)


# Of earlier versions.


@case('found no folder')
def old_native_without_variables(path):
    shutil.rmtree(old_native(path) / 'variables')


@case('Orbax', 'emptied', 'cut', 'flipped')
def damaged_old_variables(path, how):
    for file in (old_native(path) / 'variables').rglob('*'):
        if file.is_file() and file.parent.name == 'd':
            data = file.read_bytes()
            flipped = bytes(byte ^ 0x55 for byte in data)
            file.write_bytes({'emptied': b'', 'cut': data[: len(data) // 2]}.get(how, flipped))


@case('Orbax|files of at most', 'nested', 'large', 'list', 'empty')
def malformed_metadata(path, name):
    content = {'nested': b'[' * 1_000_000, 'large': b'[' * (5 << 20), 'list': b'[]', 'empty': b''}
    (old_native(path) / 'variables' / '_METADATA').write_bytes(content[name])


@case('not a regular file', '_METADATA', '_CHECKPOINT_METADATA', 'manifest.ocdbt')
def pipe_in_old_variables(path, name):
    (old_native(path) / 'variables' / name).unlink()
    os.mkfifo(path / 'variables' / name)


@case('not a regular file', 'd')
def link_in_old_variables(path, name):
    shutil.rmtree(old_native(path) / 'variables' / name)
    (path / 'variables' / name).symlink_to('/proc')


def _store(path):
    import tensorstore

    base = (path / 'variables').resolve().as_uri() + '/'
    return tensorstore.KvStore.open({'driver': 'ocdbt', 'base': base}).result()


@case('larger than itself')
def chunk_larger_than_its_array(path):
    store, key = _store(old_native(path)), b'params.conv1.kernel/.zarray'
    layout = json.loads(store.read(key).result().value)
    layout['chunks'] = [3, 3, 3, 1 << 40]
    store.write(key, json.dumps(layout).encode()).result()


@case('instead of')
def array_larger_than_described(path):
    store, key = _store(old_native(path)), b'params.conv1.kernel/.zarray'
    layout = json.loads(store.read(key).result().value)
    layout['shape'] = layout['chunks'] = [3, 3, 3, 1 << 40]
    store.write(key, json.dumps(layout).encode()).result()


@case('damaged Orbax')
def compressed_bomb(path):
    """256 MiB of zeros where a kilobyte belongs."""
    import tensorstore

    count = 1 << 26
    layout = {'shape': [count], 'chunks': [count], 'dtype': '<f4', 'zarr_format': 2, 'order': 'C'}
    layout |= {'compressor': {'id': 'zstd', 'level': 1}, 'fill_value': None, 'filters': None}
    spec = {'driver': 'zarr', 'kvstore': {'driver': 'memory'}, 'metadata': layout}
    bomb = tensorstore.open(spec, create=True).result()
    bomb.write(np.broadcast_to(np.float32(0), (count,))).result()
    value = bomb.kvstore.read(b'0').result().value
    _store(old_native(path)).write(b'params.conv1.kernel/0.0.0.0', value).result()
