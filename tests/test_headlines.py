"""README's figures are those of the studies' JSON."""

import json
import pathlib

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


def test_length():
    assert len((ROOT / 'README.md').read_text().split()) <= 600
    assert len((ROOT / 'BUILD_NOTES.md').read_text().split()) <= 1500
