"""The shortest time that a program can take, by the peak rates of its chip: a bound, not a forecast."""

import dataclasses
import math

from fr_inference.benchmarking.chips import Chip


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeastTime:
    """A lower bound on the time of a call.

    Attributes:
      arithmetic: seconds that its operations take at the chip's peak.
      memory: seconds that its bytes take at the bandwidth of the chip's memory.
    """

    arithmetic: float
    memory: float

    @property
    def seconds(self) -> float:
        """The bound in seconds: the longer of the two, because both can overlap."""
        return max(self.arithmetic, self.memory)

    @property
    def bound_by(self) -> str:
        """'arithmetic' or 'memory', whichever takes longer."""
        return 'arithmetic' if self.arithmetic >= self.memory else 'memory'


def of_call(flops: float, moved: float, chip: Chip, *, narrow: bool) -> LeastTime:
    """Returns the shortest time of one call on one device.

    Args:
      flops: floating-point operations.
      moved: bytes read and written.
      chip: the data of the device.
      narrow: whether any part computes in bfloat16; the bound then uses the bfloat16 rate for all.
    """
    peak = max(chip.bfloat16, chip.float32) if narrow else chip.float32
    return LeastTime(arithmetic=flops / peak, memory=moved / chip.bandwidth)


def calls(amount: int, size: int, count: int) -> int:
    """Returns how many calls each of `count` devices makes for `amount` items, `size` at a time.

    >>> calls(1000, 64, 4), calls(0, 64, 4)
    (4, 0)
    """
    return math.ceil(amount / (size * count))
