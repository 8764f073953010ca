"""Native directories that lie."""

import json
import pathlib
import shutil

import jax
import numpy as np

from fr_inference.models import registry
from fr_inference.weights import native_targets
from tests.formats.hostile.cases import case


def native(path: pathlib.Path) -> pathlib.Path:
    """Writes an honest native checkpoint, all ones; made once, copied afterwards."""
    original = path.parent / '.native'
    if not original.exists():
        abstract = registry.abstract_variables(
            registry.build('tiny'), registry.VARIANTS['tiny'].input
        )
        ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), abstract)
        native_targets.save_target(original, registry.make_target('tiny', ones))
    shutil.copytree(original, path)
    return path


DESCRIPTIONS = {
    'list': [],
    'text': 'iresnet50',
    'schema': {'schema': 2},
    'architecture': {'architecture': '../../evil'},
    'unhashable': {'architecture': ['tiny']},
    'depths': {'config': {'depths': [10**9] * 4}},
    'many_depths': {'config': {'depths': [1] * 10**5}},
    'width': {'config': {'width': 10**12}},
    'option': {'config': {'axis_name': 'x'}},
    'parent': {'config': {'parent': {}}},
    'dtype': {'config': {'dtype': 'object'}},
    'config': {'config': 'width'},
    'side': {'input': {'height': 10**12, 'width': 32, 'mean': [1] * 3, 'std': [1] * 3}},
    'infinite': {'input': {'height': float('inf'), 'width': 32, 'mean': [1] * 3, 'std': [1] * 3}},
    'nan': {'input': {'height': 32, 'width': 32, 'mean': [1] * 3, 'std': [float('nan')] * 3}},
    'large': {'config': {'depths': [32] * 4, 'width': 8192, 'embedding': 8192}},
    'large_input': {'input': {'height': 4096, 'width': 4096, 'mean': [1] * 3, 'std': [1] * 3}},
}


@case(r'target\.json|instead of|missing', *DESCRIPTIONS)
def lying_description(path, name):
    file = native(path) / 'target.json'
    lie = DESCRIPTIONS[name]
    record = {**json.loads(file.read_text()), **lie} if isinstance(lie, dict) else lie
    file.write_text(json.dumps(record))


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


@case('variables: not found')
def native_without_variables(path):
    shutil.rmtree(native(path) / 'variables')


@case('Orbax', 'emptied', 'cut', 'flipped')
def damaged_variables(path, how):
    for file in (native(path) / 'variables').rglob('*'):
        if file.is_file() and file.parent.name == 'd':
            data = file.read_bytes()
            flipped = bytes(byte ^ 0x55 for byte in data)
            file.write_bytes({'emptied': b'', 'cut': data[: len(data) // 2]}.get(how, flipped))


@case('Orbax|over .* bytes', 'nested', 'large', 'list', 'empty')
def malformed_metadata(path, name):
    content = {'nested': b'[' * 1_000_000, 'large': b'[' * (5 << 20), 'list': b'[]', 'empty': b''}
    (native(path) / 'variables' / '_METADATA').write_bytes(content[name])


def _store(path):
    import tensorstore

    base = (path / 'variables').resolve().as_uri() + '/'
    return tensorstore.KvStore.open({'driver': 'ocdbt', 'base': base}).result()


@case('larger than itself')
def chunk_larger_than_its_array(path):
    store, key = _store(native(path)), b'params.conv1.kernel/.zarray'
    layout = json.loads(store.read(key).result().value)
    layout['chunks'] = [3, 3, 3, 1 << 40]
    store.write(key, json.dumps(layout).encode()).result()


@case('instead of')
def array_larger_than_described(path):
    store, key = _store(native(path)), b'params.conv1.kernel/.zarray'
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
    _store(native(path)).write(b'params.conv1.kernel/0.0.0.0', value).result()
