"""The folder experiments/: programs and nothing else, each run as users run it."""

import ast
import json
import subprocess
import sys

import pytest

from tests.experiments import programs

FILES = sorted((programs.ROOT / 'experiments').glob('[!_]*.py'))
NAMES = [path.stem for path in FILES]

# Runs each as `python -m experiments.NAME --help` does, in one process.
HELP = """
import contextlib, io, json, runpy, sys
shown = {}
for name in json.loads(sys.argv[1]):
    sys.argv = [name, '--help']
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_module(f'experiments.{name}', run_name='__main__', alter_sys=True)
    shown[name] = out.getvalue()
print(json.dumps(shown))
"""


@pytest.mark.parametrize('path', FILES, ids=NAMES)
def test_every_file_is_a_program_with_its_usage(path):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    doc = ast.get_docstring(tree) or ''
    assert len(doc.splitlines()[0]) <= 105
    assert f'python -m experiments.{path.stem} ' in doc
    assert any(
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == 'PROGRAM'
        for node in tree.body
    )
    last = tree.body[-1]
    assert isinstance(last, ast.If)
    assert ast.unparse(last) == "if __name__ == '__main__':\n    PROGRAM.run()"
    # It reads its options and makes a few calls; what is more is library.
    assert sum(isinstance(node, ast.FunctionDef) for node in tree.body) <= 3
    assert not any(isinstance(node, ast.ClassDef) for node in tree.body)


def test_nothing_else_is_in_the_folder():
    tracked = {path.name for path in (programs.ROOT / 'experiments').iterdir()}
    assert tracked - {'__pycache__'} == {'__init__.py', *(path.name for path in FILES)}


def test_the_installed_package_has_the_same_files():
    installed = programs.ROOT / 'fr_inference' / 'programs'
    assert installed.is_symlink()
    assert installed.resolve() == (programs.ROOT / 'experiments').resolve()


def test_every_one_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', HELP, json.dumps(NAMES)],
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, shown in json.loads(done.stdout).items():
        assert f'python -m experiments.{name} --' in shown
