"""The input convention: both figures against direct computations, and what is said of wrong ones."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.data import sources
from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.errors import InputError
from fr_inference.measuring import convention, convention_figures, plausible_inputs
from fr_inference.measuring.convention import FITS, NONE, OTHER, UNKNOWN
from fr_inference.models.target import InputSpec, Target, origins
from fr_inference.weights.targets import open_target

SIZE = 8
ZERO_TO_ONE = {'mean': (0.0, 0.0, 0.0), 'std': (255.0, 255.0, 255.0)}
IMAGENET = {'mean': (123.675, 116.28, 103.53), 'std': (58.395, 57.12, 57.375)}
RARE = tuple({'mean': mean, 'std': std} for mean, std in plausible_inputs.RARE)
WRONG = ({'colour': 'bgr'}, ZERO_TO_ONE, {'colour': 'bgr', **ZERO_TO_ONE}, IMAGENET)


class Stem(nn.Module):
    """A pointwise convolution whose output is normalised, and something behind it."""

    strides: int = 1

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(6, (1, 1), strides=self.strides, name='conv')(x)
        x = nn.BatchNorm(use_running_average=True, epsilon=1e-5, name='bn')(x)
        return nn.Dense(4, name='fc')(nn.relu(x).mean((1, 2)))


def reddish(people=20, images=2, seed=0, name='faces'):
    """Images whose red is bright and whose blue is dark; a person's resemble each other."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), images)
    base = generator.normal(size=(people, SIZE, SIZE, 3))[person]
    own = generator.normal(size=(len(person), SIZE, SIZE, 3))
    pixels = np.array([170, 125, 80]) + 35 * base + 15 * own
    return from_arrays(
        np.clip(pixels, 0, 255).astype(np.uint8), [f'{name}{one}' for one in person], name
    )


def pixels_of(faces):
    return np.stack([faces.read(position) for position in range(len(faces))]).astype(np.float64)


def by_hand(faces, spec):
    """Pixels as a backbone of that convention sees them, in NumPy."""
    pixels = pixels_of(faces)[..., :: -1 if spec.colour == 'bgr' else 1]
    return (pixels - np.array(spec.mean)) / np.array(spec.std)


def trained(spec, faces, *, module=None, **known):
    """A target of random weights whose statistics are those of `faces` under `spec`."""
    module, generator = module or Stem(), np.random.default_rng(1)
    kernel, bias = generator.normal(size=(3, 6)), generator.normal(size=6)
    seen = by_hand(faces, spec) @ kernel + bias
    leaves = {
        'params': {
            'conv': {'kernel': kernel[None, None], 'bias': bias},
            'bn': {'scale': np.ones(6), 'bias': np.zeros(6)},
            'fc': {'kernel': generator.normal(size=(6, 4)), 'bias': np.zeros(4)},
        },
        'batch_stats': {'bn': {'mean': seen.mean((0, 1, 2)), 'var': seen.var((0, 1, 2))}},
    }
    as_float = {
        collection: {
            layer: {name: np.asarray(leaf, np.float32) for name, leaf in inside.items()}
            for layer, inside in layers.items()
        }
        for collection, layers in leaves.items()
    }
    return Target(name='stem', apply=module.apply, variables=as_float, input=spec, origins=known)


def fed(target, changes, how='layout'):
    """The same backbone, opened with another convention."""
    spec = target.input.changed(changes)
    known = {**origins('layout'), **origins(how, changes)}
    return dataclasses.replace(target, input=spec, origins=known)


@pytest.fixture(scope='module')
def faces():
    return reddish()


@pytest.fixture(scope='module')
def stem(faces):
    return trained(InputSpec(height=SIZE, width=SIZE), faces)


class TestPlausibleInputs:
    @pytest.mark.parametrize('changes', [{}, *WRONG, {'mean': (91.5, 103.9, 131.1)}])
    def test_the_one_in_use_comes_first_and_none_is_nearly_another(self, changes):
        spec = InputSpec(height=5, width=7).changed(changes)
        found = plausible_inputs.of(spec)
        assert found[0] == spec
        assert spec.changed({'colour': 'bgr' if spec.colour == 'rgb' else 'rgb'}) in found
        assert {(one.height, one.width) for one in found} == {(5, 7)}
        for number, one in enumerate(found):
            assert not any(plausible_inputs.alike(one, other) for other in found[:number])

    def test_the_rare_ones_come_where_they_are_asked_for(self):
        """Half the range, centred pixels and Caffe's means, each in both orders."""
        spec = InputSpec()
        common, all_of_them = plausible_inputs.of(spec), plausible_inputs.of(spec, rare=True)
        assert all_of_them[: len(common)] == common
        assert len(all_of_them) == len(common) + 6

    def test_facenets_range_is_nearly_insightfaces(self):
        spec = InputSpec()
        other = dataclasses.replace(spec, std=(128.0,) * 3)
        assert plausible_inputs.alike(spec, other)
        assert not plausible_inputs.alike(spec, spec.changed({'colour': 'bgr'}))
        assert not plausible_inputs.alike(spec, spec.changed(ZERO_TO_ONE))


