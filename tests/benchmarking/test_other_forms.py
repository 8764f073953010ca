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


@pytest.mark.parametrize('platform', ['cuda', 'gpu'])
def test_forms_are_taken_and_given_back(platform):
    assert 'convolution' in lowered('tpu')
    assert 'convolution' not in lowered('cuda')
    with other_forms.taken('plain', platform):
        assert 'convolution' in lowered('cuda')
    assert 'convolution' not in lowered('cuda')


@pytest.mark.parametrize('name', other_forms.FORMS)
def test_a_failure_gives_them_back_too(name):
    forms = other_forms.FORMS[name]
    before = {operation: dict(seam.FORMS[operation]) for operation in forms}

    def fail():
        with other_forms.taken(name, 'cuda'):
            assert all(seam.FORMS[one]['cuda'] is form for one, form in forms.items())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {operation: dict(seam.FORMS[operation]) for operation in forms} == before
