"""The architecture holds: who imports whom, who knows what, one idea a file (CONTRIBUTING.md)."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = sorted((ROOT / 'fr_inference').rglob('*.py'))
PROGRAMS = sorted((ROOT / 'experiments').rglob('*.py'))

# From the lowest; modules of one layer do not know each other, files of one package do.
LAYERS = (
    ('rng', 'errors', 'files', 'locks'),
    ('addresses',),
    ('local_copies', 'claims'),
    ('mirrored',),
    ('declaring',),
    ('config',),
    ('program_config',),
    ('processes',),
    ('devices',),
    ('tables', 'provenance', 'checkpointing', 'row_cache', 'profiling'),
    ('runs',),
    ('kernels', 'metrics', 'formats'),
    ('models',),
    ('data',),
    ('weights',),
    ('measuring',),
    ('defending',),
    ('training', 'membership'),
    ('inversion',),
    ('report', 'opening'),
    ('checking', 'recording'),
    ('auditing',),
    ('cli',),
    ('batch', 'benchmarking'),
    ('planning',),
    ('fr_inference',),  # the package itself: names for users
    ('console',),
    ('__main__',),
    ('experiments',),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}

DEVICES = {
    *('devices', 'local_devices', 'device_count', 'local_device_count', 'default_backend'),
    *('device_put', 'sharding', 'NamedSharding', 'Mesh', 'make_mesh', 'pmap', 'shard_map'),
    *('process_index', 'process_count', 'distributed'),
}
# Beside devices.py: weights are restored to one device; a record and a bar name the machine; a plan
# places zeros as the compiled program wants them.
KNOW_DEVICES = {
    'fr_inference/devices.py': DEVICES,
    'fr_inference/processes.py': {'process_index', 'process_count'},
    'fr_inference/checkpointing.py': {'sharding', 'process_index', 'process_count'},
    'fr_inference/provenance.py': {'devices'},
    'fr_inference/cli/joining.py': {'distributed'},
    'fr_inference/benchmarking/chips.py': {'devices'},
    'fr_inference/planning/timed_run.py': {'device_put'},
}

# All others let `runs` or `devices` share work out, decide for all, and write once.
KNOW_PROCESSES = {
    'fr_inference/devices.py': 'a share of the examples for each',
    'fr_inference/runs.py': 'what all others call',
    'fr_inference/opening.py': 'what one cannot open is an error in all',
    'fr_inference/batch/running.py': 'a stop and a bug end all rows, a bad row only itself',
    'fr_inference/benchmarking/scaling.py': 'all begin each call together',
    'fr_inference/cli/bars.py': 'one draws and speaks',
    'fr_inference/cli/joining.py': 'connects them',
    'fr_inference/cli/program.py': 'ends them',
}
RENAMES = 'fr_inference/files.py'  # whole files: written beside, then renamed

# What may have more than 400 lines, and why.
LONG = {
    'fr_inference/config.py': 'a table: the options of an audit and of training, each written once',
    'fr_inference/program_config.py': 'a table: the options of all other programs',
}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def part_of(module):
    """`fr_inference.models.registry` -> 'models', `experiments.cli` -> 'experiments'."""
    names = module.split('.')
    return names[1] if names[0] == 'fr_inference' and len(names) > 1 else names[0]


def imported(source):
    """Yields the dotted name of every import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, 'a relative import'
            assert node.module
            # `from fr_inference import checks` imports the module fr_inference.errors.
            inside = node.module in ('fr_inference', 'experiments')
            yield from (f'{node.module}.{a.name}' if inside else node.module for a in node.names)


def packages(source):
    """Returns the top-level names of what is imported."""
    return {name.partition('.')[0] for name in imported(source)}


def upward(part, source):
    """Returns the imports of a file of `part` that do not point strictly downward."""
    ours = [name for name in imported(source) if part_of(name) in LEVEL]
    return [name for name in ours if part_of(name) != part and LEVEL[part_of(name)] >= LEVEL[part]]


def devices(source):
    """Returns the names of JAX's device interface that are used."""
    tree = ast.parse(source)
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == 'jax'
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith('jax'):
            used |= {*node.module.split('.')[1:], *(alias.name for alias in node.names)}
    return used & DEVICES


def renames(source):
    """Returns the calls that give a file its name or wait for the disk, as `files` alone does."""
    return {
        call.func.attr
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and (
            call.func.attr in ('rename', 'renames', 'fsync')
            or (call.func.attr == 'replace' and _of_paths(call))
        )
    }


def _of_paths(call):
    """Whether `replace` is that of `os` or `pathlib`; that of a text takes two arguments or more."""
    owner = call.func.value
    of_os = isinstance(owner, ast.Name) and owner.id == 'os'
    return of_os or (len(call.args) == 1 and not call.keywords)


