"""The scoring benchmark beside PyTorch: both sides compute the same, and what is missing is said."""

import importlib.util

import pytest

from fr_inference import errors
from fr_inference.benchmarking import scoring_speed, suite, timing, torch_peer
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from tests.benchmarking.settings import quick

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None, reason='torch is not installed (.[test,parity])'
)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(timing, '_PAUSE', 0)


@pytest.fixture
def small(monkeypatch):
    """MobileFaceNet at 32 x 32: it compiles quickly, and both sides know it."""
    row = registry.VARIANTS['mobilefacenet_prelu']
    spec = InputSpec(height=32, width=32)
    row = registry.Variant(row.build, spec, row.parameters)
    monkeypatch.setitem(registry.VARIANTS, 'mobilefacenet_prelu', row)


@needs_torch
def test_against_torch(small):
    said = []
    suite.run(quick(arch=('mobilefacenet_prelu',), devices=(1,), peer='torch'), say=said.append)
    assert 'torch channels_last' in said[-1]
    assert 'scoring/torch' in said[-1]


@needs_torch
def test_stops_where_the_sides_differ(small, monkeypatch):
    score = torch_peer.scorer

    def wrong(*arguments):
        compute = score(*arguments)
        return lambda: tuple(1.01 * output for output in compute())

    monkeypatch.setattr(torch_peer, 'scorer', wrong)
    with pytest.raises(AssertionError, match='Not equal to tolerance'):
        scoring_speed.measure('mobilefacenet_prelu', True, batch=2, rounds=2)


def test_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(torch_peer, 'missing', lambda: 'PyTorch is not installed')
    with pytest.raises(errors.InputError) as caught:
        suite.run(quick(devices=(1,), peer='torch'))
    assert (caught.value.field, caught.value.hint) == ('peer', 'PyTorch is not installed')
    said = []
    suite.run(quick(devices=(1,), peer='auto'), say=said.append)
    assert 'without a peer: PyTorch is not installed' in said


def test_outside_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(torch_peer, '_TESTS', tmp_path)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())
    assert 'tests/parity of a checkout' in torch_peer.missing()
    with pytest.raises(errors.InputError) as caught:
        torch_peer.build('iresnet50', InputSpec())
    assert caught.value.field == 'peer'
