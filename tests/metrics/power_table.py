"""The table of docs/power.md, and simulations of its small sizes: `python -m tests.metrics.power_table`.

  python -m tests.metrics.power_table --audits=400 --simulate=16,32,64,128,256,512

Scores of people are drawn, not measured: normal, with a share of the variance that a person's images
have in common. A simulated audit has the intervals and controls of a real one, so that `Comparison`
judges it.
"""

import argparse
import math
import statistics

import numpy as np

from fr_inference.membership import comparing
from fr_inference.membership.comparison import LEAK, Comparison
from fr_inference.metrics import intervals, power
from fr_inference.metrics.intervals import Scored

SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# Images of each, correlation of a person's images, correlation with the control: as `null_audits` finds
# them on drawn 'hard' faces.
UNITS = {'image': (4, 0.06, 0.25), 'person': (1, 0.0, 0.05)}


def drawn(generator, people, images, correlation):
    """Returns `people` members and as many strangers, whose scores say nothing."""
    person = np.repeat(np.arange(2 * people), images)
    own = math.sqrt(correlation) * generator.normal(size=2 * people)[person]
    rest = math.sqrt(1 - correlation) * generator.normal(size=len(person))
    return Scored(
        scores=own + rest, member=person < people, identities=tuple(map(str, person.tolist()))
    )


def moved(scored, excess):
    """Returns scores of which those of members are higher, so that the AUC is 0.5 + excess."""
    shift = math.sqrt(2) * statistics.NormalDist().inv_cdf(0.5 + excess)
    return Scored(
        scores=scored.scores + shift * scored.member,
        member=scored.member,
        identities=scored.identities,
    )


def audit(seed, people, unit, excess=0.0, replicates=200):
    """Returns the comparison of one simulated audit.

    Args:
      seed: of everything.
      people: on a side; half of them are judged.
      unit: in `UNITS`.
      excess: of the AUC over 0.5, and over the control's.
      replicates: of the bootstrap.
    """
    images, correlation, paired = UNITS[unit]
    generator, how = np.random.default_rng([seed, people]), {'seed': seed, 'replicates': replicates}
    target = drawn(generator, people // 2, images, correlation)
    other = drawn(generator, people // 2, images, correlation)
    # The null is judged on half of the strangers, half of whom are called members.
    null = drawn(generator, people // 4, images, correlation)
    blind = Scored(
        scores=paired * target.scores + math.sqrt(1 - paired**2) * other.scores,
        member=target.member,
        identities=target.identities,
    )
    ours = moved(target, excess)
    return Comparison(
        attack='simulated',
        title='Simulated',
        access='file',
        setting='partial',
        unit=unit,
        headline=True,
        figures=intervals.figures(ours, **how),
        blind=intervals.figures(blind, **how),
        null=intervals.figures(null, **how),
        excess=comparing.excess(ours, blind, **how),
    )


def expected(people, unit):
    """Returns by the formula (width of the AUC's interval, of the excess's, smallest excess found)."""
    images, correlation, paired = UNITS[unit]
    own, over = (
        power.width(people // 2, images, correlation=correlation, paired=pair)
        for pair in (None, paired)
    )
    return own, over, power.smallest_excess(-over / 2, over / 2)


def simulated(people, unit, audits):
    """Returns the same widths by simulation, and the share that finds the smallest excess.

    The share is None where no AUC below 1 is large enough.
    """
    nothing = [audit(seed, people, unit) for seed in range(audits)]
    widths = (
        float(np.mean([np.diff(getattr(one, name)['auc_ci95']) for one in nothing]))
        for name in ('figures', 'excess')
    )
    smallest = expected(people, unit)[2]
    if smallest >= 0.5:
        return *widths, None
    leaking = [audit(audits + seed, people, unit, smallest) for seed in range(audits)]
    return *widths, sum(one.kind == LEAK for one in leaking) / audits


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument('--audits', type=int, default=400)
    flags.add_argument('--simulate', default='', help='sizes, such as 16,32')
    given = flags.parse_args()
    sizes = [int(size) for size in given.simulate.split(',') if size]
    for unit in UNITS:
        print(f'{unit}: people on a side, interval of the AUC, of the excess, smallest leak')
        for people in SIZES:
            own, over, smallest = expected(people, unit)
            leak = f'{0.5 + smallest:.3f}' if smallest < 0.5 else 'none'
            line = f'{people:6,} {own:.3f} {over:.3f} {leak}'
            if people in sizes:
                own, over, share = simulated(people, unit, given.audits)
                line += f'   simulated {own:.3f} {over:.3f}'
                if share is not None:
                    low, high = intervals.wilson(share, given.audits)
                    line += f', found in {100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})'
            print(line, flush=True)


if __name__ == '__main__':
    main()
