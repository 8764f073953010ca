"""Makes files that try to run code, fill memory, climb out or lie; run as a program, opens them all.

`CASES` has a maker for each: it is given the path to write and returns nothing. As a program
(`python hostile.py FOLDER`) it converts everything in FOLDER, one after the other, and prints what each
attempt took.
"""

import contextlib
import io
import json
import os
import pathlib
import pickle
import resource
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable

import jax
import ml_dtypes  # noqa: F401  (teaches NumPy bfloat16)
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from convert import states, writer  # noqa: E402
from fr_inference import checkpoint  # noqa: E402
from fr_inference.models import registry  # noqa: E402

Maker = Callable[[pathlib.Path], object]
CASES: dict[str, tuple[str, Maker]] = {}
"""Name -> (words of the one line of error, maker)."""
PROTO, STOP = writer.PROTO, b'.'


def case(words: str, *names: str) -> Callable[[Callable], Callable]:
    """Registers a maker; with names, one case for each, the name as its second argument."""

    def register(maker):
        base = maker.__name__
        for name in names or ('',):
            made = (lambda path, name=name: maker(path, name)) if name else maker
            CASES[f'{base}_{name}'.strip('_')] = (words, made)
        return maker

    return register


def _tiny(**changes) -> dict[str, np.ndarray]:
    return {**states.filled(states.iresnet()), **changes}


def _pickle_in(path, pickled, form='zip', blocks=()):
    path.write_bytes(writer.FORMATS[form](PROTO + pickled + STOP, list(blocks)))


# ------------------------------------------------------------------------------ code


class Bomb:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def bombs(marker: pathlib.Path) -> dict[str, Bomb]:
    """What Python's own unpickler would run: each leaves `marker` behind."""
    opening = f'open({str(marker)!r}, "w")'
    return {
        'system': Bomb(os.system, f'touch {marker}'),
        'eval': Bomb(eval, opening),
        'getattr': Bomb(getattr, Bomb(eval, opening), 'name'),
        'nested': Bomb(print, Bomb(print, Bomb(exec, opening))),
    }


MARKER = 'ran.marker'


@case('nothing was run', 'system', 'eval', 'getattr', 'nested')
def code_in_zip(path, name):
    bomb = bombs(path.parent / MARKER)[name]
    pickled = pickle.dumps({'state_dict': {'conv1.weight': bomb}}, 2)
    path.write_bytes(writer.zip_bytes(pickled))


@case('nothing was run', 'system', 'eval', 'getattr', 'nested')
def code_in_legacy(path, name):
    bomb = bombs(path.parent / MARKER)[name]
    path.write_bytes(writer.legacy_bytes(pickle.dumps([bomb], 2)))


@case('nothing was run')
def code_as_a_plain_pickle(path):
    path.write_bytes(pickle.dumps(bombs(path.parent / MARKER)['system'], 4))


@case('INST')
def code_by_an_old_operation(path):
    command = f'touch {path.parent / MARKER}'.encode()
    _pickle_in(path, b"(S'" + command + b"'\nios\nsystem\n")


@case('nothing was run')
def whole_model(path):
    """What torch.save(model) writes: the class by name, its state behind."""
    _pickle_in(path, writer.name_of('models', 'MobileFaceNet') + b')\x81}b', 'legacy')


@case('TorchScript')
def torchscript(path):
    data = pickle.dumps({}, 2)
    path.write_bytes(writer.zip_bytes(data, extra={'archive/constants.pkl': data}))


# ------------------------------------------------------------------------------ lying sizes

_BLOCK = writer.storage('0', 'float32', 4)


@case('does not fit its storage', 'zip', 'legacy')
def huge_shape(path, form):
    huge = writer.tensor(_BLOCK, 0, (1 << 20, 1 << 20), (1 << 20, 1))
    _pickle_in(path, writer.body({'w': huge}, []), form, [np.zeros(4, np.float32)])


@case('has only 16 bytes')
def huge_storage(path):
    block = writer.storage('0', 'float32', 1 << 40)
    huge = writer.tensor(block, 0, (1 << 40,), (1,))
    _pickle_in(path, writer.body({'w': huge}, []), 'zip', [np.zeros(4, np.float32)])


@case('truncated or damaged')
def huge_storage_legacy(path):
    block = writer.storage('0', 'float32', 1 << 40, view=True)
    huge = writer.tensor(block, 0, (1 << 40,), (1,))
    _pickle_in(path, writer.body({'w': huge}, []), 'legacy', [np.zeros(4, np.float32)])


