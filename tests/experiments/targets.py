"""Small targets on disk, for programs that open them."""

import jax
import numpy as np

from fr_inference.data import overlap, sources
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from fr_inference.weights import native_targets

MEMBERS = 'procedural:hard,people=8,images=2,size=16'
OTHERS = 'procedural:hard,people=8,images=2,size=16,first=100'
# A MobileFaceNet of one block: traced and compiled in a third of the time of the smallest IResNet.
ONE_BLOCK = {
    'activation': 'relu',
    'stem': 'none',
    'stem_channels': 4,
    'expanded': [8],
    'channels': [8],
    'strides': [2],
    'last_channels': 8,
    'head': 'mean',
}


def target_of(seed, *, embedding=8, norm='batch'):
    """Numbers drawn by NumPy: initialisers would take longer to compile than the audit."""
    name, config = 'mobilefacenet_prelu', {**ONE_BLOCK, 'embedding': embedding}
    if norm != 'batch':  # which IResNet alone can have
        name, config = 'tiny', {'width': 4, 'embedding': embedding, 'norm': norm}
    spec, generator = InputSpec(height=16, width=16), np.random.default_rng(seed)
    shapes = registry.abstract_variables(registry.build(name, **config), spec)
    variables = jax.tree.map(
        lambda leaf: (0.5 + 0.1 * generator.standard_normal(leaf.shape)).astype(np.float32), shapes
    )
    return registry.make_target(name, variables, config=config, input=spec)


def save(folder, seed, *, norm='batch', listed=False):
    """Saves a target, `listed` with MEMBERS as its training images."""
    members = None
    if listed:
        faces = sources.open_faces(MEMBERS)
        digests = overlap.content_digests(faces)
        members = list(zip(faces.paths, faces.identities, digests, strict=True))
    native_targets.save_target(folder, target_of(seed, norm=norm), members=members)
