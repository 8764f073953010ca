"""The programs under pseudonyms: every byte below their folders, whatever fails on the way."""

import json
import stat

import numpy as np
import pytest
from PIL import Image

from fr_inference.data import pseudonyms
from tests import nobody_named
from tests.experiments import networks, programs

NAMES = [f'Xylo{letter}_Quark' for letter in 'abcdefghijklmnopqrst']
SEARCH = ('--draws=6', '--candidates=4', '--steps=1', '--keep=2', '--pictures=2', '--nountrained')


def photographs(folder, names, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (len(names), 2, 16, 16, 3), np.uint8)
    for name, own in zip(names, noise, strict=True):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(own):
            Image.fromarray(image).save(folder / name / f'{name}_{number}.png')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pseudonyms')
    networks.save(folder)
    photographs(folder / 'members', NAMES[:8], 1)
    photographs(folder / 'others', NAMES[8:18], 2)
    photographs(folder / 'other images', NAMES[:8], 3)
    (folder / 'others' / NAMES[8] / f'{NAMES[8]}_0.png').write_text('damaged')
    (folder / 'members' / NAMES[0] / 'inner').mkdir()
    lines = [f'members/{name}/{name}_0.png,{name}' for name in NAMES[:8]]
    (folder / 'twice.csv').write_text('\n'.join(['path,identity', *lines, lines[-1], '']))
    (folder / 'targets.csv').write_text(
        'name,target,members,skip_bad\n'
        'good,target,members,true\nbad,target,twice.csv,true\nworse,target,members,false\n'
    )
    (folder / 'short').write_text('short')
    return folder


@pytest.fixture(scope='module')
def flags(folder):
    def made(out, *rest, key='key', faces=True):
        sides = (f'--members={folder / "members"}', f'--nonmembers={folder / "others"}')
        return [
            *(f'--out={folder / out}', f'--pseudonyms={folder / key}', '--batch_size=16'),
            *(sides if faces else sides[1:]),
            *rest,
        ]

    return made


@pytest.fixture(scope='module')
def results(folder, flags):
    target = (f'--target={folder / "target"}', '--skip_bad')
    search = (f'--generator={folder / "generator"}', f'--evaluator={folder / "evaluator"}')
    cases = {
        'audit': {
            'audit': flags(
                *('audit', *target, f'--member_identities={folder / "other images"}'),
                *('--allow_overlap', f'--blind={folder / "evaluator"}'),
            ),
            'refused': flags('refused', *target, key='refused/key'),
            'short': flags('refused', *target, key='short'),
        },
        'invert': {'invert': flags('invert', *target, *search, *SEARCH, '--targeted=2')},
        'batch_audit': {
            'batch': flags('batch', f'--targets={folder / "targets.csv"}', faces=False),
            'among': flags(
                *('among', f'--targets={folder / "targets.csv"}'), key='among/key', faces=False
            ),
        },
    }
    found = {}
    for program, asked in cases.items():
        found |= programs.run_all(program, asked)
    return found


@pytest.mark.parametrize('out', ['audit', 'invert', 'batch'])
def test_no_byte_names_anybody(folder, results, out):
    result = results[out]
    assert result.code == (2 if out == 'batch' else 0), result.err
    key = (folder / 'key').read_text().strip()
    written = [path for path in (folder / out).rglob('*') if path.is_file()]
    assert len(written) >= 4
    assert nobody_named.named_in(folder / out, [*NAMES, key]) == []


def test_what_it_writes_is_joined_by_pseudonyms(folder, results):
    key = pseudonyms.read_key(folder / 'key')
    assert stat.S_IMODE((folder / 'key').stat().st_mode) == 0o600
    everybody = {pseudonyms.of(name, key) for name in NAMES[:18]}
    for out in ('audit', 'invert', 'batch/good'):
        lines = (folder / out / 'scores.csv').read_text().splitlines()[1:]
        assert {line.split(',')[1] for line in lines} == everybody, out
        skipped = json.loads((folder / out / 'audit.json').read_text())['skipped']
        assert [one['path'].partition('/')[0] for one in skipped] == [pseudonyms.of(NAMES[8], key)]
    nearest = (folder / 'invert' / 'reconstructions.csv').read_text()
    assert 'p-' in nearest
    command = json.loads((folder / 'audit' / 'audit.json').read_text())['provenance']['command']
    assert f'--pseudonyms={folder / "key"}' in command


def test_errors_stay_on_the_terminal(folder, results):
    """Of a batch they are written down, and those of opening faces name people."""
    said = results['batch'].out
    assert f'{NAMES[7]}_0.png' in said
    table = (folder / 'batch' / 'comparison.csv').read_text()
    assert table.count(',failed,') == 2


@pytest.mark.parametrize('case', ['refused', 'short', 'among'])
def test_a_key_that_does_not_serve_is_refused(folder, results, case):
    assert results[case].code == 2
    assert results[case].err.strip().splitlines()[-1].startswith('--pseudonyms: ')
    assert not list(folder.glob('*/key'))
