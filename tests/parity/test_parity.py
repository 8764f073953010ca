"""Every family in JAX against PyTorch: embeddings, distances, gradients, training statistics.

'fixture' compares with outputs kept in the repository, 'live' with the oracle itself (needs torch).
"""

import dataclasses
import functools
import importlib.util
import json
import re

import jax
import numpy as np
import pytest

from fr_inference.measuring import distances
from fr_inference.models import registry
from fr_inference.weights import families
from tests.parity import cases

RTOL = 1e-4
# What cancels to nearly zero is compared on the scale of the whole array.
ATOL = 1e-5

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None,
    reason='torch is not installed (.[test,parity]): compared with the fixtures only',
)


def runs(names):
    """(name of a case, where PyTorch's outputs come from)."""
    return [
        *((name, 'fixture') for name in names if cases.CASES[name].kept),
        *(pytest.param(name, 'live', marks=needs_torch) for name in names),
    ]


RUNS = runs(cases.CASES)
TRAINED_RUNS = runs([name for name, case in cases.CASES.items() if case.trained])


def close(found, expected, atol=ATOL):
    assert found.shape == expected.shape
    if not expected.size:  # distances of a network without BatchNorm
        return
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=atol * scale)


@functools.cache
def fixture(name):
    with np.load(cases.FIXTURES / f'{name}.npz') as file:
        outputs = dict(file)
    return {**outputs, 'shapes': json.loads(str(outputs['shapes']))}


@functools.cache
def live(name):
    from tests.parity import oracle

    return oracle.run(cases.CASES[name])


def recognise(case, state):
    """The match for a case's state dict."""
    tensors = {case.prefix + key: value for key, value in state.items()}
    match, inside, aside = families.recognise(tensors, 'case', input=case.input)
    assert not aside
    assert (match.architecture, match.config) == (case.architecture, case.config)
    return match, inside


@functools.cache
def computed(name, keys):
    """(what JAX says, the weights, where each BatchNorm layer of PyTorch is in JAX)."""
    case = cases.CASES[name]
    state = cases.weights({key: tuple(shape) for key, shape in json.loads(keys).items()})
    match, tensors = recognise(case, state)
    module = registry.build(match.architecture, **match.config)
    abstract = registry.abstract_variables(module, match.input)
    variables, heads = families.convert(match, tensors, abstract, 'case')
    assert not heads
    target = registry.make_target(
        match.architecture, variables, config=match.config, input=match.input
    )
    images = cases.images(case)

    @jax.jit
    def evaluate(variables):
        one = functools.partial(distances.of_image, target.apply, variables)
        distance, embedding = jax.vmap(one)(images)
        readout = cases.readout(embedding.shape[1])
        scalar = lambda images: (target.apply(variables, images) * readout).sum()  # noqa: E731
        found = {
            'embedding': embedding,
            'distances': distance,
            'gradient': jax.grad(scalar)(images[: cases.gradients(case)]),
        }
        if not case.trained:
            return found
        train, updated = module.apply(variables, images, train=True, mutable=['batch_stats'])
        return found | {'train_embedding': train, 'batch_stats': updated['batch_stats']}

    found = jax.device_get(evaluate(variables))
    norms = (layer for layer in match.layers if layer.kind.startswith('norm'))
    places = {layer.source: layer.target for layer in norms}
    return {**found, 'layers': distances.layer_names(target)}, state, places


def both(name, source):
    """What PyTorch says, and what `computed` returns."""
    expected = fixture(name) if source == 'fixture' else live(name)
    return expected, *computed(name, json.dumps(expected['shapes']))


@pytest.mark.parametrize(('name', 'source'), RUNS)
class TestParity:
    def test_embedding(self, name, source):
        expected, found, *_ = both(name, source)
        close(found['embedding'], expected['embedding'])

    def test_distances(self, name, source):
        expected, found, _, places = both(name, source)
        assert list(found['layers']) == [places[layer] for layer in expected['layers']]
        close(found['distances'], expected['distances'])

    def test_gradient(self, name, source):
        expected, found, *_ = both(name, source)
        close(found['gradient'], expected['gradient'])


