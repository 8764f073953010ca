"""The examples in docstrings are true, under the settings of all other tests."""

import doctest
import importlib
import pathlib

import pytest

import fr_inference

ROOT = pathlib.Path(fr_inference.__file__).resolve().parent


def modules():
    """The modules with examples."""
    for path in sorted(ROOT.rglob('*.py')):
        if '>>> ' in path.read_text(encoding='utf-8'):
            parts = path.relative_to(ROOT.parent).with_suffix('').parts
            yield '.'.join(part for part in parts if part != '__init__')


@pytest.mark.parametrize('name', [*modules()])
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed
