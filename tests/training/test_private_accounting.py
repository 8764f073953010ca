"""The accountant against its sibling, which bounds by Renyi divergences, and against a closed form."""

import math

import pytest
from dp_accounting import (
    GaussianDpEvent,
    PoissonSampledDpEvent,
    SelfComposedDpEvent,
    get_epsilon_gaussian,
)
from dp_accounting.rdp import RdpAccountant

from fr_inference.errors import InputError
from fr_inference.training import private_accounting

SETTINGS = [(0.02, 1.1, 1000, 1e-5), (0.25, 4.0, 100, 1e-3), (0.01, 0.8, 10_000, 1e-6)]


@pytest.mark.parametrize(('sampling', 'noise', 'steps', 'delta'), SETTINGS)
def test_close_below_the_renyi_accountant(sampling, noise, steps, delta):
    renyi = RdpAccountant([1 + number / 2 for number in range(2, 128)])
    gaussian = GaussianDpEvent(noise)
    renyi.compose(SelfComposedDpEvent(PoissonSampledDpEvent(sampling, gaussian), steps))
    bound = renyi.get_epsilon(delta)
    found = private_accounting.epsilon(
        noise_multiplier=noise, sampling=sampling, steps=steps, delta=delta
    )
    assert 0.8 * bound < found <= bound


def test_all_units_in_every_step_are_one_gaussian():
    """n steps of noise s are one of noise s / sqrt(n); Balle and Wang, arXiv 1805.06530, theorem 8."""
    found = private_accounting.epsilon(noise_multiplier=10.0, sampling=1.0, steps=25, delta=1e-4)
    exact = get_epsilon_gaussian(10 / math.sqrt(25), 1e-4)
    assert exact <= found < 1.01 * exact


@pytest.mark.parametrize(
    ('noise', 'epochs', 'published'), [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)]
)
def test_published_values(noise, epochs, published):
    """TensorFlow Privacy's tutorial of MNIST: batches of 256 of 60,000, delta 1e-5, by Renyi's bound."""
    found = private_accounting.epsilon(
        noise_multiplier=noise, sampling=256 / 60_000, steps=epochs * 60_000 // 256, delta=1e-5
    )
    assert 0.7 * published < found < published


@pytest.mark.parametrize('epsilon', [0.5, 8.0])
def test_noise_is_the_least_that_reaches_epsilon(epsilon):
    known = {'sampling': 0.1, 'steps': 50, 'delta': 1e-3}
    noise = private_accounting.noise_for(epsilon, **known)
    assert private_accounting.epsilon(noise_multiplier=noise, **known) <= epsilon
    assert private_accounting.epsilon(noise_multiplier=0.995 * noise, **known) > epsilon


def test_steps_spend():
    spent = [
        private_accounting.epsilon(noise_multiplier=1.0, sampling=0.1, steps=steps, delta=1e-3)
        for steps in (0, 1, 10, 100)
    ]
    assert spent[0] == 0
    assert spent == sorted(spent)
    assert spent[2] > spent[1] > 0


def test_without_the_package(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(private_accounting.importlib, 'import_module', absent)
    with pytest.raises(InputError) as caught:
        private_accounting.noise_for(1.0, sampling=0.1, steps=1, delta=0.1)
    assert caught.value.field == 'epsilon'
    assert caught.value.hint == "pip install 'fr_inference[private]'"
