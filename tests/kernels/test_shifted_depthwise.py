"""The depthwise convolution in shifts equals the grouped one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.kernels import shifted_depthwise
from fr_inference.models import layers
from tests.kernels.agreement import agree, draw

SIZES = st.integers(3, 9)


@settings(max_examples=8)
@given(
    height=SIZES,
    width=SIZES,
    channels=st.sampled_from((1, 3)),
    stride=st.sampled_from((1, 2)),
    kernel=st.sampled_from(((3, 3), (2, 3), (1, 2))),
    seed=st.integers(0, 99),
)
def test_forms_agree(height, width, channels, stride, kernel, seed):
    agree(
        lambda x, kernel: shifted_depthwise.depthwise(x, kernel, stride=stride),
        lambda x, kernel: layers.depthwise.__wrapped__(x, kernel, stride=stride),
        draw(2, height, width, channels, seed=seed),
        draw(*kernel, 1, channels, seed=seed + 1),
    )
