"""The least time that a program can take, by what its chip can do: a bound, not a forecast."""

import dataclasses
import math

from fr_inference.benchmarking.chips import Chip


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeastTime:
    """No call can be faster.

    Attributes:
      arithmetic: seconds that its operations take at the chip's peak.
      memory: seconds that its bytes take at the bandwidth of the chip's memory.
    """

    arithmetic: float
    memory: float

    @property
    def seconds(self) -> float:
        """Of a call: both can go on at the same time."""
        return max(self.arithmetic, self.memory)

    @property
    def bound_by(self) -> str:
        """'arithmetic' or 'memory', whichever takes longer."""
        return 'arithmetic' if self.arithmetic >= self.memory else 'memory'


def of_call(flops: float, moved: float, chip: Chip, *, narrow: bool) -> LeastTime:
    """Returns the least time of one call on one device.

    Args:
      flops: floating-point operations.
      moved: bytes.
      chip: the data of the device.
      narrow: whether any part of it computes in bfloat16; the faster rate is then that of all.
    """
    peak = max(chip.bfloat16, chip.float32) if narrow else chip.float32
    return LeastTime(arithmetic=flops / peak, memory=moved / chip.bandwidth)


def calls(amount: int, size: int, count: int) -> int:
    """Returns how many calls each of `count` devices makes for `amount` items, `size` at a time.

    >>> calls(1000, 64, 4), calls(0, 64, 4)
    (4, 0)
    """
    return math.ceil(amount / (size * count))
