"""Named streams: another name is another stream, and an example's key is its own."""

import jax
import numpy as np

from fr_inference import rng


def bits(keys):
    return np.asarray(jax.random.key_data(keys)).tolist()


def test_a_stream_has_a_name():
    key = jax.random.key(3)
    assert bits(rng.stream(key, 'weights')) == bits(rng.stream(key, 'weights'))
    others = [rng.stream(key, 'noise'), rng.stream(jax.random.key(4), 'weights'), key]
    assert bits(rng.stream(key, 'weights')) not in [bits(other) for other in others]


def test_keys_of_examples_do_not_depend_on_their_batch():
    key, ids = jax.random.key(0), np.arange(7)
    whole = bits(rng.per_example(key, ids))
    parts = bits(rng.per_example(key, ids[:3])) + bits(rng.per_example(key, ids[3:]))
    assert whole == parts
    assert len({tuple(row) for row in whole}) == 7


def test_streams_on_the_host():
    def draw(seed, name):
        return rng.numpy_generator(seed, name).integers(1 << 62)

    assert draw(1, 'epoch 1') == draw(1, 'epoch 1')
    assert len({draw(1, 'epoch 1'), draw(1, 'epoch 2'), draw(2, 'epoch 1')}) == 3
    assert draw(1, 'Zo\udceb') != draw(1, 'Zo')  # a file name that is not UTF-8
