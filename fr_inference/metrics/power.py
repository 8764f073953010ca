"""What an interval of a given width can find, and how many people would settle the question.

An AUC's excess over its control is found where the lower end of its 95 % interval lies above 0. An
estimate with standard error s does that in 9 of 10 audits if the true excess is (1.96 + 1.28) s: the
usual sample-size formula of a test at 5 % (two-sided) with a power of 90 % (Obuchowski 1998, "Sample
size calculations in studies of test accuracy", section 3). The standard error falls with the square root
of the number of people.
"""

import math

FOUND = 0.9
"""Share of audits that find a leak of the smallest size that counts as findable."""

_Z = 1.959963984540054  # of a 95 % interval
_Z_FOUND = 1.2815515655446004  # of `FOUND`


def smallest_excess(low: float, high: float) -> float:
    """Returns the smallest excess of the AUC that 9 of 10 audits with such an interval would find.

    Args:
      low: lower end of the 95 % interval of the excess.
      high: upper end.

    >>> round(smallest_excess(-0.06, 0.06), 3)
    0.099
    """
    return (high - low) / (2 * _Z) * (_Z + _Z_FOUND)


def people_needed(low: float, high: float, people: int, excess: float) -> int:
    """Returns with how many people an excess of that size would be found in 9 of 10 audits.

    Args:
      low: lower end of the 95 % interval of the excess, measured with `people`.
      high: upper end.
      people: on each side.
      excess: of the AUC, above 0.

    >>> people_needed(-0.06, 0.06, people=100, excess=0.05)
    394
    """
    return math.ceil(people * (smallest_excess(low, high) / excess) ** 2)
