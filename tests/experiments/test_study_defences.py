"""The program that studies defences, and the audit that quotes it: what each refuses in one line."""

import json

import pytest

from fr_inference.cli import program
from tests.experiments import programs
from tests.experiments.targets import MEMBERS, OTHERS

FACES = ['--target=demo_few', f'--members={MEMBERS}', f'--nonmembers={OTHERS}']
CASES = {
    'grammar': ('study_defences', ['--defences=noise:0.1;prayer'], '--defences: '),
    'number': ('study_defences', ['--defences=noise:much'], '--defences: '),
    'trained': ('study_defences', ['--trained=early'], '--trained: '),
    'nothing': ('study_defences', [], '--defences: '),
    'advice': ('audit', ['--advice=ADVICE'], '--advice: '),
    'no_advice': ('audit', ['--advice=NOWHERE'], '--advice: '),
}


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp('study')
    (folder / 'other.json').write_text(json.dumps({'schema': 2}))
    found = {}
    for name, (called, more, _) in CASES.items():
        more = [one.replace('ADVICE', str(folder / 'other.json')) for one in more]
        more = [one.replace('NOWHERE', str(folder / 'nowhere.json')) for one in more]
        case = {name: [*FACES, *more, f'--out={folder / name}']}
        found |= programs.run_all(called, case)
    return found


@pytest.mark.parametrize('case', CASES)
def test_one_line(results, case):
    result = results[case]
    assert result.code == program.EXIT_BAD_INPUT, result.err
    (line,) = result.err.splitlines()
    assert line.startswith(CASES[case][2])