class TestMisfit:
    def test_is_the_divergence_of_two_normal_distributions(self, faces, stem):
        specs = plausible_inputs.of(stem.input)
        positions = np.array([1, 4, 5, 17])
        index, found, trained = convention_figures.misfits(stem, faces, positions, specs)
        assert (index.tolist(), trained) == (positions.tolist(), True)
        stats, conv = stem.variables['batch_stats']['bn'], stem.variables['params']['conv']
        for spec, misfit in zip(specs, found, strict=True):
            seen = by_hand(faces.select(positions), spec) @ conv['kernel'][0, 0] + conv['bias']
            mean, own = seen.mean((0, 1, 2)), seen.var((0, 1, 2)) + 1e-5
            kept = stats['var'] + 1e-5
            expected = (
                np.log(np.sqrt(kept) / np.sqrt(own))
                + (own + (mean - stats['mean']) ** 2) / (2 * kept)
                - 0.5
            )
            assert misfit == pytest.approx(expected.mean(), rel=2e-3, abs=2e-5)

    @pytest.mark.parametrize(('strides', 'near'), [(1, True), (2, True), (4, False)])
    def test_only_a_layer_near_the_images_is_looked_at(self, strides, near):
        module = Stem(strides=strides)
        target = trained(InputSpec(height=SIZE, width=SIZE), reddish(4), module=module)
        assert convention_figures.near_layer(target) == ('bn' if near else None)


class TestSeparation:
    def test_weights_are_repetitions(self):
        generator = np.random.default_rng(0)
        cosines = generator.uniform(-1, 1, (2, 5, 5))
        weights = np.array([[1, 1, 1, 1, 1], [2, 0, 1, 3, 1]])
        found = convention_figures.separations(cosines, weights.astype(float))
        for row, drawn in zip(found, weights, strict=True):
            people = np.repeat(np.arange(5), drawn)
            for value, table in zip(row, cosines, strict=True):
                same = np.array([table[one, one] for one in people])
                # Two copies of one person are no pair of two people; they count as 0 cosines.
                other = np.array(
                    [
                        table[a, b] if a != b else 0
                        for i, a in enumerate(people)
                        for j, b in enumerate(people)
                        if a != b
                    ]
                )
                expected = (same.mean() - other.mean()) / np.sqrt((same.var() + other.var()) / 2)
                assert value == pytest.approx(expected)