@case('no known backbone', 'zip', 'legacy')
def huge_but_empty(path, form):
    block = writer.storage('0', 'float32', 4, view=form == 'legacy')
    empty = writer.tensor(block, 0, (0, 1 << 47, 1 << 47), (1, 1, 1))
    _pickle_in(path, writer.body({'w': empty}, []), form, [np.zeros(4, np.float32)])


@case('share 4096 stored ones')
def many_views_of_one_storage(path):
    block = writer.storage('0', 'float32', 4096)
    views = {f'w{i}': writer.tensor(block, 0, (4096,), (1,)) for i in range(1000)}
    _pickle_in(path, writer.body(views, []), 'zip', [np.zeros(4096, np.float32)])


@case('depths')
def too_many_blocks(path):
    writer.save(path, _tiny(**{'layer1.998.bn1.weight': np.ones(4, np.float32)}))


@case('width', 'zip', 'legacy')
def no_width(path, form):
    writer.save(path, _tiny(**{'conv1.weight': np.zeros((0, 3, 3, 3), np.float32)}), form)


@case('misshaped')
def scalars(path):
    names = ('conv1.weight', 'fc.weight', 'fc.bias', 'bn1.weight')
    writer.save(path, _tiny(**{name: np.float32(1).reshape(()) for name in names}))


@case('missing')
def thousands_of_prefixes(path):
    one = np.ones(1, np.float32)
    names = (
        f'{i}.{end}' for i in range(4000) for end in ('layer1.0.bn1.weight', 'features.weight')
    )
    writer.save(path, dict.fromkeys(names, one), 'zip')


# ------------------------------------------------------------------------------ memory and time


@case('damaged or not a pickle|operations|named tensors', 'zip', 'legacy')
def nested_lists(path, form):
    _pickle_in(path, b']' * 200_000 + b'a' * 199_999, form)


LAUGHS = b'Nq\x00' + b''.join(b'(' + b'h\x00' * 10 + b'tq\x00' for _ in range(40))


@case('named tensors')
def laughs(path):
    """Tuples that mention the last one ten times, forty times over."""
    _pickle_in(path, LAUGHS)


@case('found a tuple as a key')
def laughs_as_a_key(path):
    _pickle_in(path, LAUGHS + b'}h\x00Ns')


@case('operations')
def operations_without_end(path):
    _pickle_in(path, b'N' + b'N0' * 400_000)


@case('found a number of', 'zip', 'legacy')
def number_of_megabytes(path, form):
    number = b'\x8b' + struct.pack('<i', 12 << 20) + b'\x7f' * (12 << 20)
    shape = writer.Raw(b'(' + number + b't')
    _pickle_in(path, writer.tensor(_BLOCK, 0, shape, (1,)), form)


@case('a key of', 'zip', 'legacy')
def number_of_megabytes_as_a_key(path, form):
    number = b'\x8b' + struct.pack('<i', 12 << 20) + b'\x7f' * (12 << 20)
    _pickle_in(path, b'}' + number + b'Ns', form)


@case('a name of')
def text_of_megabytes_as_a_key(path):
    text = b'a' * (12 << 20) + '\U0001f600'.encode()
    _pickle_in(path, b'}X' + struct.pack('<I', len(text)) + text + b'Ns')


@case('over 16 MiB')
def large_pickle(path):
    _pickle_in(path, b'B' + struct.pack('<I', 20 << 20) + bytes(20 << 20))


@case('named tensors')
def lists_in_a_dict(path):
    """Long keys over many children: paths must not be built for all of them."""
    children = b''.join(b'J' + struct.pack('<i', i) + b'}' for i in range(50_000))
    keys = (b'X\x00\x02\x00\x00' + b'k' * 512 + b'}') * 3
    _pickle_in(path, b'}' + keys + b'(' + children + b'u' + b'sss')


# ------------------------------------------------------------------------------ archives


@case('compressed')
def zip_bomb(path):
    pickled = PROTO + b'}' + STOP
    extra = {'archive/data/0': bytes(64 << 20)}
    path.write_bytes(writer.zip_bytes(pickled, extra=extra, compression=zipfile.ZIP_DEFLATED))


@case('climbs out', '../../evil', '/etc/evil', 'archive/../../evil', '..\\evil')
def climbing(path, name):
    path.write_bytes(writer.zip_bytes(PROTO + b'}' + STOP, extra={name: b'x'}))


@case('each once')
def two_pickles_of_one_name(path):
    data = bytearray(writer.zip_bytes(PROTO + b'}' + STOP, extra={'archive/data.pkX': b'}.'}))
    path.write_bytes(bytes(data).replace(b'archive/data.pkX', b'archive/data.pkl'))


