"""How little the embedding changes when a picture is changed a little: training makes it robust.

Eight changed pictures: the mirror image, four shifts, two with noise, one brighter. An attacker
with embeddings compares them; one with the file also sees how the distances change.
"""

import jax
import jax.numpy as jnp

from fr_inference.measuring.features import Feature
from fr_inference.membership import attack

_SHIFT = 0.04  # of the height and the width
_NOISE = 6.0  # standard deviation, on the scale 0 to 255
_BRIGHTER = 1.1
MOVED = 8


def _moved(image):
    """[H, W, 3] -> [8, H, W, 3], the same moves for every image."""
    down, right = (max(1, round(_SHIFT * side)) for side in image.shape[:2])
    shifts = [(down, 0), (-down, 0), (0, right), (0, -right)]
    noise = _NOISE * jax.random.normal(jax.random.key(0), (2, *image.shape), jnp.float32)
    pictures = [
        image[:, ::-1],
        *(_shifted(image, *shift) for shift in shifts),
        *(image + noise),
        image * _BRIGHTER,
    ]
    return jnp.clip(jnp.stack(pictures), 0, 255)


def _shifted(image, down, right):
    """Shifts the picture, repeating the border that it came from."""
    rows = jnp.clip(jnp.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = jnp.clip(jnp.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    return image[rows][:, columns]


def _measured(look, network):
    """8 cosines, lowest first, their mean and spread; for each layer the mean change and its spread."""
    others = jax.lax.map(lambda picture: _kept(network.look(picture)), _moved(look.image))
    embeddings, distances = others
    own = look.embedding / jnp.maximum(jnp.linalg.norm(look.embedding), 1e-12)
    lengths = jnp.maximum(jnp.linalg.norm(embeddings, axis=1), 1e-12)
    cosines = jnp.sort(embeddings @ own / lengths)
    changes = jnp.log(distances + 1e-12) - jnp.log(look.distances + 1e-12)
    answers = [cosines, cosines.mean()[None], cosines.std()[None]]
    return jnp.concatenate([*answers, changes.mean(0), changes.std(0)])


def _kept(look):
    return look.embedding, look.distances


FEATURE = Feature('agreement', _measured)
_ANSWERS = MOVED + 2


def _of_answers(images, fit, seed):
    return attack.of_images(images, fit, images.extra[FEATURE.name][:, :_ANSWERS])


def _of_distances(images, fit, seed):
    if not images.layers:
        return None
    return attack.of_images(images, fit, images.extra[FEATURE.name][:, _ANSWERS:])


_SOURCE = 'after Liu et al., EncoderMI, CCS 2021, arXiv 2108.11023, and RaMIA, arXiv 2408.05131'

ATTACKS = (
    attack.Attack(
        name='agreement',
        title='Agreement under small moves',
        source=_SOURCE,
        access='answers',
        unit='image',
        needs='nothing',
        examples=_of_answers,
        measured=(FEATURE,),
        passes=MOVED,
    ),
    attack.Attack(
        name='agreement-distances',
        title='Change of the distances under small moves',
        source=_SOURCE,
        access='file',
        unit='image',
        needs='BatchNorm layers with statistics from training',
        examples=_of_distances,
        measured=(FEATURE,),
        passes=MOVED,
        layers=True,
    ),
)
