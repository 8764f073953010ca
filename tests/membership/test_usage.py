"""How much of a collection was used: by simulation with a known share."""

import numpy as np
import pytest

from fr_inference.membership import usage
from fr_inference.metrics.intervals import Scored


def drawn(generator, people, trained, *, images=3, gap=2.0, start=0):
    """Scores of people, of whom a share was trained on; a person's images resemble each other."""
    member = generator.random(people) < trained
    person = np.repeat(np.arange(people), images)
    own = generator.normal(0, 0.5, people)
    scores = (own + gap * (member - 0.5))[person] + generator.normal(size=len(person))
    names = tuple(f'p{start + one}' for one in person)
    return Scored(scores=scores, member=member[person], identities=names)


def known(generator, gap=2.0):
    members = drawn(generator, 80, 1.0, gap=gap)
    strangers = drawn(generator, 80, 0.0, gap=gap, start=1000)
    return Scored(
        scores=np.concatenate([members.scores, strangers.scores]),
        member=np.concatenate([members.member, strangers.member]),
        identities=members.identities + strangers.identities,
    )


@pytest.mark.parametrize('trained', [0.1, 0.5, 0.9])
def test_the_interval_holds_the_truth(trained):
    generator = np.random.default_rng(3)
    inside, estimates = 0, []
    for seed in range(60):
        new = drawn(generator, 100, trained, start=5000)
        found = usage.share(known(generator), new, seed=seed, replicates=200)
        low, high = found['share_ci95']
        assert 0 <= low <= high <= 1
        inside += low <= new.member.mean() <= high
        estimates.append(found['share'] - new.member.mean())
    assert inside >= 52
    assert abs(np.mean(estimates)) < 0.03


def test_figures():
    generator = np.random.default_rng(0)
    both, new = known(generator), drawn(generator, 50, 0.5, images=2, start=5000)
    found = usage.share(both, new, seed=0, replicates=100)
    tpr = (both.scores[both.member] > 0).mean()
    fpr = (both.scores[~both.member] > 0).mean()
    recognised = (new.scores > 0).mean()
    assert (found['tpr'], found['fpr'], found['recognised']) == (tpr, fpr, recognised)
    assert found['share'] == pytest.approx((recognised - fpr) / (tpr - fpr))
    assert (found['images'], found['people']) == (100, 50)


def test_an_attack_that_recognises_nobody_says_nothing():
    generator = np.random.default_rng(0)
    new = drawn(generator, 50, 0.5, start=5000)
    assert usage.share(known(generator, gap=0.1), new, seed=0, replicates=100) is None


def test_too_few_people_and_no_interval_without_width():
    generator = np.random.default_rng(0)
    both = known(generator)
    assert usage.share(both, drawn(generator, 9, 0.5, start=5000), seed=0, replicates=100) is None
    for trained in (0.0, 1.0):
        low, high = usage.share(
            both, drawn(generator, 12, trained, start=5000), seed=0, replicates=100
        )['share_ci95']
        assert high - low > 0.1
