"""Another platform's forms: taken inside, given back after."""

import jax
import pytest

from fr_inference.benchmarking import other_forms
from fr_inference.kernels import seam
from fr_inference.models import stylegan2_ops


def lowered(platform):
    """The operation as a program of the platform, whose compiler need not be here."""
    traced = jax.jit(lambda x: stylegan2_ops.upsample(x)).trace(
        jax.ShapeDtypeStruct((1, 8, 8, 4), 'float32')
    )
    return traced.lower(lowering_platforms=(platform,)).as_text()


def test_forms_are_taken_and_given_back():
    assert 'convolution' in lowered('cuda')
    assert 'convolution' not in lowered('cpu')
    with other_forms.taken('phases', 'cuda'):
        assert 'convolution' not in lowered('cuda')
    assert 'convolution' in lowered('cuda')


@pytest.mark.parametrize('name', other_forms.FORMS)
def test_a_failure_gives_them_back_too(name):
    operations, owner = other_forms.FORMS[name]
    before = {operation: dict(seam.FORMS[operation]) for operation in operations}

    def fail():
        with other_forms.taken(name, 'cuda'):
            assert all(seam.FORMS[one]['cuda'] is seam.FORMS[one][owner] for one in operations)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {operation: dict(seam.FORMS[operation]) for operation in operations} == before
