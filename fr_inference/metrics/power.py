"""What an interval of a given width can find, and how many people are needed to settle a question.

An AUC's excess over its control is found if the lower end of its 95 % interval lies above 0 and no
control fails. By chance alone, the null control fails in 5 % of audits and the blind control in 2.5
%. For a leak to be found in 9 of 10 audits, the interval has to show it in 0.9 / (0.95 x 0.975) =
97.2 % of them. An estimate with standard error s does so if the true excess is (1.96 + 1.91) s: the
usual sample-size formula of a test at 5 %, two-sided (Obuchowski 1998, "Sample size calculations in
studies of test accuracy", section 3). The standard error falls with the square root of the number
of people. docs/power.md has the simulations that checked this.
"""

import itertools
import math
import statistics

from fr_inference.metrics import intervals

FOUND = 0.9
"""Share of audits that find a leak of the smallest size that counts as findable."""

_CONTROLS_HOLD = 0.95 * 0.975
_Z = 1.959963984540054  # of a 95 % interval
_Z_FOUND = statistics.NormalDist().inv_cdf(FOUND / _CONTROLS_HOLD)


def smallest_excess(low: float, high: float) -> float:
    """Returns the smallest excess of the AUC that 9 of 10 audits with such an interval would find.

    Args:
      low: lower end of the 95 % interval of the excess.
      high: upper end.

    >>> round(smallest_excess(-0.06, 0.06), 3)
    0.118
    """
    return (high - low) / (2 * _Z) * (_Z + _Z_FOUND)


def people_needed(low: float, high: float, people: int, excess: float) -> int:
    """Returns the number of people with whom an excess of that size is found in 9 of 10 audits.

    Args:
      low: lower end of the 95 % interval of the excess, measured with `people`.
      high: upper end.
      people: on each side.
      excess: of the AUC, above 0.

    >>> people_needed(-0.06, 0.06, people=100, excess=0.05)
    561
    """
    return math.ceil(people * (smallest_excess(low, high) / excess) ** 2)


def width(people: int, images: int = 1, *, correlation: float = 0.0) -> float:
    """Returns the expected width of the 95 % interval of an AUC near 0.5, before any measurement.

    For n people a side with J images each: 2 t sqrt((1 + (J - 1) r) / (6 n J)), the variance of the
    Mann-Whitney statistic (Bamber 1975) times the design effect of clusters (Kish 1965), with the t of
    `intervals`.

    Args:
      people: number judged on each side, half of those given.
      images: of each person; 1 for an attack on people.
      correlation: of the scores of two images of one person (r).

    >>> round(width(80, images=4, correlation=0.28), 3)
    0.124
    """
    spread = math.sqrt((1 + (images - 1) * correlation) / (6 * people * images))
    return 2 * intervals.student(people) * spread


def fewest(excess: float, images: int = 1, *, correlation: float = 0.0) -> int:
    """Returns the smallest number of people on a side with which 9 of 10 audits find that excess.

    Args:
      excess: of the AUC, above 0.
      images: as in `width`.
      correlation: as in `width`.

    >>> fewest(0.5, images=4, correlation=0.28)
    8
    """
    for people in itertools.count(2):
        half = width(people, images, correlation=correlation) / 2
        if smallest_excess(-half, half) <= excess:
            return people
    raise AssertionError('widths fall to 0')
