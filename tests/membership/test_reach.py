"""How far a planted leak reaches: a mark at both edges, which a mirror keeps and a crop cuts off."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import config
from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.membership import attacks, changed_pictures, comparing, limitations, reach, study
from fr_inference.membership.changed_pictures import CHANGES, Change
from fr_inference.membership.views import measure_views
from fr_inference.models.target import InputSpec, Target
from fr_inference.report import reach_figure

SIZE = 40  # a crop to 95 % loses a pixel at each edge
PEOPLE, IMAGES = 40, 2
SETTINGS = config.Settings(
    attacks=('norm', 'anchors', 'reference', 'combined-answers-references'),
    replicates=100,
    batch_size=32,
    reach=True,
    skip_bad=True,
)


def pictures(marked, seed, name):
    """Noise of any brightness, contrast and sharpness; a mark is a brighter column at each edge.

    Others have both in the middle: the statistics of a picture as a whole are the same.
    """
    draw = np.random.default_rng(seed)
    brightness, contrast, blur = draw.uniform([80, 8, 0], [160, 16, 0.5], (PEOPLE * IMAGES, 3)).T
    noise = draw.normal(size=(PEOPLE * IMAGES, SIZE, SIZE, 3))
    for axis in (1, 2):
        share = blur[:, None, None, None]
        noise = (1 - share) * noise + share * np.roll(noise, 1, axis)
    images = (brightness + contrast * noise.T).T
    middle = SIZE // 2
    images[:, :, [0, -1] if marked else [middle - 1, middle]] += 6
    identities = [f'{name}{number}' for number in np.repeat(np.arange(PEOPLE), IMAGES)]
    return from_arrays(images.clip(0, 255).astype(np.uint8), identities, name)


def network(name, columns):
    """A backbone whose embedding is longer where some columns are brighter than others."""
    others = np.array([4, 5, 6, 7, 32, 33, 34, 35])

    def apply(variables, images):
        mean, usual = (images[:, :, one].mean((1, 2, 3)) for one in (np.array(columns), others))
        rest = images[:, :4, 5:9].mean((1, 3))
        return jnp.concatenate(
            [variables['params']['by'] * (1 + mean - usual)[:, None], rest], axis=1
        )

    by = np.full((), 20 + columns[0], np.float32)
    spec = InputSpec(height=SIZE, width=SIZE)
    return Target(name=name, apply=apply, variables={'params': {'by': by}}, input=spec)


@pytest.fixture(scope='module')
def faces():
    members = pictures(True, 1, 'in')

    def read(index):
        if index == 3:  # so that rows and positions differ
            raise BadImageError('in#3', 'broken')
        return members.read(index)

    return {
        'members': dataclasses.replace(members, read=read),
        'nonmembers': pictures(False, 2, 'out'),
        'member_identities': pictures(False, 3, 'in'),
    }


@pytest.fixture(scope='module')
def views(faces):
    return measure_views(
        network('planted', [0, SIZE - 1]),
        faces,
        settings=SETTINGS,
        features=study.features_of(SETTINGS),
        blind=network('blind', [10, 29]),
        references={'base': network('base', [9, 30])},
    )


@pytest.fixture(scope='module')
def found(views, faces):
    return study.run(views, faces, settings=SETTINGS)


def test_the_leak_reaches_as_far_as_it_was_planted(found, views):
    entries = found.membership['reach']
    assert [entry['change'] for entry in entries] == [
        'none',
        *(change.name for change in CHANGES),
        'other-photographs',
    ]
    aucs = {entry['change']: entry['auc'] for entry in entries}
    for name in ('none', 'mirror', 'jpeg-90'):
        assert aucs[name] > 0.95
    # The repeated edge keeps the left mark.
    assert aucs['shift-5'] > 0.95
    for entry in entries:
        low, high = entry['auc_ci95']
        assert low <= entry['auc'] <= high
        # The mark is not where the blind backbone looks.
        assert entry['blind']['auc_ci95'][0] < 0.5
        if entry['change'] in ('crop-90', 'crop-80', 'other-photographs'):
            assert low < 0.5 < high
        assert entry['people'] == PEOPLE
        if entry['change'] != 'other-photographs':
            assert entry['images'] == (~views.fit).sum()
        assert entry['by'] == reach.followed(found.comparisons).key
    assert not limitations.of_reach(entries)


def test_the_first_entry_is_the_judged_half_as_it_is(found):
    one = reach.followed(found.comparisons)
    assert one.attack == 'combined-answers-references'
    first = found.membership['reach'][0]
    assert (first['auc'], first['blind']['auc']) == (one.figures['auc'], one.blind['auc'])
    others = found.membership['populations']['member_identities_vs_nonmembers']
    assert found.membership['reach'][-1]['auc_ci95'] == others['auc_ci95']


def test_a_copy_without_a_change_has_the_logits_of_the_original(views, monkeypatch):
    """Parts, references and the blind backbone included: nothing is fitted on what is looked at."""
    attack = next(
        one for one in attacks.chosen(SETTINGS.attacks) if one.name == 'combined-answers-references'
    )
    _, trials = comparing.compare(attack, 'partial', views, SETTINGS)
    same = Change(name='same', label='the same', family='same', make=lambda image: image)
    monkeypatch.setattr(reach, 'CHANGES', (same,))
    judges = reach._judges(attack, trials, views, SETTINGS.seed)
    (_, originals), (_, copies) = reach._copies(judges, SETTINGS.seed)
    for original, copy in zip(originals, copies, strict=True):
        np.testing.assert_allclose(copy.scores, original.scores, rtol=1e-5, atol=1e-6)
        assert copy.identities == original.identities
        np.testing.assert_array_equal(copy.member, original.member)
    assert len(originals) == 2


def test_nothing_is_measured_again_without_a_leak(views, faces, found, monkeypatch):
    clear = [
        dataclasses.replace(one, excess={'auc': 0.0, 'auc_ci95': [-0.1, 0.1]}, best_of=None)
        for one in found.comparisons
    ]
    monkeypatch.setattr(changed_pictures, 'copies', None)
    assert reach.figures(clear, {}, [], views, faces, SETTINGS, {}) == []
    (said,) = limitations.of_reach([])
    assert 'reach' in said
    assert limitations.of_reach(None) == []


def test_other_photographs_are_judged_by_the_attack_that_is_followed(views, faces, monkeypatch):
    """Where the first attack on images shows no leak and a further one does."""
    settings = config.replace(SETTINGS, attacks=('norm', 'anchors'))
    ran = study._compare(study.chosen(settings), views, settings)
    first, second = [pair for pair in ran if pair[0].setting == 'partial'][:2]
    none = {'auc': 0.0, 'auc_ci95': [-0.1, 0.1]}
    shown = [dataclasses.replace(first[0], excess=none, best_of=None), second[0]]
    if second[0].kind != 'leak':
        shown[1] = dataclasses.replace(second[0], further=False, best_of=None)
    assert [one.kind for one in shown] == ['open', 'leak']
    monkeypatch.setattr(reach, 'CHANGES', ())
    known = {'member_identities_vs_nonmembers': None}  # of the first, not to be used
    entries = reach.figures(
        shown,
        {one.key: behind for one, behind in ran},
        study.chosen(settings),
        views,
        faces,
        settings,
        known,
    )
    assert [entry['change'] for entry in entries] == ['none', 'other-photographs']
    assert {entry['by'] for entry in entries} == {second[0].key}


def test_without_the_option_there_is_nothing(views, faces):
    plain = study.run(views, faces, settings=config.replace(SETTINGS, reach=False))
    assert 'reach' not in plain.membership


@pytest.mark.parametrize('images', [1, 4, 40])
def test_drawn_people_are_whole_and_bounded(images):
    identities = [f'p{number:04}' for number in np.repeat(np.arange(1200), images)]
    count = len(identities)
    member, judged = np.arange(count) < count // 2, np.arange(count) % (2 * images) < images
    rows = reach.drawn(identities, member, judged, 0)
    assert judged[rows].all()
    assert (np.diff(rows) > 0).all()
    for side in (member, ~member):
        chosen = rows[side[rows]]
        assert len(chosen) <= reach.MOST < len(chosen) + 16
        names, each = np.unique([identities[row] for row in chosen], return_counts=True)
        assert set(each.tolist()) == {min(images, 16)}
        assert len(names) >= 16
    assert rows.tolist() == reach.drawn(identities, member, judged, 0).tolist()
    assert rows.tolist() != reach.drawn(identities, member, judged, 1).tolist()


def test_what_the_planted_leak_says(found):
    said = reach_figure.in_words(found.membership['reach'])
    survived, lost = said.split('It is not reliably')
    assert 'mirrored (1.00)' in survived
    assert 'cropped to 80 %' not in survived
    assert 'cropped to' in lost
