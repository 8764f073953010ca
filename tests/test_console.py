"""The command `fr-inference` of an installed package."""

import configparser
import importlib
import os
import subprocess
import sys

from fr_inference import __version__, config, console
from fr_inference.cli import options
from tests.experiments import programs

PROGRAMS = {path.stem for path in (programs.ROOT / 'experiments').glob('[!_]*.py')}


def call(*arguments):
    return programs.call(console.main, 'fr-inference', *arguments)


def test_entry_point_is_this_function():
    setup = configparser.ConfigParser()
    setup.read(programs.ROOT / 'setup.cfg')
    name, _, place = setup['options.entry_points']['console_scripts'].strip().partition(' = ')
    module, _, function = place.partition(':')
    assert name == options.CONSOLE
    assert getattr(importlib.import_module(module), function) is console.main


def test_help_lists_every_program_with_one_line():
    result = call('--help')
    assert result.code == 0
    listed = result.out.partition('\nPrograms\n')[2].splitlines()
    lines = [line.split(maxsplit=1) for line in listed]
    assert {name for name, _ in lines} == PROGRAMS
    assert [name for name, _ in lines[:2]] == ['demo', 'audit']
    assert ['verify', 'Checks'] in [[name, line.split()[0]] for name, line in lines]
    assert call().out == result.out


def test_version():
    assert call('--version').out == f'{__version__}\n'


def test_runs_a_program_under_its_own_name():
    result = call('audit', '--helpshort')
    assert result.code == 0
    assert '  fr-inference audit --target=' in result.out
    assert 'experiments.audit' not in result.out
    result = call('audit', '--out=o')
    assert (result.code, result.out) == (2, '')
    assert result.err.startswith('--target, --members, --nonmembers: found no value')


def test_records_the_command_it_was_called_by(monkeypatch):
    monkeypatch.setattr('sys.argv', ['fr-inference batch_audit', '--out=o'])
    settings = config.Settings(seed=1)
    assert options.command(settings) == 'fr-inference batch_audit --seed=1'
    assert options.command(settings, program='audit') == 'fr-inference audit --seed=1'


def test_another_name_is_one_line():
    result = call('audits')
    assert (result.code, result.out, result.err.count('\n')) == (2, '', 1)
    assert result.err.endswith("did you mean 'audit'?\n")
    assert call('batch-audit').err.endswith("did you mean 'batch_audit'?\n")
    assert 'did you mean' not in call('xyzzy').err


def test_is_a_module_too(tmp_path):
    """From any folder, and where no path leads to the installed command."""
    done = subprocess.run(
        [sys.executable, '-m', 'fr_inference', 'verify', '--help'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(programs.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert '  fr-inference verify --target=' in done.stdout