def names_in(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


@pytest.mark.parametrize('path', [*LIBRARY, *PROGRAMS], ids=name_of)
def test_imports_point_strictly_downward(path):
    part = part_of(module_of(path))
    assert part in LEVEL, f'{name_of(path)}: give its part a place in LAYERS'
    assert not upward(part, path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('path', [*LIBRARY, *PROGRAMS], ids=name_of)
def test_who_knows_what(path):
    source, name = path.read_text(encoding='utf-8'), name_of(path)
    known = packages(source)
    assert devices(source) <= KNOW_DEVICES.get(name, set())
    assert 'orbax' not in known or name == 'fr_inference/checkpointing.py'
    assert 'fsspec' not in known or name == 'fr_inference/addresses.py'
    assert 'safetensors' not in known or name.startswith(
        ('fr_inference/formats/', 'fr_inference/weights/')
    )
    assert 'tensorflow' not in known
    assert not renames(source) or name == RENAMES
    ours = set(imported(source))
    assert ('fr_inference.processes' in ours) == (name in KNOW_PROCESSES)
    # Only the benchmark's peer, and only where it is asked for.
    assert (
        not known & {'torch', 'torchvision'}
        or name.endswith('_peer.py')
        or name.endswith('_peers.py')
    )
    if name.startswith('fr_inference/'):
        assert not known & {'experiments', 'tests'}
        assert 'absl' not in known or name.startswith('fr_inference/cli/')
        assert 'FLAGS' not in set(names_in(source))
        if part_of(module_of(path)) not in ('report', 'benchmarking'):
            assert not known & {'matplotlib', 'jinja2'}


def test_every_layer_exists():
    """A name in `LAYERS` that is no longer there would hide that its successor has no place."""
    parts = {part_of(module_of(path)) for path in [*LIBRARY, *PROGRAMS]}
    assert parts == set(LEVEL)
    assert len(LEVEL) == sum(map(len, LAYERS))  # none stands twice


def built(source, name):
    """Returns whether a class of that name is called, whatever stands before its dot."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return any(name in (getattr(func, 'id', ''), getattr(func, 'attr', '')) for func in calls)


def test_one_module_pairs_an_attack_with_its_controls():
    """`Comparison.from_json` (`cls(...)`) reads what it wrote."""
    pairing = {
        name_of(path)
        for path in [*LIBRARY, *PROGRAMS]
        if built(path.read_text(encoding='utf-8'), 'Comparison')
    }
    assert pairing == {'fr_inference/membership/comparing.py'}


@pytest.mark.parametrize('path', PROGRAMS, ids=name_of)
def test_experiments_are_programs(path):
    """Each file but `__init__.py` is a command: its docstring shows the call; `main` and `PROGRAM`."""
    if path.name == '__init__.py':
        return
    source = path.read_text(encoding='utf-8')
    tree = ast.parse(source)
    assert f'python -m experiments.{path.stem} ' in (ast.get_docstring(tree) or '')
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert defined == {'main'}
    assert source.rstrip().endswith("if __name__ == '__main__':\n    PROGRAM.run()")
    assert len(source.splitlines()) <= 65  # flags to options to one call


def test_no_two_modules_share_a_name():
    names = [path.stem for path in [*LIBRARY, *PROGRAMS] if path.stem != '__init__']
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize('path', [*LIBRARY, *PROGRAMS], ids=name_of)
def test_one_idea_a_file(path):
    """A file of more than 400 lines has a reason, which stands in `LONG` while it is needed."""
    lines = len(path.read_text(encoding='utf-8').splitlines())
    assert (lines > 400) == (name_of(path) in LONG)


@pytest.mark.parametrize('path', sorted((ROOT / 'tests').rglob('*.py')), ids=name_of)
def test_one_topic_a_test_file(path):
    assert len(path.read_text(encoding='utf-8').splitlines()) <= 400


def test_importing_asks_for_no_device():
    """With a platform that does not exist, the first question for a device would fail."""
    modules = [*map(module_of, [*LIBRARY, *PROGRAMS])]
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', 'import ' + ', '.join(modules)],
        env={**os.environ, 'JAX_PLATFORMS': 'none_such'},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr


@pytest.mark.parametrize(
    ('part', 'source', 'expected'),
    [
        ('models', 'from fr_inference import errors', []),
        ('models', 'from fr_inference.models import layers', []),
        ('models', 'from fr_inference.data import faces', ['fr_inference.data']),
        ('models', 'from fr_inference.weights import targets', ['fr_inference.weights']),
        ('membership', 'import fr_inference.training.shadow', ['fr_inference.training.shadow']),
        ('report', 'def f():\n  from fr_inference import auditing', ['fr_inference.auditing']),
        ('report', 'from experiments.cli import run', ['experiments.cli']),
        ('training', 'import fr_inference', ['fr_inference']),
    ],
)
def test_the_test_sees_imports(part, source, expected):
    assert upward(part, source) == expected


def test_the_test_sees_what_is_built():
    assert built('x = Comparison(attack=1)', 'Comparison')
    assert built('x = comparison.Comparison(attack=1)', 'Comparison')
    assert not built('x = Comparison.from_json(entry)', 'Comparison')


def test_the_test_sees_devices():
    assert devices('import jax\nx = jax.device_put(1)') == {'device_put'}
    assert devices('from jax.sharding import Mesh') == {'sharding', 'Mesh'}
    assert devices('from jax import pmap') == {'pmap'}
    assert not devices('import jax\nx = faces.devices; y = jax.Array')


def test_the_test_sees_renames():
    assert renames('os.replace(a, b)') == renames('path.replace(other)') == {'replace'}
    assert renames('path.rename(other); os.fsync(1)') == {'rename', 'fsync'}
    assert not renames("text.replace('a', 'b'); config.replace(how, keep=1)")
