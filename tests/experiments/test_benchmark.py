"""The benchmark runs, checks what it compares and says what it left out. No timing is asserted."""

import importlib.util
import json

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import benchmark, scoring_speed, timing, torch_peer
from fr_inference import errors
from fr_inference.models import registry
from fr_inference.models.target import InputSpec

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None, reason='torch is not installed (.[test,parity])'
)


@pytest.fixture
def small(monkeypatch):
    """MobileFaceNet at 32 x 32: it compiles quickly, and both sides know it."""
    row = registry.VARIANTS['mobilefacenet_prelu']
    spec = InputSpec(height=32, width=32)
    row = registry.Variant(row.build, spec, row.parameters)
    monkeypatch.setitem(registry.VARIANTS, 'mobilefacenet_prelu', row)
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(arch=['mobilefacenet_prelu'], batch_size=['2'], rounds=2):
        yield


def test_without_a_peer(small, tmp_path, capsys):
    out = tmp_path / 'deep' / 'speed.json'
    with flagsaver.flagsaver(peer='none', arch=['tiny'], out=str(out)):
        benchmark.main()
    found = json.loads(out.read_text())
    assert found['peer'] is None
    tiny = found['backbones']['tiny']
    assert set(tiny['images_per_second']) == {'plain', 'scoring'}
    assert set(tiny['seconds_ratio']) == {'scoring/plain'}
    assert all(len(values) == 2 for values in tiny['seconds'].values())
    assert {'git_commit', 'versions', 'devices'} <= set(found['provenance'])
    printed = capsys.readouterr().out
    assert 'no peer' in printed
    assert 'tiny, batch 2, scoring/plain' in printed


@needs_torch
def test_against_torch(small, capsys):
    with flagsaver.flagsaver(peer='torch'):
        benchmark.main()
    printed = capsys.readouterr().out
    assert 'torch channels_last' in printed
    assert 'scoring/torch' in printed


@needs_torch
def test_stops_where_the_sides_differ(small, monkeypatch):
    score = torch_peer.scorer

    def wrong(*arguments):
        compute = score(*arguments)
        return lambda: tuple(1.01 * output for output in compute())

    monkeypatch.setattr(torch_peer, 'scorer', wrong)
    with pytest.raises(AssertionError, match='Not equal to tolerance'):
        scoring_speed.measure('mobilefacenet_prelu', True, batch=2, rounds=2)


def test_no_call_is_left_running_while_the_next_is_timed(monkeypatch):
    class Running:
        def block_until_ready(self):
            running.remove(self)
            return self

    def call():
        assert not running
        running.append(Running())
        return running[-1]

    running = []
    monkeypatch.setattr(timing, '_PAUSE', 0)
    seconds = timing.interleaved({'a': call, 'b': call}, 3)
    assert {label: len(values) for label, values in seconds.items()} == {'a': 3, 'b': 3}


def test_says_what_is_missing(small, monkeypatch, capsys):
    monkeypatch.setattr(torch_peer, 'missing', lambda: 'PyTorch is not installed')
    with flagsaver.flagsaver(peer='torch'), pytest.raises(errors.InputError) as caught:
        benchmark.main()
    assert str(caught.value) == '--peer=torch: PyTorch is not installed'
    with flagsaver.flagsaver(arch=['tiny']):
        benchmark.main()
    assert 'without a peer: PyTorch is not installed' in capsys.readouterr().out


def test_outside_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(torch_peer, '_TESTS', tmp_path)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())
    assert 'tests/parity of a checkout' in torch_peer.missing()
    with pytest.raises(errors.InputError, match='--peer=torch: its backbones'):
        torch_peer.build('iresnet50', InputSpec())


def test_unknown_backbone(small):
    with (
        flagsaver.flagsaver(arch=['resnet50']),
        pytest.raises(errors.InputError, match="--arch: found 'resnet50'"),
    ):
        benchmark.main()
