"""Files of strangers: checkpoints, faces, tables, stored embeddings."""

import functools
import io
import pathlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from PIL import Image

from fr_inference import errors
from fr_inference.batch import table
from fr_inference.data import landmarks, pairs, sources, verification_bin
from fr_inference.formats import images, state_dicts
from fr_inference.inversion import templates
from fr_inference.models import stylegan2
from fr_inference.models.stylegan2 import Trained
from fr_inference.weights import generators as opened_generators
from fr_inference.weights import native_targets, targets
from tests.data import records, test_verification_bin
from tests.formats import generators, states, test_checkpoint_folders, writer
from tests.formats.fuzz import graph_mutations, mutations, own_files
from tests.formats.fuzz.group import Group, written
from tests.formats.hostile import natives
from tests.weights.graphs import exports

_OPEN_EVERY = (
    8  # a file of named tensors is opened as a network only so often, which takes far longer
)


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


def _tensors(path, number, open_whole):
    state_dicts.read_tensors(path)
    if number % _OPEN_EVERY == 0:
        open_whole(path)


def _open_target(path, _number=0):
    targets.open_target(path)


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
        read=lambda folder, number: _tensors(folder / 'file.pt', number, _open_target),
    )


def _safetensors() -> Group:
    folder = written(lambda path: native_targets.save_target(path, natives.tiny_target()))
    return Group(
        seeds=[{'file.safetensors': folder['variables.safetensors']}],
        changes=(*mutations.GENERIC, mutations.header, mutations.header),
        read=lambda folder, number: _tensors(folder / 'file.safetensors', number, _open_target),
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
            folder / 'file.pkl', number, opened_generators.open_generator
        ),
    )


def _pickled_arrays() -> Group:
    """Plain pickles of arrays, and archives of them."""
    network = states.filled(states.iresnet())
    held = io.BytesIO()
    np.savez(held, **network)
    return Group(
        seeds=[{'file': pickle.dumps(network, n)} for n in (2, 4)] + [{'file': held.getvalue()}],
        changes=(*mutations.GENERIC, mutations.opcodes, mutations.archive),
        read=lambda folder, number: _tensors(folder / 'file', number, _open_target),
    )


def _shards(kind: str) -> dict[str, bytes]:
    return written(lambda path: test_checkpoint_folders.shards(made_folder(path), kind))


def made_folder(path: pathlib.Path) -> pathlib.Path:
    """Makes it."""
    path.mkdir()
    return path


def _sharded() -> Group:
    return Group(
        seeds=[_shards('safetensors'), _shards('bin')],
        changes=[mutations.json_or_bytes],
        read=_open_target,
    )


def _graphs() -> Group:
    makers = (
        *(exports.iresnet, exports.quantised),
        *(functools.partial(exports.transformer, decomposed=True), exports.mobilefacenet),
    )
    made = [make() for make in makers]
    return Group(
        seeds=[{'file.onnx': one.model(out).SerializeToString()} for one, out in made],
        changes=(*[graph_mutations.graph] * 5, *mutations.GENERIC),
        read=lambda folder, _: _open_target(folder / 'file.onnx'),
    )


def _generator():
    module = stylegan2.Generator(
        8, z_dim=4, w_dim=4, channel_base=32, channel_max=4, mapping_layers=1
    )
    z = jax.ShapeDtypeStruct((1, module.z_dim), np.float32)
    abstract = jax.eval_shape(module.init, jax.random.key(0), z)
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), abstract)
    return Trained(name='small', module=module, variables=variables, sha256='', recipe=None)


def _native() -> Group:
    return Group(
        seeds=[written(own_files.save_target)],
        changes=[mutations.json_or_bytes],
        read=own_files.read_target,
    )


def _native_generators() -> Group:
    return Group(
        seeds=[written(lambda path: opened_generators.save_generator(path, _generator()))],
        changes=[mutations.json_or_bytes],
        read=lambda folder, _: opened_generators.open_generator(folder) and None,
    )


def _old_native() -> Group:
    return Group(
        seeds=[written(natives.old_native)],
        changes=[mutations.json_or_bytes],
        read=lambda folder, _: native_targets.load_target(folder) and None,
    )


def _record_files() -> Group:
    people = {n: [records.jpeg(n, 16), records.jpeg(n + 9, 16)] for n in range(3)}
    flat = {key: records.header(key % 2, key) + records.jpeg(key) for key in range(3)}
    return Group(
        seeds=[
            written(lambda path, held=held: records.write(path.with_name('train'), held))
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


@functools.lru_cache(maxsize=1)
def _template_target():
    return natives.tiny_target()


def _stored_templates() -> Group:
    made = []
    for version in ((1, 0), (2, 0), (3, 0)):
        held = io.BytesIO()
        np.lib.format.write_array(held, np.ones((3, 32), np.float32), version)
        made.append({'t.npy': held.getvalue()})
    return Group(
        seeds=made,
        changes=mutations.GENERIC,
        read=lambda folder, _: templates.read(folder / 't.npy', _template_target()) is None or None,
    )


GROUPS: Mapping[str, Callable[[], Group]] = {
    'torch zip': functools.partial(_checkpoints, 'zip'),
    'torch legacy': functools.partial(_checkpoints, 'legacy'),
    'safetensors': _safetensors,
    'pickles and .npz': _pickled_arrays,
    'sharded folders': _sharded,
    '.onnx': _graphs,
    'generators': _generator_files,
    '.rec and .idx': _record_files,
    '.bin': _verification_sets,
    'tables': _tables,
    'images': _images,
    '.npy': _stored_templates,
    'native targets': _native,
    'native generators': _native_generators,
    'old native targets': _old_native,
}
