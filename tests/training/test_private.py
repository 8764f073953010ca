"""Who takes part in a private step, and what a plan guarantees."""

import numpy as np
import pytest

from fr_inference.config import Recipe
from fr_inference.errors import InputError
from fr_inference.models.target import InputSpec
from fr_inference.training import private, recognizer

PEOPLE = np.repeat(np.arange(10, dtype=np.int32), [1, 1, 2, 3, 5, 8, 2, 2, 4, 20])
SECRET = np.array([1, 2, 3, 4], np.uint32)


def plan(unit, steps=400, batch_size=12, **recipe):
    made = Recipe(noise_multiplier=1.0, noise_seed=0, privacy_unit=unit, **recipe)
    return private.plan(made, PEOPLE, batch_size, steps)


@pytest.mark.parametrize(('unit', 'count'), [('image', 48), ('person', 10)])
def test_every_unit_takes_part_as_often(unit, count):
    """A binomial number of times each, and independently: the sizes vary as a Poisson sample's do."""
    made = plan(unit)
    draws = made.draws(SECRET)
    assert (len(made.units), made.sampling) == (count, 0.25)
    assert made.expected == count / 4
    times = np.zeros(count)
    first = {int(own[0]): number for number, own in enumerate(made.units)}
    owner = {int(image): number for number, own in enumerate(made.units) for image in own}
    for step in range(made.steps):
        rows = draws.positions(step, draws.largest)
        there = [owner[image] for image in rows[:, 0].tolist() if image >= 0]
        assert len(set(there)) == len(there) == draws.sizes[step]
        times[there] += 1
    assert len(first) == count
    deviation = np.sqrt(made.steps * 0.25 * 0.75)
    assert np.abs(times - made.steps / 4).max() < 4 * deviation
    assert np.var(draws.sizes) == pytest.approx(count * 0.25 * 0.75, rel=0.3)


def test_a_person_brings_all_images_or_some_of_many():
    made = plan('person')
    assert made.width == private.MOST_OF_A_PERSON == 16
    draws, of_largest = made.draws(SECRET), set()
    for step in range(60):
        rows = draws.positions(step, draws.largest + 2)
        assert (rows[draws.sizes[step] :] == -1).all()
        for row in rows[: draws.sizes[step]]:
            own = row[row >= 0]
            (person,) = set(PEOPLE[own].tolist())
            assert len(set(own.tolist())) == len(own) == min(16, np.bincount(PEOPLE)[person])
            if person == 9:
                of_largest |= set(own.tolist())
    assert of_largest == set(np.flatnonzero(PEOPLE == 9).tolist())


def test_draws_follow_from_the_secret_and_the_step():
    first, again = (plan('image').draws(SECRET) for _ in range(2))
    other = plan('image').draws(SECRET + np.uint32(1))
    alone = again.positions(7, 48)  # as after a kill, without the steps before
    np.testing.assert_array_equal(first.positions(7, 48), alone)
    assert (first.positions(8, 48) != alone).any()
    assert (other.positions(7, 48) != alone).any()


def test_a_batch_reads_those_that_are_there():
    draws = plan('person').draws(SECRET)
    pixels = np.arange(48, dtype=np.uint8)[:, None, None, None] + np.ones((1, 1, 1, 3), np.uint8)
    read = draws.reader(3, 12, lambda own: pixels[own], PEOPLE)
    images, labels, ids, there = read(slice(None))
    assert images.shape == (12, 16, 1, 1, 3)
    np.testing.assert_array_equal(images[..., 0, 0, 0], np.where(there, ids + 1, 0))
    assert (labels[:, None] == PEOPLE[ids])[there].all()
    halves = [read(slice(0, 6)), read(slice(6, 12))]
    for whole, *parts in zip((images, labels, ids, there), *halves, strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_a_sample_may_be_empty():
    draws = plan('image', batch_size=2, steps=200).draws(SECRET)
    step = int(np.flatnonzero(draws.sizes == 0)[0])
    images, _, _, there = draws.reader(
        step, 4, lambda own: np.ones((len(own), 2, 2, 3), np.uint8), PEOPLE
    )(slice(None))
    assert not there.any()
    assert images.shape == (4, 1, 2, 2, 3)
    assert not images.any()


def test_the_secret_is_the_operating_systems():
    assert (private.new_secret(Recipe(epsilon=1)) != private.new_secret(Recipe(epsilon=1))).any()
    fixed = [private.new_secret(Recipe(epsilon=1, noise_seed=seed)) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(fixed[0], fixed[1])
    assert (fixed[0] != fixed[2]).any()
    assert fixed[0].dtype == np.uint32


class TestGuarantee:
    def test_counts_the_steps_done(self):
        made = private.plan(Recipe(epsilon=4.0), PEOPLE, 12, 40)
        whole, half = made.guarantee(40), made.guarantee(20)
        assert 3.9 < whole['epsilon'] <= 4
        assert 0 < half['epsilon'] < whole['epsilon']
        assert made.guarantee(0)['epsilon'] == 0
        assert whole['delta'] == 1 / 48
        assert (whole['steps'], whole['images_of_a_person']) == (40, 20)

    def test_delta_is_one_over_the_units(self):
        assert plan('person').delta == 1 / 10
        assert plan('image', delta=1e-6).delta == 1e-6

    def test_of_draws_that_can_be_repeated_there_is_none(self):
        assert plan('image').guarantee(400)['epsilon'] is None


class TestOptions:
    @pytest.mark.parametrize('name', ['clip_norm', 'delta', 'privacy_unit', 'noise_seed'])
    def test_of_private_training_alone(self, name):
        value = {'privacy_unit': 'person', 'noise_seed': 3}.get(name, 0.1)
        Recipe(epsilon=1.0, **{name: value}).check_given({name: value})
        with pytest.raises(InputError) as caught:
            Recipe(**{name: value}).check_given({name: value})
        assert caught.value.field == name

    def test_one_of_epsilon_and_noise(self):
        with pytest.raises(InputError) as caught:
            Recipe(epsilon=1.0, noise_multiplier=1.0)
        assert caught.value.field == 'noise_multiplier'

    @pytest.mark.parametrize(('norm', 'fits'), [('batch', False), ('group', True), ('layer', True)])
    def test_batch_statistics_are_refused(self, norm, fits):
        size = InputSpec(height=16, width=16)
        target = recognizer.fresh_target('tiny', {'width': 4, 'norm': norm}, size, seed=0)
        private.checked(Recipe(), target)
        if fits:
            private.checked(Recipe(epsilon=1.0), target)
            return
        with pytest.raises(InputError) as caught:
            private.checked(Recipe(epsilon=1.0), target)
        assert caught.value.field == 'norm'
