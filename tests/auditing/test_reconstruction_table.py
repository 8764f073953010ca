"""The table counts planted reconstructions, and tells searches apart on the same people."""

import numpy as np
import pytest

from tests.auditing import reconstruction_table as table


@pytest.fixture(scope='module')
def faces():
    draw = np.random.default_rng(0)
    names = np.array([f'p{i:02d}' for i in range(40) for _ in range(6)])
    centres = draw.normal(size=(2, 40, 24))
    seen = np.repeat(centres, 6, axis=1) + 0.3 * draw.normal(size=(2, 240, 24))
    return names, {'first': seen[0], 'second': seen[1]}, {'first': centres[0], 'second': centres[1]}


def test_people_have_one_template_each_and_are_compared_with_others(faces):
    names, seen, _ = faces
    who = table.people(names, seen, seed=0)
    assert names[who.templates].tolist() == [f'p{i:02d}' for i in range(20)]
    gallery = who.galleries['first']
    assert set(np.array(gallery.names)[gallery.member]) == set(names[who.templates])
    rest = np.setdiff1d(np.flatnonzero(names == 'p03'), who.templates)
    unit = seen['first'][rest] / np.linalg.norm(seen['first'][rest], axis=1, keepdims=True)
    mean = unit.mean(0) / np.linalg.norm(unit.mean(0))
    np.testing.assert_allclose(gallery.centres[gallery.names.index('p03')], mean)


def test_planted_ones_are_counted_and_all_must_agree(faces):
    names, seen, centres = faces
    who = table.people(names, seen, seed=0)
    claimed = names[who.templates].tolist()
    found = {name: values[:20].copy() for name, values in centres.items()}
    found['second'][5:] = centres['second'][20:35]  # the second evaluator sees others in these
    rows = table.shown(found, claimed, who.galleries)
    assert rows['first: top-1'].all()
    assert rows['first: SAR at FMR 1 %'].all()
    assert 'first: SAR at FMR 0.01 %' not in rows
    for figure in ('top-1', 'SAR at FMR 1 %'):
        np.testing.assert_array_equal(rows[f'all: {figure}'], rows[f'second: {figure}'])
        assert rows[f'all: {figure}'][:5].all()
    assert rows['all: SAR at FMR 1 %'].sum() == 5


def test_differences_are_paired():
    hit = np.arange(50) < 30
    assert table.difference(hit, hit, seed=0) == ([0, 0, 0], 1.0)
    (more, low, high), p = table.difference(hit, np.arange(50) < 10, seed=0)
    assert more == 40
    assert 20 <= low < 40 < high
    assert p == pytest.approx(2**-20, rel=0.05)  # twenty people, all for the same search
    assert table.difference(~hit, hit, seed=0)[0][0] == -20


def test_searches_are_named_by_their_options():
    found = table.parsed('steps=0;candidates=1,steps=60,space=w+,prior=0.5')
    assert [label for label, _ in found] == ['steps=0', 'candidates=1,steps=60,space=w+,prior=0.5']
    assert (found[1][1].candidates, found[1][1].space, found[1][1].prior) == (1, 'w+', 0.5)
    with pytest.raises(KeyError):
        table.parsed('stepz=1')
