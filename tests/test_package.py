"""Every name that the package promises is there, and importing it takes next to nothing."""

import subprocess
import sys

import fr_inference


def test_names():
    for name in fr_inference.__all__:
        assert getattr(fr_inference, name) is not None
        assert name in dir(fr_inference)
    assert fr_inference.__version__


def test_importing_is_light():
    program = "import sys, fr_inference; print('jax' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ['False', 'False']
