"""The largest batch that fits, with few compilations."""

import pytest

from fr_inference.planning import largest
from fr_inference.planning.compiling import Figures


class Compiler:
    """Memory as a function of the size; remembers what it was asked."""

    def __init__(self, memory, available, says=True):
        self.memory, self.available, self.says, self.asked = memory, available, says, []

    def __call__(self, size):
        assert size >= 1
        self.asked.append(size)
        used = self.memory(size)
        fits = used <= self.available
        return Figures(fits=fits, memory={'temporaries': used} if fits or self.says else {})


@pytest.mark.parametrize('says', [True, False])
@pytest.mark.parametrize('available', [0, 60, 149, 150, 300, 1000, 3333, 10**9])
@pytest.mark.parametrize('asked', [1, 3, 8, 64])
def test_on_a_line(asked, available, says):
    """What is found fits; the next larger size does not, where the compiler says what it needs."""
    compiler = Compiler(lambda size: 100 + 50 * size, available, says)
    size, found = largest.largest(compiler, asked, available)
    truly = largest.rounded(min(max(0, (available - 100) // 50), largest.MOST))
    assert size <= max(truly, asked)
    assert (found is None) == (size == 0)
    if size:
        assert compiler.memory(size) <= available
    if says:
        assert size >= min(truly, 3 * truly // 4 + 1)
    assert len(compiler.asked) <= 5
    assert len(set(compiler.asked)) == len(compiler.asked)


def test_a_step_above_the_line_is_found_out():
    """The third compilation verifies: memory that grows faster than the line is noticed."""
    compiler = Compiler(lambda size: 10 * size if size < 50 else 100 * size, 1000)
    size, found = largest.largest(compiler, 4, 1000)
    assert found.fits
    assert 16 <= size < 50


def test_three_compilations_where_the_line_is_right():
    compiler = Compiler(lambda size: 100 + 50 * size, 5000)
    assert largest.largest(compiler, 8, 5000)[0] == 96
    assert len(compiler.asked) == 3
