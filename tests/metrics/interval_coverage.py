"""How often 95 % intervals lie above and below the truth: `python -m tests.metrics.interval_coverage`.

Simulates AUC and accuracy of clustered normal scores (`test_intervals.binormal`): four images a
person, a person's deviation as large as an image's. Prints the shares of intervals, in percent, that lie
wholly above and wholly below the truth, each of which should be 2.5 %: percentiles of the replicates,
and the intervals that figures have.
"""

import argparse
import functools
import itertools

from fr_inference.metrics import intervals
from tests.metrics.test_intervals import misses


def main():
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument('--sets', type=int, default=2000, help='simulations')
    sets = flags.parse_args().sets
    print('| people a side | AUC | figure | percentiles: above, below | logit: above, below |')
    print('|---' * 5 + '|')
    for people, auc in itertools.product((15, 30, 60), (0.5, 0.8, 0.95)):
        both = (
            misses(functools.partial(percentiles, people=people), auc, people, sets),
            misses(functools.partial(intervals.interval, people=people), auc, people, sets),
        )
        for row, figure in enumerate(('AUC', 'accuracy')):
            cells = [', '.join(f'{100 * share:.1f}' for share in one[row]) for one in both]
            print(f'| {people} | {auc} | {figure} | {" | ".join(cells)} |', flush=True)


def percentiles(value, sample, people):
    return intervals.percentiles(sample, people)


if __name__ == '__main__':
    main()