class TestCheck:
    @pytest.mark.parametrize('true', [{}, *WRONG, *RARE])
    def test_a_wrong_convention_is_named_and_the_right_one_fits(self, faces, true):
        spec = InputSpec(height=SIZE, width=SIZE).changed(true)
        target = trained(spec, faces)
        for used in plausible_inputs.of(spec):
            found = convention.check(dataclasses.replace(target, input=used), faces, seed=0)
            if used == spec:
                assert (found.state, found.trusted) == (FITS, True)
                assert convention.demand(target, found) == []
            else:
                assert (found.state, found.trusted) == (OTHER, False)
                assert plausible_inputs.alike(found.specs[found.best], spec)

    def test_a_convention_that_is_nearly_right_is_right(self, faces, stem):
        used = fed(stem, {'std': (128.0,) * 3})
        assert convention.check(used, faces, seed=0).state == FITS

    @pytest.mark.parametrize(
        ('changes', 'field', 'passed'),
        [
            ({'colour': 'bgr'}, 'colour', 'pass colour=rgb;'),
            (ZERO_TO_ONE, 'mean', 'pass mean=127.5,127.5,127.5 std=127.5,127.5,127.5;'),
            (
                {'colour': 'bgr', **ZERO_TO_ONE},
                'colour',
                'pass colour=rgb mean=127.5,127.5,127.5 std=127.5,127.5,127.5;',
            ),
        ],
    )
    @pytest.mark.parametrize('how', ['layout', 'assumed', 'given'])
    def test_it_stops_and_says_what_to_pass(self, faces, stem, changes, field, passed, how):
        used = fed(stem, changes, how)
        with pytest.raises(InputError) as raised:
            convention.demand(used, convention.check(used, faces, seed=0))
        assert raised.value.field == field
        assert raised.value.hint.startswith(passed)

    def test_a_misfit_that_is_allowed_is_warned_of(self, faces, stem, caplog):
        used = fed(stem, {'colour': 'bgr'}, 'given')
        found = convention.check(used, faces, seed=0)
        assert convention.demand(used, found, allow=True) == [found.remark]
        assert found.remark.endswith(': pass colour=rgb.')
        assert found.remark in caplog.text
        assert not found.trusted

    def test_images_unlike_any_that_it_was_trained_on_fit_none(self, stem, caplog):
        noise = np.random.default_rng(0).integers(0, 2, (16, SIZE, SIZE, 3), np.uint8) * 255
        found = convention.check(stem, from_arrays(noise, range(16)), seed=0)
        assert (found.state, found.trusted) == (NONE, False)
        assert convention.demand(stem, found) == [found.remark]
        assert '(colour, mean, std)' in found.remark
        assert found.remark in caplog.text

    def test_statistics_that_were_never_trained_say_nothing(self, faces, stem):
        """Those of a fresh layer happen to fit images of unit variance."""
        fresh = {'mean': np.zeros(6, np.float32), 'var': np.ones(6, np.float32)}
        variables = {**stem.variables, 'batch_stats': {'bn': fresh}}
        for used in plausible_inputs.of(stem.input):
            target = dataclasses.replace(stem, variables=variables, input=used)
            found = convention.check(target, faces, seed=0)
            assert (found.state, found.trusted) == (NONE, False)
            assert 'mean 0, variance 1' in found.remark

    def test_unreadable_images(self, faces, stem):
        def read(position):
            if position % 2:
                raise BadImageError('damaged')
            return faces.read(position)

        damaged = dataclasses.replace(faces, read=read)
        found = convention.check(stem, damaged, seed=0, skip_bad=True)
        assert (found.state, found.images) == (FITS, len(faces) // 2)
        with pytest.raises(BadImageError):
            convention.check(stem, damaged, seed=0)
        none = dataclasses.replace(faces.select([1, 3]), read=lambda position: read(1))
        found = convention.check(stem, none, seed=0, skip_bad=True)
        assert (found.state, found.images, found.figures) == (UNKNOWN, 0, ())


@pytest.fixture(scope='module')
def people():
    """Noise, but for the first channel, which shows who it is."""
    generator = np.random.default_rng(3)
    person = np.repeat(np.arange(40), 2)
    images = generator.integers(0, 256, (80, SIZE, SIZE, 3), np.uint8)
    base = generator.integers(0, 256, (40, SIZE, SIZE), np.uint8)[person]
    images[..., 0] = base // 2 + images[..., 0] // 2
    return from_arrays(images, [f'p{one}' for one in person])


class TestWithoutBatchNorm:
    """The embedding is the first channel."""

    def target(self, how, **changes):
        def apply(variables, images):
            return images[..., 0].reshape(len(images), -1) * variables['params']['scale']

        return Target(
            name='first channel',
            apply=apply,
            variables={'params': {'scale': jnp.float32(1)}},
            input=InputSpec(height=SIZE, width=SIZE).changed(changes),
            origins=origins(how),
        )

    def test_a_wrong_order_is_found_out(self, people):
        wrong = self.target('layout', colour='bgr')
        found = convention.check(wrong, people, seed=0)
        assert (found.state, found.by, found.images) == (OTHER, 'separation', 80)
        assert found.specs[found.best].colour == 'rgb'
        with pytest.raises(InputError) as raised:
            convention.demand(wrong, found)
        assert raised.value.field == 'colour'

    @pytest.mark.parametrize(('how', 'trusted'), [('layout', True), ('assumed', False)])
    def test_the_right_one_fits(self, people, how, trusted):
        """The best of those tried is not known to be right where it was only assumed."""
        found = convention.check(self.target(how), people, seed=0)
        assert (found.state, found.trusted) == (FITS, trusted)
        assert 'that was not tried may still be right' in found.remark
        said = convention.demand(self.target(how), found)
        assert said == ([] if trusted else [found.remark])

    @pytest.mark.parametrize(('how', 'trusted'), [('layout', True), ('assumed', False)])
    def test_too_few_people_leave_it_open(self, people, how, trusted):
        for few in (people.select(np.arange(10)), people.select(np.arange(0, 80, 2))):
            found = convention.check(self.target(how), few, seed=0)
            assert (found.state, found.trusted, found.figures) == (UNKNOWN, trusted, ())

    @pytest.mark.parametrize(('colour', 'trusted'), [('rgb', True), ('bgr', False)])
    def test_what_looks_better_leaves_a_known_one_in_doubt(self, colour, trusted):
        """Not clearly better, so that it stops nothing; but an all-clear is not to rest on it."""
        generator = np.random.default_rng(5)
        person = np.repeat(np.arange(20), 2)
        base = generator.normal(size=(20, SIZE, SIZE))[person]
        pixels = 128 + 60 * generator.normal(size=(40, SIZE, SIZE, 3))
        pixels[..., 0] += 28 * base
        pixels[..., 2] += 24 * base  # blue shows who it is nearly as well
        few = from_arrays(np.clip(pixels, 0, 255).astype(np.uint8), [f'p{one}' for one in person])
        found = convention.check(self.target('given', colour=colour), few, seed=0)
        assert (found.state, found.trusted) == (UNKNOWN, trusted)
        other = max(zip(found.figures[1:], found.specs[1:], strict=True), key=lambda one: one[0])[1]
        assert f'({other.pixels})' in found.remark

    def test_pairs_may_be_given(self, people):
        nameless = dataclasses.replace(people, identities=people.paths)
        pairs = np.arange(80).reshape(-1, 2)
        target = self.target('layout', colour='bgr')
        assert convention.check(target, nameless, seed=0).state == UNKNOWN
        assert convention.check(target, nameless, seed=0, same=pairs).state == OTHER

    def test_a_backbone_that_recognises_nobody_fits_none(self, people):
        strangers = people.select(np.arange(0, 80, 2))
        named = [f'p{one}' for one in np.repeat(np.arange(20), 2)]
        mixed = dataclasses.replace(strangers, identities=named)
        found = convention.check(self.target('layout'), mixed, seed=0)
        assert (found.state, found.trusted) == (NONE, False)


@pytest.mark.parametrize(
    ('name', 'spec'),
    [
        ('demo_leaky', 'procedural:hard,images=1,seed=1,people=64,first=128'),
        ('demo_easy', 'procedural:easy,images=1,seed=1,people=64,first=512'),
    ],
)
def test_the_embedded_backbones_are_never_fed_wrong_in_silence(name, spec):
    target, faces = open_target(name), sources.open_faces(spec)
    assert convention.check(target, faces, seed=0).state == FITS
    for changes in WRONG:
        found = convention.check(fed(target, changes), faces, seed=0)
        assert found.state == OTHER
        assert found.specs[found.best] == target.input


@pytest.mark.parametrize('name', ['mobilefacenet_casia.ckpt', 'mobilefacenet_ms1m.pt'])
def test_nor_are_real_ones(shared, name):
    target = open_target(shared / 'weights' / name)
    faces = sources.open_faces(shared / 'data' / 'lfw112')
    assert convention.check(target, faces, seed=0).state == FITS
    insightface = {'mean': (127.5,) * 3, 'std': (127.5,) * 3}
    for changes in (*WRONG, insightface):
        used = fed(target, changes)
        found = convention.check(used, faces, seed=0)
        if plausible_inputs.alike(used.input, target.input):
            assert found.state == FITS
        else:
            assert found.state == OTHER
            assert plausible_inputs.alike(found.specs[found.best], target.input)


@pytest.mark.parametrize('name', ['demo_leaky', 'demo_easy', 'demo_few', 'demo_evaluator'])
def test_a_rare_convention_stops_no_right_input(name):
    """The more conventions are tried, the sooner one of them might come out best by chance."""
    target, generator = open_target(name), np.random.default_rng(0)
    for faces in ('hard', 'easy'):
        everybody = sources.open_faces(f'procedural:{faces},images=1,seed=1,people=96,first=512')
        for count in (12, 48):
            drawn = everybody.select(generator.choice(96, count, replace=False))
            found = convention.check(target, drawn, seed=0)
            assert found.state in (FITS, NONE)
            assert len(found.specs) > len(plausible_inputs.of(target.input))
    for changes in RARE:
        found = convention.check(fed(target, changes), drawn, seed=0)
        assert found.state == OTHER
        assert found.specs[found.best] == target.input
