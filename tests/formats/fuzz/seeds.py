"""The groups of the fuzzer: honest files, how they are changed, and what reads them."""

import contextlib
import dataclasses
import functools
import io
import json
import pathlib
import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from fr_inference import checkpointing, errors, runs
from fr_inference.batch import table
from fr_inference.data import landmarks, pairs, sources, verification_bin
from fr_inference.formats import images, state_dicts
from fr_inference.inversion import templates
from fr_inference.models import registry, stylegan2
from fr_inference.models.stylegan2 import Trained
from fr_inference.row_cache import RowCache
from fr_inference.weights import generators as opened_generators
from fr_inference.weights import native_targets, targets
from tests.data import records, test_verification_bin
from tests.formats import generators, states, writer
from tests.formats.fuzz import mutations
from tests.formats.hostile import natives

Files = Mapping[str, bytes]
_OPEN_EVERY = (
    8  # a file of named tensors is opened as a network only so often, which takes far longer
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Files of one kind.

    Attributes:
      seeds: honest ones, each a folder: name -> content.
      changes: of one file of the folder.
      read: (folder, number of the input) -> what it was read as, None where that does not matter.
      exact: whether a changed file must be read as what was written, or be refused.
    """

    seeds: Sequence[Files]
    changes: Sequence[Callable]
    read: Callable[[pathlib.Path, int], Any]
    exact: bool = False

    def input(self, draw: np.random.Generator) -> Files:
        """Returns one folder, one of its files changed once or several times."""
        files = dict(self.seeds[draw.integers(len(self.seeds))])
        names = sorted(files)
        name = names[draw.integers(len(names))]
        for _ in range(1 if self.exact else draw.integers(1, 3)):
            change = self.changes[draw.integers(len(self.changes))]
            others = [seed.get(name, b'') for seed in self.seeds]
            # What was changed once may no longer have the parts that a second change looks for.
            with contextlib.suppress(Exception):
                files[name] = change(draw, files[name], others) if files[name] else files[name]
        return files


def _lines(error):
    """One line for a bad image is as good as one for the whole file."""
    if '\n' in str(error):
        raise AssertionError(f'an error of several lines: {error!r:.200}') from error


def _every_face(faces):
    for index in range(min(len(faces), 8)):
        try:
            faces.read(index)
            faces.encoded(index)
        except errors.InputError as error:
            _lines(error)


def _tensors(path, number, open_whole, nested=False):
    state_dicts.read_tensors(path, nested=nested)
    if number % _OPEN_EVERY == 0:
        open_whole(path)


def _checkpoint(name: str, value: Any, form: str) -> dict[str, bytes]:
    return {name: writer.encode(value, form)}


def _checkpoints(form: str) -> Group:
    network = states.filled(states.iresnet())
    small: Any = {'a': np.ones((2, 3), np.float32), 'b': [1, 'two', None], 'c': {'d': np.ones(2)}}
    return Group(
        seeds=[_checkpoint('file.pt', value, form) for value in (network, small, {'net': network})],
        changes=(
            *mutations.GENERIC,
            *[{'zip': mutations.archive}.get(form, mutations.opcodes)] * 3,
        ),
        read=lambda folder, number: _tensors(folder / 'file.pt', number, targets.open_target),
    )


def _written(write: Callable[[pathlib.Path], object]) -> dict[str, bytes]:
    """Returns all files that `write` leaves in a folder, by their paths below it."""
    with tempfile.TemporaryDirectory() as made:
        write(pathlib.Path(made) / 'x')
        root = pathlib.Path(made) / 'x'
        root = root if root.is_dir() else root.parent
        return {
            str(file.relative_to(root)): file.read_bytes()
            for file in sorted(root.rglob('*'))
            if file.is_file()
        }


def _safetensors() -> Group:
    folder = _written(lambda path: native_targets.save_target(path, _target()))
    return Group(
        seeds=[{'file.safetensors': folder['variables.safetensors']}],
        changes=(*mutations.GENERIC, mutations.header, mutations.header),
        read=lambda folder, number: _tensors(
            folder / 'file.safetensors', number, targets.open_target
        ),
    )


def _generator_files() -> Group:
    sizes = generators.Sizes(resolution=8)
    made = [
        {'file.pkl': generators.nvidia_bytes(generators.nvidia_file(sizes, '', 256.0), n)}
        for n in (2, 4)
    ]
    state = generators.filled(generators.nvidia_generator(sizes))
    made += [_checkpoint('file.pkl', generators.rosinality_file(state), 'legacy')]
    return Group(
        seeds=made,
        changes=(*mutations.GENERIC, *[mutations.opcodes] * 3),
        read=lambda folder, number: _tensors(
            folder / 'file.pkl', number, opened_generators.open_generator, nested=True
        ),
    )


@functools.lru_cache(maxsize=1)
def _target():
    return registry.make_target('tiny', natives.ones())


def _generator():
    module = stylegan2.Generator(
        8, z_dim=4, w_dim=4, channel_base=32, channel_max=4, mapping_layers=1
    )
    z = jax.ShapeDtypeStruct((1, module.z_dim), np.float32)
    abstract = jax.eval_shape(module.init, jax.random.key(0), z)
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), abstract)
    return Trained(name='small', module=module, variables=variables, sha256='', recipe=None)


MEMBERS = [(f'{n}.jpg', f'person {n // 2}', f'{n:064x}') for n in range(6)]


def _save_target(path):
    native_targets.save_target(path, _target(), members=MEMBERS)


def _read_target(folder, _number=0):
    found = native_targets.load_target(folder)
    held = found.sha256, found.input, found.architecture, dict(found.config), found.name
    return repr((held, native_targets.read_member_rows(folder)))


def _native(exact: bool) -> Group:
    folder = _written(_save_target)
    description = {'target.json': folder['target.json']}
    rest = {name: content for name, content in folder.items() if name not in description}
    return Group(
        seeds=[folder] if exact else [{**rest, **description}],
        changes=[mutations.one_bit] if exact else [mutations.json_or_bytes],
        read=_read_target,
        exact=exact,
    )


def _native_generators() -> Group:
    return Group(
        seeds=[_written(lambda path: opened_generators.save_generator(path, _generator()))],
        changes=[mutations.json_or_bytes],
        read=lambda folder, _: opened_generators.open_generator(folder) and None,
    )


def _old_native() -> Group:
    return Group(
        seeds=[_written(natives.old_native)],
        changes=[mutations.json_or_bytes],
        read=lambda folder, _: native_targets.load_target(folder) and None,
    )


def _record_files() -> Group:
    people = {n: [records.jpeg(n, 16), records.jpeg(n + 9, 16)] for n in range(3)}
    flat = {key: records.header(key % 2, key) + records.jpeg(key) for key in range(3)}
    return Group(
        seeds=[
            _written(lambda path, held=held: records.write(path.with_name('train'), held))
            for held in (records.training_set(people), records.training_set(people, True), flat)
        ],
        changes=mutations.GENERIC,
        read=lambda folder, _: _every_face(sources.open_faces(folder / 'train.rec')),
    )


def _verification_sets() -> Group:
    small = [records.jpeg(n, 16) for n in range(4)]
    forms = [pickle.dumps((small, [True, False]), n) for n in (2, 4)]
    forms += [test_verification_bin.python2(small, [True, False])]
    forms += [pickle.dumps(test_verification_bin.arrays(small, [True, False]), 4)]
    return Group(
        seeds=[{'lfw.bin': form} for form in forms],
        changes=(*mutations.GENERIC, *[mutations.opcodes] * 2),
        read=lambda folder, _: _every_face(verification_bin.open_bin(folder / 'lfw.bin').faces),
    )


def _tables() -> Group:
    drawn = 'procedural:easy,people=2,images=2,size=8'
    of = drawn + ',seed=0,first=0,start=0'  # all of the recipe, as paths have it
    numbers = ','.join(landmarks.COLUMNS)
    return Group(
        seeds=[
            {'faces.csv': f'path,identity\n"{drawn}#0",a\n"{drawn}#1",b\nx.png,é\n'.encode()},
            {'pairs.csv': f'fold,first,second,same\n0,"{of}#0","{of}#1",1\n'.encode()},
            {'table.csv': b'name,target,members,nonmembers,seed\na,demo_leaky,m,n,1\nb,x,m,n,2\n'},
            {'marks.csv': f'path,{numbers}\na.png,{",".join("1" * 10)}\n'.encode()},
        ],
        changes=(*mutations.GENERIC, mutations.words),
        read=_read_table,
    )


def _read_table(folder, _number):
    (path,) = folder.glob('*.csv')
    if path.name == 'faces.csv':
        _every_face(sources.open_faces(path))
    elif path.name == 'pairs.csv':
        pairs.open_pairs(path, 'procedural:easy,people=2,images=2,size=8')
    elif path.name == 'table.csv':
        table.read(str(path), {})
    else:
        list(landmarks._rows(path))


def _images() -> Group:
    made = []
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8)
    Image.init()
    for form, options in [
        ('JPEG', {'progressive': True}),
        *[(form, {}) for form in images._FORMATS],
    ]:
        if form in Image.SAVE:
            held = io.BytesIO()
            Image.fromarray(pixels).save(held, form, **options)
            made.append({'image': held.getvalue()})
    return Group(
        seeds=made,
        changes=mutations.GENERIC,
        read=lambda folder, _: images.read_image(folder / 'image') is None or None,
    )


def _stored_templates() -> Group:
    made = []
    for version in ((1, 0), (2, 0), (3, 0)):
        held = io.BytesIO()
        np.lib.format.write_array(held, np.ones((3, 32), np.float32), version)
        made.append({'t.npy': held.getvalue()})
    return Group(
        seeds=made,
        changes=mutations.GENERIC,
        read=lambda folder, _: templates.read(folder / 't.npy', _target()) is None or None,
    )


RUN = {'seed': 1, 'recipe': {'epochs': 3, 'rate': 0.1}, 'faces': 'abc'}


def _read_claim(folder, _number):
    runs.claim(folder, RUN)
    return json.dumps(RUN)


def _claims() -> Group:
    return Group(
        seeds=[_written(lambda path: runs.claim(path, RUN))],
        changes=[mutations.one_bit],
        read=_read_claim,
        exact=True,
    )


STATE = {'w': np.arange(300, dtype=np.float32), 'step': np.asarray(3, np.int32)}


def _save_state(path):
    with checkpointing.States(path) as kept:
        kept.save(3, STATE)


def _read_state(folder, _number):
    with checkpointing.States(folder) as kept:
        step, state = kept.latest(STATE) or (None, {})
    return f'{step} {checkpointing.digest(state)}'


def _states() -> Group:
    return Group(
        seeds=[_written(_save_state)], changes=[mutations.one_bit], read=_read_state, exact=True
    )


KEYS = [f'{number:064x}' for number in range(40)]


def _cache(folder):
    return RowCache(folder, {'what': 'fuzz'}, 8)


def _read_rows(folder, _number):
    mask, rows = _cache(folder).lookup(KEYS)
    expected = np.arange(320, dtype=np.float32).reshape(40, 8)
    return bool((rows == expected[mask]).all())  # a row that is missing is computed again


def _caches() -> Group:
    rows = np.arange(320, dtype=np.float32).reshape(40, 8)
    return Group(
        seeds=[_written(lambda path: _cache(path).append(KEYS, rows))],
        changes=[mutations.one_bit],
        read=_read_rows,
        exact=True,
    )


GROUPS: Mapping[str, Callable[[], Group]] = {
    'torch zip': functools.partial(_checkpoints, 'zip'),
    'torch legacy': functools.partial(_checkpoints, 'legacy'),
    'safetensors': _safetensors,
    'generators': _generator_files,
    '.rec and .idx': _record_files,
    '.bin': _verification_sets,
    'tables': _tables,
    'images': _images,
    '.npy': _stored_templates,
    'native targets': functools.partial(_native, False),
    'native generators': _native_generators,
    'old native targets': _old_native,
    'ours: native targets': functools.partial(_native, True),
    'ours: run.json': _claims,
    'ours: states': _states,
    'ours: row caches': _caches,
}
_SLOW = ('native targets', 'native generators', 'old native targets', 'ours: native targets')
_OFTEN = 8


def schedule(names: Sequence[str]) -> list[str]:
    """Returns the group of input 0, 1, ... of a round: fast ones come several times."""
    return [name for name in names for _ in range(1 if name in _SLOW else _OFTEN)]
