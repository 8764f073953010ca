"""How strongly an image would still change the weights: a training image does so less than another.

The loss is 1 - cos(u(x), u(t(x))), where t(x) is the mirror image: it needs no label. The features are
the norms of its gradient by each array of the weights, on a logarithmic scale.
"""

import jax
import jax.numpy as jnp

from fr_inference.measuring.features import Feature
from fr_inference.membership import attack


def _measured(look, network):
    """[P] norms for P arrays of weights; images one by one, since each has its own gradients."""
    return jax.custom_batching.sequential_vmap(lambda image: _norms(image, network))(look.image)


def _norms(image, network):
    def loss(params):
        variables = {**network.variables, 'params': params}
        first, second = (
            network.look(picture, variables).embedding for picture in (image, image[:, ::-1])
        )
        lengths = jnp.linalg.norm(first) * jnp.linalg.norm(second)
        return 1 - first @ second / jnp.maximum(lengths, 1e-12)

    gradients = jax.tree.leaves(jax.grad(loss)(network.variables['params']))
    return jnp.log(jnp.stack([jnp.linalg.norm(one) for one in gradients]) + 1e-12)


FEATURE = Feature('gradients', _measured)


def _examples(images, fit, seed):
    return attack.of_images(images, fit, images.extra[FEATURE.name])


ATTACK = attack.Attack(
    name='gradients',
    title='Gradients of the agreement with the mirror image',
    source='after DeAlcala et al., gMINT, CVPR Workshops 2025',
    access='file',
    unit='image',
    needs='nothing',
    examples=_examples,
    measured=(FEATURE,),
    passes=4,
)
