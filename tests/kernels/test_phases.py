"""Resampling in phases, or with the filter in the kernel, equals the plain one at any size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.kernels import folded_filter, phases
from fr_inference.models import stylegan2_ops as ops
from tests.kernels.agreement import agree, draw

COUNTS, SIDES, WIDTHS = st.integers(1, 2), st.integers(1, 7), st.integers(1, 4)
SHAPES = st.tuples(COUNTS, SIDES, SIDES, WIDTHS)
# Each new shape is compiled.
FEW = settings(max_examples=5)


BOTH = pytest.mark.parametrize('form', [phases, folded_filter])


def against_plain(name, *arguments, form=phases):
    agree(getattr(form, name), getattr(ops, name).__wrapped__, *arguments)


@FEW
@given(SHAPES)
def test_upsample(shape):
    against_plain('upsample', draw(*shape))


@FEW
@given(SHAPES)
def test_downsample(shape):
    count, height, width, features = shape
    against_plain('downsample', draw(count, 2 * height, 2 * width, features))


@BOTH
@FEW
@given(SHAPES, WIDTHS)
def test_upsample_conv(form, shape, features):
    against_plain('upsample_conv', draw(*shape), draw(3, 3, shape[-1], features), form=form)


@BOTH
@pytest.mark.parametrize('size', [1, 3])
@FEW
@given(SHAPES, WIDTHS)
def test_downsample_conv(form, size, shape, features):
    count, height, width, inputs = shape
    x, kernel = draw(count, 2 * height, 2 * width, inputs), draw(size, size, inputs, features)
    against_plain('downsample_conv', x, kernel, form=form)
