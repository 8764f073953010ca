"""Strict settings for every test: two CPU devices, strict dtype promotion, warnings as errors."""

import pathlib

import hypothesis
import jax
import pytest

# The first example compiles: a deadline would measure the compiler. The same examples every time.
hypothesis.settings.register_profile('project', deadline=None, derandomize=True)
hypothesis.settings.load_profile('project')
jax.config.update('jax_num_cpu_devices', 2)
jax.config.update('jax_numpy_dtype_promotion', 'strict')

SHARED = pathlib.Path(__file__).resolve().parent.parent.parent / 'shared'


@pytest.fixture(scope='session')
def shared():
    """The folder of real faces and checkpoints beside the project; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip('real faces and checkpoints are not beside the project (../shared)')
    return SHARED
