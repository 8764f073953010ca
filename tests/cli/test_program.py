"""What every program shares: exit codes, one line of error, quiet logs, SIGTERM."""

import dataclasses
import signal
import subprocess
import sys

import pytest
from absl import logging

from fr_inference import config, errors
from fr_inference.cli import program
from fr_inference.cli.program import Program
from fr_inference.declaring import Config, option
from fr_inference.report import gate
from tests.experiments import programs


@dataclasses.dataclass(frozen=True, kw_only=True)
class What(Config):
    """The option of a program that fails as it is told to."""

    what: str = option(..., 'What happens.', 'target')
    size: int = option(3, 'A number.', 'target', low=1, high=5)


def main(flags):
    """Does what it is told."""
    asked = flags.read(What)
    if asked.what == 'log':
        logging.info('chatter')
        logging.warning('worth knowing')
    if asked.what == 'input':
        raise errors.InputError('size', 'nothing\n  there')
    if asked.what == 'other':
        raise errors.InputError('a.csv', 'nothing', hint='pass skip_bad=True or other=True')
    if asked.what == 'gate':
        raise gate.GateCrossed('auc is 0.9, above 0.6')
    if asked.what == 'bug':
        raise RuntimeError('unforeseen')
    if asked.what == 'value':
        raise ValueError('nor is this bad input')
    print('done')


PROGRAM = Program(main=main, kinds=(What, config.Settings))


def run(*arguments):
    return programs.call(PROGRAM.run, 'experiments/tried.py', *arguments)


def test_done():
    result = run('--what=nothing')
    assert (result.code, result.out) == (0, 'done\n')


@pytest.mark.parametrize(
    ('arguments', 'code', 'line'),
    [
        (['--what=input'], 2, '--size: found nothing there'),
        (['--what=other'], 2, 'a.csv: found nothing; pass --skip_bad or other=True'),
        (['--what=gate'], 3, '--fail_above: auc is 0.9, above 0.6'),
        ([], 2, '--what: found no value; --help shows all flags'),
        (['--what='], 2, '--what: found no value; --help shows all flags'),
        (['--what=x', '--size=six'], 2, "--size: found 'six', expected a whole number"),
        (['--what=x', '--size=6'], 2, '--size: found 6, expected 1 to 5'),
        (['--what=x', '--skip_bad=so'], 2, "--skip_bad: found 'so', expected true or false"),
        (['--what=x', 'stray'], 2, "arguments: found 'stray', expected only --flag=value"),
    ],
)
def test_exit_codes_and_one_line(arguments, code, line):
    result = run(*arguments)
    assert (result.code, result.out, result.err) == (code, '', f'{line}\n')


def test_unknown_flags_are_one_line():
    result = run('--what=nothing', '--siz=1')
    assert result.code == 2
    assert result.err.count('\n') == 1
    assert result.err.endswith("did you mean '--size'?\n")
    for flag, meant in (('--skip-bad', '--skip_bad'), ('--batchsize=3', '--batch_size')):
        assert run('--what=nothing', flag).err.endswith(f'did you mean {meant!r}?\n')
    assert 'did you mean' not in run('--what=nothing', '--xyzzy').err
    assert "'--siz'" in result.err
    assert 'size' in result.err  # did you mean


@pytest.mark.parametrize(('what', 'kind'), [('bug', RuntimeError), ('value', ValueError)])
def test_a_bug_is_not_bad_input(what, kind):
    """It keeps its traceback; Python ends with 1."""
    with pytest.raises(kind):
        run(f'--what={what}')


@pytest.mark.parametrize(
    ('arguments', 'expected'), [([], [False, True]), (['--verbosity=0'], [True, True])]
)
def test_programs_are_quiet_unless_asked(arguments, expected):
    """Orbax logs every file at the level INFO."""
    before = logging.get_verbosity()
    try:
        result = run('--what=log', *arguments)
    finally:
        logging.set_verbosity(before)
    assert result.code == 0
    assert [word in result.err for word in ('chatter', 'worth knowing')] == expected


def test_a_warning_is_one_line_without_a_prefix():
    source = (
        'from absl import logging\n'
        'from fr_inference.cli.program import Program\n'
        "def main(flags): logging.warning('worth\\nknowing')\n"
        'Program(main=main, kinds=()).run()\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', source],
        cwd=programs.ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == 'Warning: worth knowing\n'


def test_flags_from_a_file(tmp_path):
    (tmp_path / 'flags').write_text('--what=input\n')
    assert run(f'--flagfile={tmp_path / "flags"}').err == '--size: found nothing there\n'


def test_sigterm_ends_what_saves_no_state():
    source = (
        'import os, signal, time\n'
        'from fr_inference.cli.program import Program\n'
        'def main(flags): os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n'
        'Program(main=main, kinds=(), saves=False).run()\n'
    )
    done = subprocess.run([sys.executable, '-c', source], cwd=programs.ROOT, check=False)
    assert done.returncode == -signal.SIGTERM


def test_exit_codes_are_the_documented_ones():
    codes = (program.EXIT_BUG, program.EXIT_BAD_INPUT, program.EXIT_GATE, program.EXIT_STOPPED)
    assert codes == (1, 2, 3, 4)
