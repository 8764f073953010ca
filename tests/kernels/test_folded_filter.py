"""Kernels with the low-pass filter folded in equal the plain operations, at odd and even sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.kernels import folded_filter
from fr_inference.models import stylegan2_ops as ops
from tests.kernels.agreement import agree, draw

COUNTS, SIDES, WIDTHS = st.integers(1, 2), st.integers(1, 7), st.integers(1, 4)
SHAPES = st.tuples(COUNTS, SIDES, SIDES, WIDTHS)
# Each new shape is compiled.
FEW = settings(max_examples=5)


def against_plain(name, *arguments):
    agree(getattr(folded_filter, name), getattr(ops, name).__wrapped__, *arguments)


@FEW
@given(SHAPES, WIDTHS)
def test_upsample_conv(shape, features):
    against_plain('upsample_conv', draw(*shape), draw(3, 3, shape[-1], features))


@pytest.mark.parametrize('size', [1, 3])
@FEW
@given(SHAPES, WIDTHS)
def test_downsample_conv(size, shape, features):
    count, height, width, inputs = shape
    x, kernel = draw(count, 2 * height, 2 * width, inputs), draw(size, size, inputs, features)
    against_plain('downsample_conv', x, kernel)


def test_fold_is_the_full_convolution_with_the_filter():
    kernel = np.random.default_rng(0).standard_normal((3, 3, 2, 5)).astype(np.float32)
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    expected = np.zeros((6, 6, 2, 5))
    for i in range(3):
        for j in range(3):
            expected[i : i + 4, j : j + 4] += taps[..., None, None] * kernel[i, j]
    np.testing.assert_allclose(folded_filter.fold(kernel, 4.0), 4 * expected, rtol=1e-5, atol=1e-6)
