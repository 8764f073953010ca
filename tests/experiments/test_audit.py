"""The audit program: its exit codes, what it writes, what it refuses."""

import json

import pytest

from fr_inference.cli import program
from fr_inference.report import model_card
from fr_inference.report.verdict import verdict
from fr_inference.weights import native_targets
from fr_inference.weights.targets import open_target
from tests.experiments import programs, targets
from tests.experiments.targets import MEMBERS, OTHERS

FURTHER = 'procedural:hard,people=8,images=2,size=16,first=200'
WRITTEN = {'audit.json', 'scores.csv', 'distances.npz', 'report.html'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('audit')
    norms = {'target': 'batch', 'blind': 'batch', 'plain': 'group'}
    for seed, (name, norm) in enumerate(norms.items()):
        targets.save(folder / name, seed, norm=norm, listed=name == 'target')
    wrong = open_target('demo_easy', input={'colour': 'bgr'})
    native_targets.save_target(folder / 'misfed', wrong)
    (folder / 'file').write_text('text')
    (folder / 'taken' / 'audit.json').mkdir(parents=True)
    for person in range(8):
        (folder / 'broken' / f'p{person}').mkdir(parents=True)
        (folder / 'broken' / f'p{person}' / '1.png').write_text(f'not an image, {person}')
    return folder


@pytest.fixture(scope='module')
def results(folder):
    def arguments(out, *rest, target='target', members=MEMBERS, others=OTHERS):
        return [
            *(f'--target={folder / target}', f'--members={members}', f'--nonmembers={others}'),
            *(f'--out={folder / out}', '--batch_size=16', *rest),
        ]

    def misfed(out, *rest):
        """The backbone that generalises, described as one that expects BGR."""
        easy = 'procedural:easy,images=4,seed=1,people=16'
        sides = (f'--members={easy},start=8', f'--nonmembers={easy},first=512')
        return [f'--target={folder / "misfed"}', *sides, f'--out={folder / out}', *rest]

    return programs.run_all(
        'audit',
        {
            'plain': arguments(
                'plain_out', '--nothumbnails', f'--card={folder / "card.md"}', target='plain'
            ),
            'gate': arguments(
                'gate_out',
                '--fail_above=auc:0.001,people/partial.auc_high:0.999999',
                '--allow_overlap',
                '--seed=3',
                f'--blind={folder / "blind"}',
            ),
            'misfed': misfed('refused'),
            'flagged': misfed('refused', '--colour=bgr'),
            'allowed': misfed('allowed', '--allow_misfit', '--fail_above=auc:0.9999'),
            'bad_gate': arguments('refused', '--fail_above=area:0.5', target='none'),
            'unresolved_gate': arguments('refused', '--fail_above=tpr@fpr=0.001:0.5'),
            'gate_of_a_search': arguments('refused', '--fail_above=hit_rate:0.5', target='none'),
            'gate_without_layers': arguments(
                'refused', '--fail_above=bn-distance/partial.auc:0.5', target='plain'
            ),
            'no_target': arguments('refused', target='none'),
            'no_members': arguments('refused', members='none'),
            'same': arguments('refused', others=MEMBERS),
            'own_list': arguments('refused', members=OTHERS, others=MEMBERS),
            'embedded_list': [
                *('--target=demo_easy', f'--out={folder / "refused"}', f'--members={OTHERS}'),
                '--nonmembers=procedural:easy,images=8,seed=1,people=2',
            ],
            'broken': arguments('refused', others=str(folder / 'broken')),
            'shadow_alone': arguments('refused', f'--shadow={folder / "target"}'),
            'shadow_without_list': arguments(
                'refused', f'--shadow={folder / "plain"}', f'--auxiliary={FURTHER}'
            ),
            'no_blind': arguments('refused', '--blind=none'),
            'blind_saw_them': arguments('refused', f'--blind={folder / "target"}', target='plain'),
            'no_auxiliary': arguments('refused', '--auxiliary=none'),
            'dtype': arguments('refused', '--dtype=float8'),
            'decoders': arguments('refused', '--decoders=-1'),
            'search_alone': arguments('refused', '--steps=3'),
            'centres_alone': arguments('refused', '--centres=3'),
            'out_is_a_file': arguments('file'),
            'out_is_proc': [*arguments('refused')[:-2], '--out=/proc'],
            'card_of_another': arguments('refused', f'--card={folder / "file"}'),
            'record_is_a_folder': arguments('taken'),
            'seed': arguments('refused', f'--seed={2**31}'),
            'long': arguments('refused', members='x' * 5000),
            'no_flags': [],
        },
    )


def test_done(folder, results):
    result = results['plain']
    assert result.code == 0, result.err
    out = folder / 'plain_out'
    assert {path.name for path in out.iterdir()} >= WRITTEN
    record = json.loads((out / 'audit.json').read_text())
    comparisons = record['membership']['comparisons']
    assert {one['access'] for one in comparisons} == {'answers'}  # it has no BatchNorm
    assert {one['unit'] for one in comparisons} == {'image', 'person'}
    assert (folder / 'card.md').read_text(encoding='utf-8') == model_card.render(record)
    assert record['provenance']['command'].startswith('python -m experiments.audit --')
    assert result.out.splitlines()[-1] == f'report: {out / "report.html"}'
    assert len(result.out.splitlines()) >= 3
    assert 'target: 100%' in result.err


def test_a_crossed_gate_loses_nothing(folder, results):
    result = results['gate']
    assert result.code == program.EXIT_GATE
    assert result.err.splitlines()[-1].startswith('--fail_above: auc is 0.')
    assert 'above 0.001' in result.err
    out = folder / 'gate_out'
    assert {path.name for path in out.iterdir()} >= WRITTEN
    record = json.loads((out / 'audit.json').read_text())
    headline = record['membership']['comparisons'][0]
    assert (headline['attack'], headline['setting']) == ('combined-file', 'partial')
    assert headline['auc'] > 0.001
    assert record['provenance']['settings']['allow_overlap'] is True
    assert record['provenance']['settings']['batch_size'] == 16
    assert record['provenance']['seed'] == 3
    assert f'report: {out / "report.html"}' in result.out


def test_wrong_input_stops_or_is_warned_of(folder, results):
    """Never an all-clear: neither from the file's description nor by the user's flag."""
    for name, how in (('misfed', 'layout'), ('flagged', 'given')):
        stopped = results[name]
        assert stopped.code == program.EXIT_BAD_INPUT
        (line,) = stopped.err.splitlines()
        assert line.startswith('--colour: ')
        assert 'pass --colour=rgb; or continue with --allow_misfit' in line
        assert f'input 32 high x 32 wide (layout), BGR ({how})' in stopped.out
    allowed = results['allowed']
    assert allowed.code == program.EXIT_BAD_INPUT  # the gate cannot be held
    assert allowed.err.splitlines()[-1].startswith('--fail_above: ')
    record = json.loads((folder / 'allowed' / 'audit.json').read_text())
    assert record['input']['origins']['colour'] == 'layout'
    assert record['input']['check']['state'] == 'other'
    assert record['input']['check']['conventions'][0]['colour'] == 'bgr'
    assert record['input']['check']['remark'] in record['limits']
    assert record['input']['verification']['people'] == 16
    assert record['provenance']['command'].count('--allow_misfit') == 1
    assert verdict(record).kind not in ('clear', 'open')
    assert verdict(record).sentences[0].endswith(record['input']['check']['remark'])


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        (
            'bad_gate',
            "--fail_above: found 'area:0.5', expected verdict, or FIGURE:LIMIT",
        ),
        ('unresolved_gate', '--fail_above: found tpr@fpr=0.001 with 8 evaluated non-members'),
        ('unresolved_gate', 'expected 10,000 or more evaluated, so about 20,000 in all'),
        ('gate_of_a_search', 'also give --generator=GENERATOR'),
        ('gate_without_layers', 'bn-distance/partial needs BatchNorm layers'),
        ('no_target', '--target: '),
        ('no_members', "--members: found 'none', which does not exist"),
        ('same', '--nonmembers: found 8 identities on both sides (hard-0-0, '),
        ('own_list', "nonmembers: found 16 images of the target's own list of training images"),
        ('embedded_list', "images of the target's own list of training images"),
        ('broken', '1.png: found no known image format'),
        ('shadow_alone', '--shadow: found no auxiliary faces'),
        ('shadow_without_list', 'found no members.csv beside the weights'),
        ('no_blind', '--blind: '),
        ('blind_saw_them', '--blind: found 16 images of members'),
        ('blind_saw_them', 'give another backbone, or allow it with --allow_overlap'),
        ('no_auxiliary', "--auxiliary: found 'none', which does not exist"),
        ('dtype', "--dtype: found 'float8', expected one of 'float32', 'bfloat16'"),
        ('decoders', '--decoders: found -1, expected 0 to 1024'),
        ('search_alone', '--steps: needs a generator'),
        ('centres_alone', '--centres: needs a generator'),
        ('out_is_a_file', '--out: '),
        ('out_is_proc', '--out: found /proc, which cannot be written to'),
        ('card_of_another', 'which was not written by an audit'),
        ('record_is_a_folder', 'audit.json, which is not a file that can be replaced'),
        ('seed', '--seed: found 2147483648, expected 0 to 2147483647'),
        ('long', "--members: found 'xxxx"),
        ('no_flags', '--target'),
    ],
)
def test_bad_input_is_one_line(folder, results, case, words):
    result = results[case]
    assert result.code == program.EXIT_BAD_INPUT
    assert words in result.err
    assert len(result.err.splitlines()) == 1
    assert 'report' not in result.out
    assert not (folder / 'refused' / 'audit.json').exists()


def test_help_is_no_failure():
    result = programs.command_line('audit', '--helpshort')
    assert result.code == 0
    for flag in ('target', 'members', 'nonmembers', 'auxiliary', 'fail_above', '[no]thumbnails'):
        assert f'  --{flag}' in result.out
    assert '2 bad input, 3 a gate' in result.out
    assert max(map(len, result.out.splitlines())) <= 110