@case('found 2 entries called data.pkl')
def two_pickles(path):
    path.write_bytes(writer.zip_bytes(PROTO + b'}' + STOP, extra={'other/data.pkl': b'}.'}))


@case('Overlapped|overlap|damaged')
def overlapping_entries(path):
    """Every entry of the table points at the first one's bytes."""
    data = bytearray(writer.encode(_tiny()))
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


@case('table of contents', 'plain', 'zip64')
def endless_table(path, form):
    _table_of(path, 500_000, zip64=form == 'zip64')


@case('truncated|damaged|can not', '4', '100', '5000', 'half', 'last')
def cut_zip(path, where):
    data = writer.encode(_tiny())
    stop = {'half': len(data) // 2, 'last': len(data) - 1}.get(where) or int(where)
    path.write_bytes(data[:stop])


@case('truncated|damaged', '20', '100', '5000', 'half', 'last')
def cut_legacy(path, where):
    data = writer.encode(_tiny(), 'legacy')
    stop = {'half': len(data) // 2, 'last': len(data) - 1}.get(where) or int(where)
    path.write_bytes(data[:stop])


@case('Bad CRC-32')
def flipped_bit_in_the_weights(path):
    data = bytearray(writer.encode(_tiny()))
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# ------------------------------------------------------------------------------ no checkpoint at all


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


@case('not found')
def link_to_itself(path):
    path.symlink_to(path)


# ------------------------------------------------------------------------------ safetensors


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


@case('entries, expected')
def safetensors_of_many_tensors(path):
    row = b'"%05d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    _safetensors(path, b'{' + b','.join(row % i for i in range(25_000)) + b'}')


@case('damaged safetensors')
def nested_safetensors(path):
    _safetensors(path, b'{"__metadata__":' + b'[' * 1_000_000)


@case('control characters')
def safetensors_that_speak_to_the_terminal(path):
    _safetensors(path, {'\x1b]0;evil\x07': _entry()}, bytes(4))


@case('not finite', 'nan', 'inf')
def not_finite(path, value):
    writer.save(path, _tiny(**{'conv1.weight': np.full((8, 3, 3, 3), float(value), np.float32)}))


@case('variances below 0')
def negative_variance(path):
    writer.save(path, _tiny(**{'bn1.running_var': np.full(8, -1, np.float32)}))


# ------------------------------------------------------------------------------ native directories


def native(path: pathlib.Path) -> pathlib.Path:
    """Writes an honest native checkpoint, all ones; made once, copied afterwards."""
    original = path.parent / '.native'
    if not original.exists():
        abstract = registry.abstract_variables(
            registry.build('tiny'), registry.VARIANTS['tiny'].input
        )
        ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), abstract)
        checkpoint.save_target(original, registry.make_target('tiny', ones))
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


# ------------------------------------------------------------------------------ opening them all


def make_all(folder: pathlib.Path) -> None:
    """Writes every case and the honest files to `folder`, called by their names."""
    for name, (_, maker) in CASES.items():
        maker(folder / file_name(name))
    for name, maker in HONEST.items():
        maker(folder / name)


def file_name(name: str) -> str:
    """What the file of a case is called."""
    return name.replace('/', '|')


HONEST: dict[str, Maker] = {
    'honest_zip': lambda path: writer.save(path, _tiny()),
    'honest_legacy': lambda path: writer.save(path, _tiny(), 'legacy'),
    'honest_native': native,
}


def _peak_megabytes() -> float:
    """Peak resident memory since `_forget_peak`, or of the whole process where Linux is not at hand."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path('/proc/self/status').read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/self/clear_refs').write_text('5')


def _main(folder: pathlib.Path) -> None:
    from absl.testing import flagsaver

    from experiments import cli, convert_weights

    results = {}
    for name in (*CASES, *HONEST):
        path = folder / file_name(name)
        errors, code = io.StringIO(), 0
        saved = flagsaver.save_flag_values()
        sys.argv = ['convert_weights', f'--source={path}', f'--out={folder / "out"}']
        _forget_peak()
        started = resource.getrusage(resource.RUSAGE_SELF)
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            try:
                cli.run(convert_weights.main)
            except SystemExit as stop:
                code = stop.code or 0
            except BaseException as error:  # a bug, told as one
                code = 1
                errors.write(repr(error)[:500])
        used = resource.getrusage(resource.RUSAGE_SELF)
        flagsaver.restore_flag_values(saved)
        results[name] = {
            'code': code,
            'err': errors.getvalue(),
            'seconds': used.ru_utime - started.ru_utime,
            'megabytes': _peak_megabytes(),
        }
    print(json.dumps(results))


if __name__ == '__main__':
    _main(pathlib.Path(sys.argv[1]))
