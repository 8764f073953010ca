"""The kernel with the filter in it."""

import numpy as np

from fr_inference.kernels import folded_filter


def test_fold_is_the_full_convolution_with_the_filter():
    kernel = np.random.default_rng(0).standard_normal((3, 3, 2, 5)).astype(np.float32)
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    expected = np.zeros((6, 6, 2, 5))
    for i in range(3):
        for j in range(3):
            expected[i : i + 4, j : j + 4] += taps[..., None, None] * kernel[i, j]
    np.testing.assert_allclose(folded_filter.fold(kernel, 4.0), 4 * expected, rtol=1e-5, atol=1e-6)
