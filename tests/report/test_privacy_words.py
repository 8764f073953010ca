"""What a report says of a private training, and that it claims no more."""

import math

import numpy as np
import pytest
from scipy import stats

from fr_inference.report import page, privacy_words
from tests.report import demo
from tests.report.comparisons import block, comparison

PRIVACY = {'unit': 'image', 'epsilon': 1.0, 'delta': 1e-5, 'images_of_a_person': 1}


def said(found=(), start=None, **changes):
    return privacy_words.sentences({'privacy': {**PRIVACY, **changes}, 'start': start}, found)


@pytest.mark.parametrize('noise', [0.5, 1.0, 4.0])
def test_the_bound_holds_for_the_best_attack_on_the_gaussian_mechanism(noise):
    """Balle and Wang's delta of a Gaussian, whose likelihood-ratio test has a closed form."""
    alarms = np.linspace(1e-4, 0.5, 40)
    best = stats.norm.cdf(stats.norm.ppf(alarms) + 1 / noise)
    for epsilon in (0.1, 0.5, 1.0, 3.0):
        apart = [1 / (2 * noise) - epsilon * noise, -1 / (2 * noise) - epsilon * noise]
        delta = stats.norm.cdf(apart[0]) - math.exp(epsilon) * stats.norm.cdf(apart[1])
        bound = np.array([privacy_words.most_found(epsilon, delta, one) for one in alarms])
        assert (best <= bound + 1e-12).all()
        assert (bound <= np.exp(epsilon) * alarms + delta + 1e-12).all()
        assert (bound - best).min() < 0.02  # it touches


def test_groups():
    """Two steps of (epsilon, delta) by hand: P <= e^eps (e^eps Q + delta) + delta."""
    epsilon, delta = privacy_words.of_group(0.5, 0.01, 2)
    assert epsilon == 1
    assert delta == pytest.approx(0.01 * (1 + math.exp(0.5)))
    assert privacy_words.of_group(8.0, 0.1, 10**9) == (8e9, 1.0)


def test_epsilon_and_what_follows():
    assert said() == (
        'Trained with differential privacy: epsilon 1 at delta 1e-05 per image. An attack with 1 % '
        'false alarms finds at most 2.72 % of the members.'
    )
    assert 'no differential privacy is claimed' in said(epsilon=None)
    assert 'rules out no attack' in said(epsilon=64.0)
    assert 'does not cover' in said(start={'sha256': 'ab'})


def test_images_of_one_person_are_a_group():
    text = said(images_of_a_person=20, epsilon=0.1)
    assert 'for a person the guarantee is epsilon 2.' in text
    assert 'finds at most 7.45 %' in text  # e^2 of 1 %, and 20 times delta and more
    text = said(images_of_a_person=20, epsilon=0.1, unit='person')
    assert 'One person had' not in text
    assert 'finds at most 1.11 %' in text


@pytest.mark.parametrize(
    ('share', 'interval', 'more'), [(0.02, (0.01, 0.03), False), (0.2, (0.1, 0.3), True)]
)
def test_beside_what_the_audit_found(share, interval, more):
    figures = block(0.8, 0.7, 0.9) | {
        'tpr_at_fpr': {'0.01': share},
        'tpr_at_fpr_ci95': {'0.01': interval},
    }
    text = said([comparison(figures=figures)])
    assert f'This audit found {100 * share:.2g} %' in text
    assert ('more than the guarantee allows' in text) == more
    assert 'This audit' not in said([comparison(figures=figures)], epsilon=64.0)
    assert 'This audit' not in said([comparison(figures=figures, unit='person')])


def test_no_figure_is_rounded_down():
    assert 'epsilon 7.99 at delta 0.00334' in said(epsilon=7.9812, delta=1 / 300)
    assert 'epsilon 8 at' in said(epsilon=7.9999)
    assert 'epsilon 8.01 at' in said(epsilon=8.0001)


@pytest.mark.parametrize(
    'changes',
    [
        {'epsilon': 'x'},
        {'epsilon': float('nan')},
        {'delta': None},
        {'unit': '<b>'},
        {'images_of_a_person': 0},
        {'images_of_a_person': 1.5},
    ],
)
def test_of_somebody_elses_recipe_nothing_is_claimed(changes):
    assert said(**changes) == ''
    assert privacy_words.sentences({'privacy': 'yes'}, ()) == ''
    assert privacy_words.sentences(None, ()) == ''


def test_on_the_page():
    record = demo.record_of('easy')
    record['target']['recipe'] = {
        **{'trained_epochs': 3, 'epochs': 3, 'images': 9, 'identities': 9, 'faces': 'F'},
        'privacy': {**PRIVACY, 'epsilon': 8.0},
    }
    text = page.render(demo.audit_of(record), thumbnails=False)
    assert 'differential privacy: epsilon 8 at delta 1e-05 per image.' in text
