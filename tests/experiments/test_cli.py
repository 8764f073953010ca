"""What every program shares, in one process that plays a program many times."""

import json
import os
import signal
import subprocess
import sys

import pytest

from experiments import cli
from fr_inference.errors import InputError
from tests.experiments import programs

PROGRAM = """
import contextlib, io, json, sys
from absl import flags, logging
from experiments import cli
from fr_inference import errors
from fr_inference.report import gate

flags.DEFINE_string('what', None, 'What happens.', required=True)

def main():
    logging.info('chatter')
    logging.warning('worth knowing')
    if flags.FLAGS.what == 'input':
        raise errors.InputError('--faces: nothing\\n  there')
    if flags.FLAGS.what == 'gate':
        raise gate.GateCrossed('auc is 0.9, above 0.6')
    if flags.FLAGS.what == 'bug':
        raise RuntimeError('unforeseen')
    if flags.FLAGS.what == 'value':
        raise ValueError('nor is this bad input')
    print('done')

results = {}
for case, arguments in json.loads(sys.argv[1]).items():
    flags.FLAGS.unparse_flags()
    for name in ('what', 'verbosity'):
        flags.FLAGS[name].unparse()
    sys.argv = ['program', *arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.run(main)
        except SystemExit as stop:
            code = stop.code or 0
        except Exception as error:
            code = repr(error)
    results[case] = [code, out.getvalue(), err.getvalue()]
sys.stdout.write(json.dumps(results))
"""
CASES = {
    'done': ['--what=nothing'],
    'input': ['--what=input'],
    'gate': ['--what=gate'],
    'bug': ['--what=bug'],
    'value': ['--what=value'],
    'required': [],
    'unknown': ['--what=nothing', '--wat=1'],
    'stray': ['--what=nothing', 'stray'],
    'verbose': ['--what=nothing', '--verbosity=0'],
}


@pytest.fixture(scope='module')
def results():
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, json.dumps(CASES)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        **json.loads(done.stdout),
        'log': done.stderr,
    }  # absl writes to the stream it began with


def test_done(results):
    code, out, _ = results['done']
    assert (code, out) == (0, 'done\n')


@pytest.mark.parametrize(
    ('case', 'expected', 'words'),
    [
        ('input', cli.EXIT_BAD_INPUT, '--faces: nothing there'),
        ('gate', cli.EXIT_GATE, '--fail_above: auc is 0.9, above 0.6'),
        ('required', cli.EXIT_BAD_INPUT, 'flag --what=None: Flag --what must have a value'),
        ('unknown', cli.EXIT_BAD_INPUT, "Unknown command line flag 'wat'"),
        ('stray', cli.EXIT_BAD_INPUT, "arguments: found 'stray', expected only --flag=value"),
    ],
)
def test_exit_codes_and_one_line(results, case, expected, words):
    code, out, err = results[case]
    assert (code, out) == (expected, '')
    assert err.count('\n') == 1
    assert words in err


def test_a_bug_is_not_bad_input(results):
    """It keeps its traceback; Python ends with 1."""
    assert results['bug'][0] == "RuntimeError('unforeseen')"
    assert results['value'][0] == "ValueError('nor is this bad input')"


def test_programs_are_quiet_unless_asked(results):
    """absl logs INFO by default, where Orbax tells of every file."""
    quiet, asked, _ = results['log'].partition('chatter')  # of the last case, --verbosity=0
    assert quiet.count('worth knowing') >= 5
    assert asked


def test_make_folder(tmp_path):
    path = cli.make_folder(tmp_path / 'a' / 'b', '--out')
    assert path.is_dir()
    assert cli.make_folder(path, '--out') == path
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match=r'--out: .*/file can not be made: .*; choose another'):
        cli.make_folder(tmp_path / 'file', '--out')
    with pytest.raises(InputError, match=r'--out: /proc can not be written to: .*; choose another'):
        cli.make_folder('/proc', '--out')
    with pytest.raises(InputError, match=r'--out: .* is no UTF-8 name'):
        cli.make_folder(tmp_path / os.fsdecode(b'o\xeb'), '--out')
    (tmp_path / 'old.csv').write_text('')
    cli.make_folder(tmp_path, '--out', ['old.csv', 'new.csv'])
    with pytest.raises(InputError, match=r'--out: .*/a is there and is no file that can be'):
        cli.make_folder(tmp_path, '--out', ['a'])


def test_progress(capsys):
    for done in (1, 3, 4):
        cli.progress('scoring', done, 4, loss=0.12345678)
    cli.progress('training', 1, 2)
    shown = capsys.readouterr().err
    assert 'scoring: 100%' in shown
    assert '4/4' in shown
    assert 'loss=0.1235' in shown
    # Finished, it is forgotten: the same label may come again.
    cli.progress('scoring', 1, 1)
    assert 'scoring: 100%' in capsys.readouterr().err
    cli.progress('training', 2, 2)
    assert not cli._BARS


def test_progress_only_on_process_0(capsys, monkeypatch):
    monkeypatch.setattr('jax.process_index', lambda: 1)
    cli.progress('scoring', 1, 1)
    assert capsys.readouterr() == ('', '')


def test_bars_of_work_that_was_given_up_go(capsys):
    cli.progress('1 first: scoring', 1, 4, keep=False)
    cli.progress('2 second: scoring', 1, 4, keep=False)
    cli.drop_bars('1 first: ')
    assert list(cli._BARS) == ['2 second: scoring']
    cli.say('a line\x1b[2J')
    cli.drop_bars('2 second: ')
    assert not cli._BARS
    assert capsys.readouterr().out == 'a line\\x1b[2J\n'


def test_sigterm_ends_what_saves_no_state():
    program = (
        'import os, signal, time; from experiments import cli; '
        'cli.run(lambda: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(60)), saves=False)'
    )
    done = subprocess.run([sys.executable, '-c', program], cwd=programs.ROOT, check=False)
    assert done.returncode == -signal.SIGTERM
