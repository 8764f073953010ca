"""Differentiable augmentation of real and generated images, for discriminators on small sets.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", arXiv 2006.10738: colour,
translation, cutout. The probability per image can be adaptive, as in Karras et al., "Training
Generative Adversarial Networks with Limited Data", arXiv 2006.06676, section 3.1: it rises while the
discriminator overfits to the real images.
"""

import jax
import jax.numpy as jnp

TARGET = 0.6  # for the mean sign of the discriminator on real images, arXiv 2006.06676


def augment(key: jax.Array, images: jax.Array, probability: jax.Array | float) -> jax.Array:
    """Changes each image at random.

    Args:
      key: a typed key.
      images: [N, H, W, 3] float32, -1 to 1.
      probability: that an image is changed at all, 0 to 1.

    Returns:
      [N, H, W, 3] float32; the gradient with respect to `images` passes through.
    """
    keys = jax.random.split(key, len(images))
    return jax.vmap(_augment_one, in_axes=(0, 0, None))(keys, images, probability)


def _augment_one(key, image, probability):
    keys = jax.random.split(key, 7)
    height, width, _ = image.shape
    brightness, saturation, contrast = jax.random.uniform(keys[0], (3,))
    changed = image + brightness - 0.5
    grey = changed.mean(axis=-1, keepdims=True)
    changed = grey + 2 * saturation * (changed - grey)
    mean = changed.mean()
    changed = mean + (0.5 + contrast) * (changed - mean)
    # Translation by up to an eighth, filled with zeros.
    most = (height // 8, width // 8)
    padded = jnp.pad(changed, ((most[0], most[0]), (most[1], most[1]), (0, 0)))
    top = jax.random.randint(keys[1], (), 0, 2 * most[0] + 1)
    left = jax.random.randint(keys[2], (), 0, 2 * most[1] + 1)
    changed = jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)
    # Cutout: a square of half the size.
    row = jax.random.randint(keys[3], (), 0, height)
    column = jax.random.randint(keys[4], (), 0, width)
    inside = (jnp.abs(jnp.arange(height) - row) < height // 4)[:, None] & (
        jnp.abs(jnp.arange(width) - column) < width // 4
    )
    changed = jnp.where(inside[..., None], 0.0, changed)
    return jnp.where(jax.random.bernoulli(keys[5], probability), changed, image)


def adapt(probability: jax.Array, sign: jax.Array, images: int, ramp: int = 500_000) -> jax.Array:
    """Returns the adapted probability of augmentation, 0 to 1.

    Args:
      probability: the present one.
      sign: mean sign of the discriminator's logits of real images.
      images: number of images since the last call.
      ramp: number of images in which it can rise from 0 to 1.
    """
    step = jnp.sign(sign - TARGET) * (images / ramp)
    return jnp.clip(probability + step, 0.0, 1.0)


def erased(key: jax.Array, image: jax.Array, probability: float) -> jax.Array:
    """Replaces a random rectangle of an image by noise, with a probability.

    Its area is 2 to 40 % of the image's, its aspect ratio 0.3 to 3.3 (Zhong et al., "Random Erasing Data
    Augmentation", AAAI 2020, arXiv 1708.04896). It makes inversion harder (arXiv 2409.01062).

    Args:
      key: a typed key.
      image: [H, W, 3] float32, normalised.
      probability: that a rectangle is replaced, 0 to 1.

    Returns:
      [H, W, 3] float32.
    """
    keys = jax.random.split(key, 6)
    height, width, _ = image.shape
    area = jax.random.uniform(keys[0], (), minval=0.02, maxval=0.4) * height * width
    ratio = jnp.exp(jax.random.uniform(keys[1], (), minval=jnp.log(0.3), maxval=jnp.log(3.3)))
    tall, wide = (
        jnp.minimum(jnp.sqrt(area * ratio), height),
        jnp.minimum(jnp.sqrt(area / ratio), width),
    )
    top = jax.random.uniform(keys[2]) * (height - tall)
    left = jax.random.uniform(keys[3]) * (width - wide)
    rows, columns = (jnp.arange(size, dtype=jnp.float32) + 0.5 for size in (height, width))
    inside = ((rows >= top) & (rows < top + tall))[:, None] & (
        (columns >= left) & (columns < left + wide)
    )
    inside = inside & jax.random.bernoulli(keys[4], probability)
    return jnp.where(inside[..., None], jax.random.normal(keys[5], image.shape), image)
