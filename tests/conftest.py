"""Strict settings for every test: two CPU devices, strict dtype promotion, warnings as errors."""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile

import hypothesis
import jax
import pytest

# Most of the time is compilation, and many programs are those of another test or process: all share
# one cache, of this run alone. Worker processes find it in their environment.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
    os.environ['JAX_COMPILATION_CACHE_DIR'] = tempfile.mkdtemp(prefix='fr_inference_tests_')
    os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'  # small ones are many
    atexit.register(shutil.rmtree, os.environ['JAX_COMPILATION_CACHE_DIR'], ignore_errors=True)
# Nor need what the compiler makes of these tiny networks be fast: no optimisation, and in the version
# where this was measured, code for LLVM by XLA itself rather than by way of MLIR, in one piece, not 32.
# A flag that a version does not know ends the process. Flags that are given stand.
_FLAGS = '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true'
if jax.__version__.startswith('0.10.'):
    _FLAGS += ' --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1'
os.environ.setdefault('XLA_FLAGS', _FLAGS)
jax.config.update('jax_compilation_cache_dir', os.environ['JAX_COMPILATION_CACHE_DIR'])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)

# The first example compiles: a deadline would measure the compiler. The same examples every time.
hypothesis.settings.register_profile('project', deadline=None, derandomize=True)
hypothesis.settings.load_profile('project')
jax.config.update('jax_num_cpu_devices', 2)
jax.config.update('jax_numpy_dtype_promotion', 'strict')

# Tracing allocates millions of small objects beside the many that imports left and nobody frees: the
# collector's walks over all of them are a tenth of some files' time.
gc.freeze()
gc.set_threshold(50_000, 50, 50)

SHARED = pathlib.Path(__file__).resolve().parent.parent.parent / 'shared'


def pytest_collection_modifyitems(items):
    """Slow files first, so that no process is left alone with one at the end."""
    first = ('test_processes', 'test_devices', 'test_embedded')
    slow = ('experiments', 'inversion', 'membership', 'models', 'parity', 'training')

    def place(item):
        path = item.path
        return 0 if path.stem in first else 1 if path.parent.name in slow else 2

    items.sort(key=place)
    # With `--dist loadgroup` the cases of the parity tests are shared out, and other files stay whole.
    for item in items:
        case = item.callspec.params.get('name') if hasattr(item, 'callspec') else None
        alone = item.path.parent.name == 'parity'
        item.add_marker(pytest.mark.xdist_group(f'{item.path}:{case if alone else None}'))


@pytest.fixture(scope='session')
def shared():
    """The folder of real faces and checkpoints beside the project; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip('real faces and checkpoints are not beside the project (../shared)')
    return SHARED
