"""Batches, chunks and devices change nothing but speed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import devices


def function(constants, example):
    """Two outputs of different shape, of an example that is a pytree."""
    x = example['x'].astype(jnp.float32)
    return {'total': (x * constants).sum(), 'sorted': jnp.sort(x) + example['y']}


def examples(count):
    rng = np.random.default_rng(count)
    return {
        'x': rng.integers(0, 256, (count, 5), np.uint8),
        'y': rng.standard_normal(count).astype(np.float32),
    }


@pytest.mark.parametrize('count_of_devices', [1, 2])
@pytest.mark.parametrize('size', [2, 8, 10, 16, 24])
def test_batch_equals_its_examples(size, count_of_devices):
    """Whole chunks, a batch below one chunk, and one that is not a multiple of it."""
    batch, constants = examples(size), np.arange(5, dtype=np.float32)
    compiled, place, count = devices.per_example(function, jax.local_devices()[:count_of_devices])
    assert count == count_of_devices
    found = compiled(place(constants), batch)
    for i in range(size):
        expected = function(constants, jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), batch))
        np.testing.assert_allclose(found['total'][i], expected['total'], rtol=1e-6)
        np.testing.assert_allclose(found['sorted'][i], expected['sorted'], rtol=1e-6)


def test_chunks_on_one_cpu_only():
    """An accelerator, and every device of several, computes its examples at once."""
    batch, constants = examples(16), np.zeros(5, np.float32)

    def loops(number):
        batched = devices._batched(function, jax.local_devices()[:number])
        return 'scan[' in str(jax.make_jaxpr(batched)(constants, batch))

    assert [loops(1), loops(2)] == [True, False]


def test_unknown_compiler_options_are_left_out(monkeypatch):
    """They are experimental: another version of XLA may not know them."""
    monkeypatch.setattr(devices, '_CPU_OPTIONS', {'xla_cpu_no_such_option': True})
    devices._compiler_options.cache_clear()
    try:
        assert devices._compiler_options(jax.local_devices()[0]) is None
        compiled, place, _ = devices.per_example(function)
        assert compiled(place(np.zeros(5, np.float32)), examples(2))['total'].tolist() == [0, 0]
    finally:
        devices._compiler_options.cache_clear()


def test_round_up():
    assert [devices.round_up(count, 4) for count in (0, 1, 4, 5)] == [0, 4, 4, 8]


class TestMapped:
    @staticmethod
    def mapped(number, total, most):
        program = devices.per_candidate(function, jax.local_devices()[:number])
        return devices.over(program, np.arange(5, dtype=np.float32), total=total, most=most)

    @pytest.mark.parametrize('number', [1, 2])
    @pytest.mark.parametrize('total', [1, 3, 8, 13])
    def test_equals_each_example_alone(self, number, total):
        batch = examples(total)
        run = self.mapped(number, total, most=3)
        found, here = run(batch), run.here(batch)
        for i in range(total):
            expected = function(
                run.constants, jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), batch)
            )
            jax.tree.map(
                lambda leaf, one, i=i: np.testing.assert_allclose(leaf[i], one, rtol=1e-6),
                found,
                expected,
            )
        jax.tree.map(np.testing.assert_array_equal, found, here)

    def test_none(self):
        found = self.mapped(2, 5, most=3)(examples(0))
        assert (found['total'].shape, found['sorted'].shape) == ((0,), (0, 5))
        assert found['sorted'].dtype == np.float32

    @pytest.mark.parametrize(
        ('number', 'total', 'most', 'width'), [(1, 5, 64, 5), (2, 5, 64, 3), (2, 500, 64, 64)]
    )
    def test_few_are_not_padded_to_many(self, number, total, most, width):
        assert self.mapped(number, total, most).width == width
