"""ROC, AUC and rates against scikit-learn, pairs counted one by one, and weights as repetition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from fr_inference.errors import InputError
from fr_inference.metrics import roc


@st.composite
def labelled_scores(draw, most=40):
    """Scores with many ties and both kinds of label."""
    count = draw(st.integers(2, most))
    scores = draw(st.lists(st.integers(-4, 4), min_size=count, max_size=count))
    member = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    member[draw(st.integers(0, count - 1))] ^= len(set(member)) == 1
    return np.array(scores, float), np.array(member)


def curves(scores, member, weights=None):
    weights = np.ones(len(scores)) if weights is None else weights
    false, true = roc.rank(scores, member).curves(weights[None])
    return false[0], true[0]


@given(labelled_scores())
def test_auc_counts_pairs(data):
    scores, member = data
    differences = scores[member][:, None] - scores[~member][None, :]
    expected = np.mean((differences > 0) + 0.5 * (differences == 0))
    assert roc.auc(scores, member) == pytest.approx(expected, abs=1e-12)


@given(labelled_scores())
def test_auc_and_curve_against_scikit_learn(data):
    scores, member = data
    assert roc.auc(scores, member) == pytest.approx(
        sklearn_metrics.roc_auc_score(member, scores), abs=1e-12
    )
    false, true, _ = sklearn_metrics.roc_curve(member, scores, drop_intermediate=False)
    ours = curves(scores, member)
    np.testing.assert_allclose(ours[0], false, atol=1e-12)
    np.testing.assert_allclose(ours[1], true, atol=1e-12)


@given(labelled_scores(), st.data())
def test_weights_are_repetitions(data, more):
    scores, member = data
    weights = np.array(
        more.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores)))
    )
    # Both kinds stay.
    weights[np.argmax(member)] = weights[np.argmin(member)] = 1
    false, true = curves(scores, member, weights.astype(float))
    repeated = np.repeat(np.arange(len(scores)), weights)
    assert roc.area(false, true) == pytest.approx(
        roc.auc(scores[repeated], member[repeated]), abs=1e-12
    )
    rates = np.array([0.0, 0.1, 0.5, 1.0])
    expected = roc.true_positive_rates(
        *(curve[None] for curve in curves(scores[repeated], member[repeated])), rates
    )
    found = roc.true_positive_rates(false[None], true[None], rates)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(labelled_scores(), st.sampled_from([np.exp, np.arctan, lambda x: 3 * x - 7, np.cbrt]))
def test_auc_is_unchanged_by_rising_maps(data, rising):
    scores, member = data
    assert roc.auc(rising(scores), member) == roc.auc(scores, member)


@given(labelled_scores(), st.randoms(use_true_random=False))
def test_auc_is_unchanged_by_order(data, random):
    scores, member = data
    order = list(range(len(scores)))
    random.shuffle(order)
    assert roc.auc(scores[order], member[order]) == pytest.approx(
        roc.auc(scores, member), abs=1e-12
    )


@given(labelled_scores())
def test_auc_of_the_opposite_is_the_rest(data):
    scores, member = data
    assert roc.auc(-scores, member) == pytest.approx(1 - roc.auc(scores, member), abs=1e-12)
    assert roc.auc(scores, ~member) == pytest.approx(1 - roc.auc(scores, member), abs=1e-12)


def test_auc_of_two_normal_distributions():
    """Phi(d / sqrt 2) for unit normals d apart."""
    generator = np.random.default_rng(0)
    member = np.arange(40_000) < 20_000
    scores = generator.normal(size=40_000) + member
    assert roc.auc(scores, member) == pytest.approx(0.7602499, abs=0.01)


def test_all_scores_equal():
    assert roc.auc(np.zeros(7), np.arange(7) < 3) == 0.5


@settings(max_examples=200)
@given(labelled_scores(), st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0]))
def test_rate_is_the_best_threshold_that_is_allowed(data, rate):
    scores, member = data
    best = 0.0
    for threshold in np.unique(scores):
        said = scores >= threshold
        if said[~member].mean() <= rate + 1e-12:
            best = max(best, said[member].mean())
    false, true = curves(scores, member)
    found = roc.true_positive_rates(false[None], true[None], np.array([rate]))[0, 0]
    assert found == pytest.approx(best, abs=1e-12)


def test_a_rate_met_exactly_counts():
    # 10 non-members, the highest of them above some members: 10 % false positives are allowed.
    scores = np.array([5.0, 3.0, 2.0, *([-1.0] * 9), 4.0])
    member = np.array([True, True, True, *([False] * 10)])
    false, true = curves(scores, member)
    rates = np.array([0.0999, 0.1])
    np.testing.assert_allclose(
        roc.true_positive_rates(false[None], true[None], rates)[0], [1 / 3, 1.0]
    )


@pytest.mark.parametrize(
    ('scores', 'member', 'field', 'found'),
    [
        ([1.0, 2.0], [True, True], 'member', '2 members among 2 scores'),
        ([1.0, 2.0], [False, False], 'member', '0 members among 2 scores'),
        ([1.0, np.nan], [True, False], 'scores', 'numbers that are not finite'),
        ([1.0, np.inf], [True, False], 'scores', 'numbers that are not finite'),
        ([1.0, 2.0, 3.0], [True, False], 'scores', 'shape (3,)'),
    ],
)
def test_bad_scores(scores, member, field, found):
    with pytest.raises(InputError) as caught:
        roc.auc(scores, member)
    assert (caught.value.field, caught.value.found) == (field, found)
