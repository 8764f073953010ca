"""Figures in README, and the tables of studies, are those of their JSON."""

import json
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / 'docs' / 'results'


def comparison(file, **wanted):
    """Returns the comparison that a study's JSON holds of one attack."""
    found = [
        one
        for one in json.loads((RESULTS / file).read_text())['comparisons']
        if all(one[key] == value for key, value in wanted.items())
    ]
    assert len(found) == 1
    return found[0]


def auc(block):
    low, high = block['auc_ci95']
    return f'{block["auc"]:.3f} ({low:.3f} to {high:.3f})'


@pytest.mark.parametrize(
    ('file', 'attack'),
    [
        ('2026-11-27-demo/leaky.json', 'combined-file'),
        ('2026-11-27-defences/undefended.json', 'combined-answers-references'),
    ],
)
def test_membership(file, attack):
    found = comparison(file, attack=attack, setting='partial')
    readme = (ROOT / 'README.md').read_text()
    assert f'AUC {auc(found)}' in readme
    assert f': {auc(found["blind"])}' in readme


def test_reconstruction():
    study = json.loads((RESULTS / '2026-11-27-templates/photographs.json').read_text())
    readme = (ROOT / 'README.md').read_text()
    for search in ('steps', 'best random'):
        value, low, high = study['casia'][search]['top-1']
        assert f'{value} % ({low} to {high})' in readme


def test_unit_length():
    study = json.loads((RESULTS / '2026-11-27-defences/unit_length_photographs.json').read_text())
    readme = ' '.join((ROOT / 'README.md').read_text().split())
    found = {
        (row['label'], row['attacker'], cell['key']): cell
        for row in study['rows']
        for cell in row['cells']
    }
    before, after = ('no defence', 'plain'), ('answers-unit', 'adaptive')
    alone, beside = (f'combined-answers{more}/partial' for more in ('', '-references'))
    assert f'from {auc(found[(*before, alone)])} to {auc(found[(*after, alone)])}' in readme
    assert (
        f'from {found[(*before, beside)]["auc"]:.3f} to {found[(*after, beside)]["auc"]:.3f}'
        in readme
    )


def test_unit_length_on_demo_few():
    study = json.loads((RESULTS / '2026-11-28-defences/inverted.json').read_text())
    before, after = (
        cell['auc']
        for row in study['rows']
        if row['label'] in ('no defence', 'answers-unit')
        for cell in row['cells']
        if cell['key'] == 'combined-answers/partial'
    )
    assert f'({before:.3f} to {after:.3f})' in (ROOT / 'README.md').read_text()


def rows_of(page):
    """Returns the lines of a page's tables, as sets of cells."""
    lines = (RESULTS / page).read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip().strip('|').split('|')]
        for line in lines
        if line.strip().startswith('|')
    ]


def spread(values):
    return f'{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})'


def test_attacks_on_drawn_faces():
    sets = [
        json.loads((RESULTS / f'2026-11-28-attacks/drawn_{first}.json').read_text())['attacks']
        for first in (1000, 2000, 3000)
    ]
    shown = rows_of('attacks.md')
    for three in zip(*sets, strict=True):
        leaks = [leak for one in three for leak in one['leaks']]
        row = [f'`{three[0]["attack"]}`', three[0]['access'], three[0]['knows']]
        row += [spread(one['auc']) for one in three]
        assert [*row, f'{sum(leaks)} of {len(leaks)}'] in shown


def test_attacks_on_photographs_once_more():
    studies = [
        json.loads((RESULTS / f'2026-11-28-attacks/photographs_{epochs}.json').read_text())
        for epochs in ('003', '010')
    ]
    shown = rows_of('attacks.md')
    for name in (
        *(
            f'combined-{access}{more}'
            for access in ('file', 'answers')
            for more in ('', '-references')
        ),
        *('bn-distance', 'people-answers'),
    ):
        row = [f'`{name}`']
        for study in studies:
            (found,) = (
                one
                for one in study['attacks']
                if (one['attack'], one['knows']) == (name, 'partial')
            )
            row += [spread(found['auc']), f'{np.mean(found["blind"]):.3f}']
            row += [f'{sum(found["leaks"])} of {len(found["leaks"])}']
        assert row in shown


def test_search_ablation():
    study = json.loads((RESULTS / '2026-11-28-ablation/ablation.json').read_text())
    shown = rows_of('inversion.md')
    figures = ('top-1', 'SAR at FMR 1 %', 'SAR at FMR 0.1 %', 'SAR at FMR 0.01 %')
    for found in study['searches'].values():
        cells = ['{} ({} to {})'.format(*found[figure]) for figure in figures]
        assert [str(found['candidate_steps']), f'{found["cosine"]:.3f}', *cells] in [
            row[1:] for row in shown
        ]
    for latents, found in study['starts'].items():
        assert [f'{int(latents):,}', *(f'{cosine:.3f}' for cosine in found.values())] in shown


def test_centre_estimates():
    study = json.loads((RESULTS / '2026-11-28-centres/centres.json').read_text())
    shown = [row[1:] for row in rows_of('inversion.md')]
    for found, other in zip(study['7'].values(), study['0'].values(), strict=True):
        row = [f'{found[0]:.3f} ({other[0]:.3f})', f'{found[1]:.0f} ({other[1]:.0f})']
        row += [f'{100 * found[i]:.0f} ({100 * other[i]:.0f})' for i in (2, 3, 4)]
        assert row in shown


def test_length():
    assert len((ROOT / 'README.md').read_text().split()) <= 600
    assert len((ROOT / 'BUILD_NOTES.md').read_text().split()) <= 1500
