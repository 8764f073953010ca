"""The pipelines of docs/gates.md, copied and run: a shell reads them, the program gets its arguments."""

import os
import shlex
import subprocess

import pytest
import yaml

from fr_inference import console, devices
from fr_inference.cli import program
from tests.experiments import programs

SUBMODULE = 'third_party/fr_inference'
FEW = 'procedural:easy,images=4,seed=1,people=12'
TINY = {'TARGET': 'demo_easy', 'MEMBERS': FEW, 'NONMEMBERS': f'{FEW},first=512'}


def pipelines():
    """The YAML examples: (variables, commands, kept files) of GitHub's and of GitLab's."""
    page = (programs.ROOT / 'docs' / 'gates.md').read_text(encoding='utf-8')
    github, gitlab = (yaml.safe_load(part.split('```')[0]) for part in page.split('```yaml\n')[1:])
    job = github['jobs']['audit']
    steps = job['steps']
    upload = next(step for step in steps if step.get('uses', '').startswith('actions/upload'))
    assert upload['if'] == 'always()'
    other = gitlab['audit']
    assert other['artifacts']['when'] == 'always'
    return {
        'github': (
            job['env'],
            [step['run'] for step in steps if 'run' in step],
            upload['with']['path'].split(),
        ),
        'gitlab': (other['variables'], other['script'], other['artifacts']['paths']),
    }


PIPELINES = pipelines()


def calls(commands, variables, folder):
    """What a shell makes of them: the arguments of every program that is called, in order."""
    stand_ins = folder / 'bin'
    stand_ins.mkdir(parents=True)
    for name in ('pip', 'fr-inference'):
        (stand_ins / name).write_text(
            f'#!/bin/sh\nfor one in {name} "$@"; do printf "%s\\0" "$one"; done >> "$CALLS"\n'
            'printf "\\n" >> "$CALLS"\n'
        )
        (stand_ins / name).chmod(0o755)
    known = {**variables, 'PATH': f'{stand_ins}:{os.environ["PATH"]}', 'CALLS': folder / 'calls'}
    subprocess.run(
        ['bash', '--noprofile', '--norc', '-euo', 'pipefail', '-c', '\n'.join(commands)],
        env={name: str(value) for name, value in known.items()},
        check=True,
        timeout=60,
    )
    lines = (folder / 'calls').read_text().splitlines()
    return [line.split('\0')[:-1] for line in lines]


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """(pipeline, gates) -> result, of one small audit, whose measurements all of them share."""
    found = {}
    home = tmp_path_factory.mktemp('pipelines')
    with pytest.MonkeyPatch.context() as patch, devices.using(devices.local()[:1]):
        patch.chdir(home)
        for name, gates in (
            ('github', None),
            ('gitlab', None),
            ('github', 'auc:0.99,people/partial.auc:0.999'),
            ('gitlab', 'auc_hihg:0.6'),
            ('gitlab', 'tpr@fpr=0.01:0.5'),
        ):
            variables, commands, _ = PIPELINES[name]
            own = variables | TINY | ({} if gates is None else {'GATES': gates})
            case = home / f'{len(found)}'
            install, audit = calls(commands, own, case)
            assert install[0] == 'pip'
            found[name, gates] = programs.call(console.main, *audit), case
    return found


@pytest.mark.parametrize('name', PIPELINES)
def test_it_installs_this_project(name, tmp_path):
    variables, commands, _ = PIPELINES[name]
    install, audit = calls(commands, variables, tmp_path)
    assert install[:3] == ['pip', 'install', '-c']
    assert install[4:] == [f'./{SUBMODULE}']
    assert (programs.ROOT / install[3].removeprefix(f'{SUBMODULE}/')).is_file()
    assert audit[:2] == ['fr-inference', 'audit']
    assert f'--members={variables["MEMBERS"]}' in audit
    assert '--out=audit' in audit


@pytest.mark.parametrize(
    ('name', 'gates', 'code', 'words'),
    [
        ('github', None, program.EXIT_GATE, 'auc_high is 0.'),
        ('gitlab', None, program.EXIT_GATE, 'the verdict is open, and only a clear one passes'),
        ('github', 'auc:0.99,people/partial.auc:0.999', 0, 'passed, but the verdict is open'),
        ('gitlab', 'auc_hihg:0.6', program.EXIT_BAD_INPUT, 'did you mean'),
        (
            'gitlab',
            'tpr@fpr=0.01:0.5',
            program.EXIT_BAD_INPUT,
            'tpr@fpr=0.01 with 24 evaluated non-members',
        ),
    ],
)
def test_exit_codes(results, name, gates, code, words):
    result, _ = results[name, gates]
    assert result.code == code, result.err
    last = result.err.splitlines()[-1]
    assert last.startswith('--fail_above: ')
    assert words in last


def test_what_is_kept_was_written(results, tmp_path_factory):
    for _, _, kept in PIPELINES.values():
        assert kept == ['audit/report.html', 'audit/audit.json']
    result, case = results['gitlab', None]
    assert shlex.split(result.out.splitlines()[-1])[-1] == 'audit/report.html'
    assert all((case.parent / path).is_file() for path in PIPELINES['gitlab'][2])
