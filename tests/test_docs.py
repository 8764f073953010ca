"""The documentation is right: its names, fields and figures are those of the code and the studies.

`launch/docs.sh` checks its links.
"""

import ast
import contextlib
import importlib
import io
import json
import pathlib
import re

import pytest

import fr_inference
from fr_inference import declaring
from fr_inference.config import Profiling
from fr_inference.data.drawn import procedural
from fr_inference.membership import attacks
from fr_inference.program_config import Machine

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / 'docs'


def page(name):
    return (DOCS / name).read_text(encoding='utf-8')


def cells():
    """The code cells of the tutorial."""
    found = json.loads(page('tutorial.ipynb'))['cells']
    return [cell for cell in found if cell['cell_type'] == 'code']


def run(source, names):
    """Runs a cell as Jupyter does; returns what its last expression gives."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, 'cell', 'exec'), names)
    return last and eval(compile(ast.Expression(last.value), 'cell', 'eval'), names)


@pytest.fixture(scope='module')
def tutorial(tmp_path_factory):
    """(what each cell gave, the names it left) of the whole notebook."""
    given, names = [], {}
    with (
        contextlib.chdir(tmp_path_factory.mktemp('tutorial')),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        for cell in cells():
            given.append(run(''.join(cell['source']), names))
    return given, names


def test_tutorial_gives_what_it_shows(tutorial):
    given, _ = tutorial
    compared = 0
    for cell, value in zip(cells(), given, strict=True):
        for output in cell['outputs']:
            if output['output_type'] == 'execute_result' and 'image/png' not in output['data']:
                assert repr(value) == ''.join(output['data']['text/plain'])
                compared += 1
    assert len(given) == 10
    assert compared == 4


def test_audit_json_names_every_field(tutorial):
    _, names = tutorial
    with open(ROOT / 'tests/report/records/few.json', encoding='utf-8') as file:
        searched = json.load(file)['inversion']
    record = {**names['audit'].record, 'inversion': searched}
    said = set(re.findall(r'`([\w.]+)`', page('audit_json.md')))
    missing = set(record) - {name.split('.')[0] for name in said}
    for part in ('target', 'input', 'membership', 'inversion'):
        missing |= {f'{part}.{name}' for name in record[part] if not name.endswith('_ci95')} - said
    missing -= {f'input.{name}' for name in said}  # given as plain names
    for part in ('provenance', 'exposed'):
        missing |= set(record[part]) - said
    missing |= set(record['membership']['comparisons'][0]) - said
    assert not missing


def test_api_documents_every_public_name():
    shown = re.findall(r'^::: fr_inference\.(?:\w+\.)+(\w+)$', page('api.md'), re.MULTILINE)
    assert set(fr_inference.__all__) <= set(shown)


def test_attacks_are_all_described():
    named = re.findall(r'^\| `([\w-]+)` \|', page('attacks.md'), re.MULTILINE)
    assert sorted(named) == sorted(attacks.names())


def test_embedded_networks_are_described_as_they_were_trained():
    folders = sorted((ROOT / 'fr_inference/models/embedded').iterdir())
    for folder in folders:
        (file,) = folder.glob('*.json')
        made = json.loads(file.read_text(encoding='utf-8'))
        if folder.name == 'lfw_generator':  # of photographs
            assert f'trained on {made["recipe"]["count"]:,} LFW photographs' in page('embedded.md')
            continue
        row = re.search(rf'^\| `{folder.name}` \|.*$', page('embedded.md'), re.MULTILINE)[0]
        spec = re.search(r'`procedural:([^`]+)`', row)[1]
        assert f'procedural:{procedural.parse(spec)}' == made['recipe']['faces']
        assert f'{made["recipe"]["images"]:,} images' in row
        if 'parameters' in made and 'parameters' in row:
            assert f'{made["parameters"]:,} parameters' in row


@pytest.mark.parametrize(
    'name', ['index.md', 'own_model.md', 'attacks.md', 'defences.md', 'inversion.md']
)
def test_figures_stand_in_a_study(name):
    studies = [*(DOCS / 'results').rglob('*.md')]
    known = ' '.join(study.read_text(encoding='utf-8') for study in studies)
    known = set(re.findall(r'\b0\.\d{3,}\b', known))
    assert set(re.findall(r'\b0\.\d{3,}\b', page(name))) <= known


def flags_of(program):
    """The flags of a program, and those that every program has."""
    made = importlib.import_module(f'experiments.{program}').PROGRAM
    kinds = (*made.kinds, Machine, Profiling)
    return {name for kind in kinds for name in declaring.flags_of(kind)} | {'help', 'distributed'}


def test_commands_have_their_flags():
    looked_at = 0
    for path in [*DOCS.glob('*.md'), ROOT / 'README.md']:
        text = path.read_text(encoding='utf-8').replace('\\\n', ' ')
        for program, rest in re.findall(
            r'^ {4,}(?:fr-inference |python -m experiments\.)(\w+)(.*)$', text, re.M
        ):
            flags = {name.removeprefix('no') for name in re.findall(r'--(\w+)', rest)}
            known = {name.removeprefix('no') for name in flags_of(program)}
            assert flags <= known, (path.name, program, flags - known)
            looked_at += 1
    assert looked_at > 10
