"""What a rule costs where the blind AUC is below 0.5: `python -m tests.membership.blind_below`.

Scores are drawn, not measured: normal, half of their variance in common with those in the blind
backbone. The excess over the blind AUC stands beside that over the larger of it and 0.5.
"""

import math
import statistics

import numpy as np

from fr_inference.membership.comparison import NEGLIGIBLE
from fr_inference.metrics import intervals

AUDITS, REPLICATES = 400, 300
CASES = (  # judged people on a side, AUC, blind AUC
    *((people, auc, 0.5) for people in (32, 128, 500) for auc in (0.5, 0.55, 0.6)),
    (32, 0.7, 0.35),
    (128, 0.5, 0.4),
)


def audit(generator, people, aucs, seed):
    """Returns what one simulated audit says: name -> bool."""
    member = np.arange(2 * people) < people
    common = generator.normal(size=2 * people)
    scores = [
        (common + generator.normal(size=2 * people)) / math.sqrt(2)
        + math.sqrt(2) * statistics.NormalDist().inv_cdf(auc) * member
        for auc in aucs
    ]
    names = tuple(map(str, range(2 * people)))
    values, sampled = intervals.aucs(
        np.stack(scores), member, names, seed=seed, replicates=REPLICATES
    )
    own, blind = (intervals.interval(values[k], sampled[:, k], people) for k in (0, 1))
    said = {'below': blind[1] < 0.5, 'far below': blind[1] < 0.5 - NEGLIGIBLE}
    truth = aucs[0] - max(aucs[1], 0.5)
    for name, theirs in (('blind', sampled[:, 1]), ('larger', np.maximum(sampled[:, 1], 0.5))):
        low, high = intervals.percentiles(sampled[:, 0] - theirs, people)
        said[f'leak, {name}'] = blind[0] <= 0.5 < own[0] and low > 0
        said[f'clear, {name}'] = blind[0] <= 0.5 and high < NEGLIGIBLE
        said[f'missed, {name}'] = high < truth
    return said


def main():
    """Prints how many of 100 audits say what."""
    for people, *aucs in CASES:
        generator = np.random.default_rng([people, *(round(100 * auc) for auc in aucs)])
        every = [audit(generator, people, aucs, seed) for seed in range(AUDITS)]
        shares = {name: 100 * np.mean([said[name] for said in every]) for name in every[0]}
        print(people, *aucs, {name: round(float(share), 1) for name, share in shares.items()})


if __name__ == '__main__':
    main()
