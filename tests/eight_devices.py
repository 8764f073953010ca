"""What is shared among devices, done on one and on eight: `python -m tests.eight_devices`.

A process has one number of virtual devices, so that `tests/test_devices.py` runs this in one of its
own. Sizes divide evenly by neither. Prints, as JSON, the largest difference to one device.
"""

import json
import sys
from typing import Any

import jax
import numpy as np

from fr_inference import config, devices
from fr_inference.data.sources import open_faces
from fr_inference.inversion import goals, searches
from fr_inference.measuring import measurements
from fr_inference.models import registry, stylegan2
from fr_inference.models.target import InputSpec
from fr_inference.training import generator, recognizer
from tests.experiments import targets
from tests.inversion import worlds

COUNTS = (1, 8)
SMALL = InputSpec(height=16, width=16)
FACES = 'procedural:easy,people=3,images=6,size=16,seed=2'
NETWORKS = (
    stylegan2.Generator(4, z_dim=4, w_dim=4, channel_base=32, channel_max=8, mapping_layers=1),
    stylegan2.Discriminator(4, channel_base=32, channel_max=8),
)


def fresh():
    config = {**targets.ONE_BLOCK, 'embedding': 8}
    return recognizer.fresh_target('mobilefacenet_prelu', config, SMALL, seed=1)


def score():
    target = fresh()
    measured = measurements.measure(target, open_faces(FACES).select(range(13)), batch_size=5)
    return measured.distances, measured.embeddings


def invert():
    how = config.replace(worlds.HOW, draws=13, candidates=5)
    found = searches.search_faces(
        *worlds.networks(), goals.membership('raw'), how, seed=worlds.SEED, guide=worlds.guide()
    )
    return found.latents, found.objective, found.draws, found.images.astype(np.float32) / 255


def train_recognizer(**options):
    recipe = config.Recipe(epochs=1, batch_size=6, learning_rate=0.01, seed=3, **options)
    start = fresh()
    return recognizer.train(recipe, start, open_faces(FACES)).variables


def train_generator():
    recipe = config.GeneratorRecipe(images=24, batch_size=12, r1=0.0, seed=1)
    faces = open_faces('procedural:easy,people=12,images=1,size=8,seed=2')
    return generator.train(recipe, *NETWORKS, faces).variables


def apart(first, second):
    """Returns the largest difference between two trees of arrays."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def main() -> None:
    """Does each work on every number of devices."""
    here = jax.local_devices()
    assert len(here) == max(COUNTS), here
    found: dict[str, list[float]] = {}
    results: dict[str, list[Any]] = {}
    for work in (score, invert, train_recognizer, train_generator):
        name = work.__name__
        for count in COUNTS:
            with devices.using(here[:count]):
                results.setdefault(name, []).append(work())
        found[name] = [apart(results[name][0], other) for other in results[name][1:]]
    alone = train_recognizer(cross_replica=False)
    found['without cross-replica'] = [apart(alone, results['train_recognizer'][-1])]
    assert registry.count_parameters(alone) > 0
    json.dump(found, sys.stdout)


if __name__ == '__main__':
    main()
