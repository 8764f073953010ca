"""The largest batch that fits, found with few compilations: memory grows along a line with the batch."""

from collections.abc import Callable

from fr_inference.planning.compiling import Figures

MOST = 256  # per device: larger ones take long to compile and are not faster
_APART = 4  # ratio of the two sizes that define the line
_TRIES = 3


def rounded(most: int) -> int:
    """Returns the largest round size up to `most`: every number to 8, then 12, 16, 24, 32, 48, ...

    >>> [rounded(most) for most in (0, 7, 11, 12, 100, 130)]
    [0, 7, 8, 12, 96, 128]
    """
    if most <= 8:
        return max(0, most)
    power = 1 << (most.bit_length() - 1)
    return power + power // 2 if most >= power + power // 2 else power


def largest(
    measure: Callable[[int], Figures], asked: int, available: float
) -> tuple[int, Figures | None]:
    """Returns (the largest round size that was compiled and fits, its figures); (0, None) for none.

    Two sizes give the line, a third is compiled to verify its prediction, and further ones only if
    that does not fit. Sizes above `MOST` are not tried.

    Args:
      measure: compiles a size.
      asked: the size that the options ask for, which is compiled in any case.
      available: bytes of a device's memory.
    """
    fitting: dict[int, Figures] = {}
    memory: dict[int, int] = {}
    refused = MOST + 1

    def look(size):
        nonlocal refused
        found = measure(size)
        if found.total:
            memory[size] = found.total
        if found.fits:
            fitting[size] = found
        else:
            refused = min(refused, size)
        return found.fits

    other = min(asked * _APART, MOST) if look(asked) else max(1, asked // _APART)
    if other not in memory and (fitting or other < refused):
        look(other)
    for _ in range(_TRIES):
        best = max(fitting, default=0)
        size = rounded(min(_on_the_line(memory, best, refused, available), refused - 1))
        if size <= best:
            size = 1 if not best and refused > 1 else 0
        if not size or look(size):
            break
    best = max(fitting, default=0)
    return best, fitting.get(best)


def _on_the_line(memory, best, refused, available):
    """The size at which the memory is used up; without a line, the middle of the open range."""
    if len(memory) > 1:
        low, high = min(memory), max(memory)
        slope = (memory[high] - memory[low]) / (high - low)
        if slope > 0:
            return int(low + (available - memory[low]) / slope)
    return (best + refused) // 2