@pytest.mark.parametrize(('name', 'source'), TRAINED_RUNS)
class TestTraining:
    def test_embedding(self, name, source):
        expected, found, *_ = both(name, source)
        # The last layer divides by the deviation of four numbers, at times a small one: PyTorch's
        # own float32 differs as much from its float64.
        close(found['train_embedding'], expected['train_embedding'], atol=1e-4)

    def test_updated_statistics(self, name, source):
        """PyTorch moves its variance towards the unbiased estimate, Linen to the biased."""
        kept = cases.CASES[name].config.get('momentum', 0.9)
        expected, found, state, places = both(name, source)
        means = np.split(expected['running_mean'], _borders(expected, state))
        variances = np.split(expected['running_var'], _borders(expected, state))
        rows = zip(expected['layers'], means, variances, expected['counts'], strict=True)
        for layer, mean, variance, count in rows:
            statistics = functools.reduce(
                lambda tree, part: tree[part], places[layer].split('/'), found['batch_stats']
            )
            close(statistics['mean'], mean)
            old = state[f'{layer}.running_var']
            unbiased = (statistics['var'] - kept * old) * count / (count - 1)
            close(kept * old + unbiased, variance)
            # The test would see it if the statistics had not moved.
            assert np.abs(variance - old).max() > 1e-2


def _borders(expected, state):
    sizes = [state[f'{layer}.running_mean'].size for layer in expected['layers']]
    return np.cumsum(sizes)[:-1]


def test_fixtures_are_small():
    assert sum(path.stat().st_size for path in cases.FIXTURES.glob('*.npz')) < 3e6
    assert {path.stem for path in cases.FIXTURES.glob('*.npz')} == set(cases.KEPT)


@needs_torch
@pytest.mark.parametrize('name', cases.KEPT)
def test_fixtures_are_current(name):
    kept, fresh = fixture(name), live(name)
    assert kept.keys() == fresh.keys()
    assert {key: tuple(shape) for key, shape in kept['shapes'].items()} == fresh['shapes']
    assert list(kept['layers']) == fresh['layers']
    for key in kept.keys() - {'shapes', 'layers'}:
        # float64 rounded to float32: two versions of torch differ in the last digit at most.
        np.testing.assert_allclose(kept[key], fresh[key], rtol=1e-6, atol=1e-7)


def _oracle(architecture):
    """The full-size module of a variant, on torch's device without memory."""
    import torch

    from tests.parity import oracle

    config = {}
    if architecture == 'tiny':
        module = registry.build('tiny')
        config = {key: getattr(module, key) for key in ('depths', 'width', 'embedding')}
    with torch.device('meta'):
        name = 'iresnet18' if architecture == 'tiny' else architecture
        return oracle.build(name, registry.VARIANTS[architecture].input, **config)


@needs_torch
@pytest.mark.parametrize('architecture', registry.VARIANTS)
def test_parameter_count_of_full_size(architecture):
    module = _oracle(architecture)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert registry.VARIANTS[architecture].parameters == count


@needs_torch
@pytest.mark.parametrize('architecture', registry.VARIANTS)
def test_full_size_is_recognised(architecture):
    """Every key of PyTorch has a rule, and what the rule makes of it has the shape of JAX's leaf."""
    state = {
        key: np.broadcast_to(np.float32(0), tuple(value.shape))  # takes no memory
        for key, value in _oracle(architecture).state_dict().items()
    }
    match, tensors, aside = families.recognise(state, 'oracle')
    variant = registry.VARIANTS[architecture]
    assert not aside
    if architecture != 'tiny':
        assert (match.architecture, match.config) == (architecture, {})
    assert match.input == dataclasses.replace(
        registry.VARIANTS[match.architecture].input,
        height=variant.input.height,
        width=variant.input.width,
    )
    expected = registry.abstract_variables(
        registry.build(match.architecture, **match.config), match.input
    )
    shapes = {
        jax.tree_util.keystr(path, simple=True, separator='/'): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(expected)
    }
    for layer in match.layers:
        for suffix, (collection, leaf, transform) in layer.weights().items():
            array = transform(tensors.pop(layer.key(suffix)))
            assert array.shape == shapes.pop(f'{collection}/{layer.target}/{leaf}')
    assert not shapes
    assert all(re.search(r'\.num_batches_tracked$', key) for key in tensors)


def test_every_family_has_a_case():
    """A family without a case would pass this file unseen."""
    keys = {key for name in cases.KEPT for key in fixture(name)['shapes']}
    for family in families.FAMILIES:
        assert keys & set(family.SIGNATURES), family
    kept = {type(registry.build(cases.CASES[name].architecture)) for name in cases.KEPT}
    assert kept == {type(variant.build()) for variant in registry.VARIANTS.values()}
