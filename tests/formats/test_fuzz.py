"""A few thousand changed files of every kind: read or refused with one line, nothing run."""

import os
import subprocess
import sys

import pytest

from tests.experiments.programs import ROOT
from tests.formats.fuzz import watching
from tests.formats.fuzz.seeds import GROUPS, Group

INPUTS = 2000


def test_no_input_gets_further_than_one_line():
    """The same inputs each time; `python -m tests.formats.fuzz` goes on with others, for hours."""
    done = subprocess.run(
        [sys.executable, '-m', 'tests.formats.fuzz', f'--inputs={INPUTS}', '--seconds=60'],
        env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.strip('| ').split(' | ') for line in done.stdout.splitlines()]
    table = {
        name: dict(zip(rows[0][1:], map(int, numbers), strict=True)) for name, *numbers in rows[1:]
    }
    assert table.keys() == {*GROUPS, 'all'}
    # A seed that is refused itself, or changes that change nothing, would find nothing.
    assert all(found['refused'] for name, found in table.items() if name != 'ours: row caches')
    assert table['all']['inputs'] > INPUTS // 10


def wrong(read, exact=False):
    """A group whose reader does what none may."""
    return lambda: Group(
        seeds=[{'file': b'abc'}],
        changes=[lambda draw, data, others: b'x' + data],
        read=read,
        exact=exact,
    )


def by_content(action):
    """Reads the honest file well and runs `action` for the changed one."""

    def read(folder, _number):
        return action() if (folder / 'file').read_bytes() != b'abc' else None

    return read


def raises():
    raise KeyError('a bug')


WRONG = {
    'exception': wrong(by_content(raises)),
    'changed': wrong(by_content(lambda: 'other'), exact=True),
    # Ten times the limit below: the kernel may take other pages of this process away meanwhile.
    'memory': wrong(by_content(lambda: bytearray(b'x') * (300 << 20) and None)),
    'code': wrong(by_content(lambda: os.system('true') and None)),
    'code by exec': wrong(by_content(lambda: exec('1'))),
    'code that writes': wrong(by_content(lambda: open('written', 'w').close())),
    'code by import': wrong(by_content(lambda: __import__('this_module_is_not_there'))),
    'clean': wrong(lambda folder, _: None),
}


@pytest.mark.parametrize('name', WRONG)
def test_the_fuzzer_sees(name, monkeypatch, tmp_path):
    if name == 'memory' and not watching.forgets_peaks():
        pytest.skip('this kernel does not forget the peak of a process (/proc/self/clear_refs)')
    monkeypatch.setitem(GROUPS, name, WRONG[name])
    monkeypatch.setattr(watching, 'MEGABYTES', 30)
    monkeypatch.chdir(tmp_path)
    group, outcome, _ = watching.Attempts(tmp_path, [name]).attempt(0, 0)
    assert (group, outcome) == (name, name.partition(' ')[0])
