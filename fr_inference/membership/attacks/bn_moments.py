"""Mean and variance of an image's features compared with those stored in the BatchNorm layers.

For each layer, with shifts z and ratios r (`distances.Normalised`): the Kullback-Leibler divergence of
the image's normal distribution from the layer's, 1/2 sum_c (r + z^2 - 1 - log r), and the spread of
the ratios, sum_c (log r)^2; the distances are features as well.
"""

import jax.numpy as jnp
import numpy as np

from fr_inference.measuring.features import Feature
from fr_inference.membership import attack


def _moments(look, network):
    divergences = [
        0.5 * (ratios + shifts**2 - 1 - jnp.log(ratios)).sum()
        for shifts, ratios in zip(look.shifts, look.ratios, strict=True)
    ]
    spreads = [(jnp.log(ratios) ** 2).sum() for ratios in look.ratios]
    return jnp.stack([*divergences, *spreads]) if spreads else jnp.zeros(0, jnp.float32)


FEATURE = Feature('bn-moments', _moments)


def _examples(images, fit, seed):
    if not images.layers:
        return None
    moments = np.log(images.extra[FEATURE.name] + 1e-12)
    return attack.of_images(images, fit, np.concatenate([images.log_distances, moments], axis=1))


ATTACK = attack.Attack(
    name='bn-moments',
    title='BatchNorm means and variances',
    source='after Yin et al., DeepInversion, CVPR 2020, arXiv 1912.08795, equation 4',
    access='file',
    unit='image',
    needs='BatchNorm layers with statistics from training',
    examples=_examples,
    measured=(FEATURE,),
    layers=True,
)
