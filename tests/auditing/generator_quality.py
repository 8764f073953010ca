"""What a generator draws, and whom it may reproduce: `python -m tests.auditing.generator_quality`.

  python -m tests.auditing.generator_quality --generators=A,B --faces=TRAINING --strangers=OTHERS \\
    --backbones=X,Y

For each generator and each face backbone: the Fréchet distance, precision, recall, density and coverage
of its samples beside its training images; and how near samples come to training photographs. Strangers,
whose photographs the generator never saw, stand beside the samples: a generator that reproduces people
draws faces which are nearer to training photographs than strangers are, and nearer than to strangers.
So may other people of the training photographs' collection: they are the row "photographs".
All figures are cosines or distances in the backbone's embedding. docs/results/inversion.md has them.
"""

import argparse
import json

import jax
import numpy as np

from fr_inference.data.faces import Faces, from_arrays
from fr_inference.data.sources import open_faces
from fr_inference.measuring import measurements
from fr_inference.metrics import realism
from fr_inference.models.stylegan2 import Trained
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

_BATCH = 64


def drawn(generator: Trained, count: int, seed: int) -> Faces:
    """Returns samples as a source of faces, each of its own identity."""
    draw = jax.jit(lambda z: generator.module.apply(generator.variables, z))
    z = np.random.default_rng(seed).standard_normal((count, generator.module.z_dim), np.float32)
    parts = [np.asarray(draw(z[i : i + _BATCH])) for i in range(0, count, _BATCH)]
    pixels = np.clip(np.concatenate(parts) * 127.5 + 128, 0, 255).astype(np.uint8)
    return from_arrays(pixels, range(count))


def one_each(identities: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Returns the position of one photograph of each person, in random order."""
    order = draw.permutation(len(identities))
    _, first = np.unique(np.asarray(identities)[order], return_index=True)
    return draw.permutation(order[first])


def nearness(samples: np.ndarray, training: np.ndarray, strangers: np.ndarray) -> dict[str, float]:
    """Returns how near samples come to training photographs, beside strangers.

    Args:
      samples: [N, D], embeddings of unit length.
      training: [M, D], one photograph a person.
      strangers: [K, D], one photograph a person.

    Returns:
      'sample_P' and 'stranger_P': P % quantile of the cosine to the nearest training photograph;
      'nearer_to_training': share of the samples that are nearer to one of K training photographs than
      to any of the K strangers, 0.5 where nobody is reproduced.
    """
    found = {}
    for name, points in (('sample', samples), ('stranger', strangers)):
        nearest = (points @ training.T).max(axis=1)
        for quantile in (50, 99, 100):
            found[f'{name}_{quantile}'] = float(np.percentile(nearest, quantile))
    count = min(len(training), len(strangers))
    to_training = (samples @ training[:count].T).max(axis=1)
    to_strangers = (samples @ strangers[:count].T).max(axis=1)
    found['nearer_to_training'] = float((to_training > to_strangers).mean())
    return found


def main() -> None:
    """Prints a line for each generator and backbone, as JSON."""
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument('--generators', default='', help='separated by commas')
    flags.add_argument('--faces', required=True, help='what they were trained on')
    flags.add_argument('--strangers', required=True, help='faces of nobody among them')
    flags.add_argument('--backbones', required=True, help='separated by commas')
    flags.add_argument('--samples', type=int, default=2048)
    flags.add_argument('--seed', type=int, default=0)
    given = flags.parse_args()
    training, strangers = open_faces(given.faces), open_faces(given.strangers)
    shared = set(training.identities) & set(strangers.identities)
    assert not shared, f'{sorted(shared)[:3]} are in both'
    for source in given.backbones.split(','):
        target = open_target(source)

        def embedded(faces, target=target):
            found = measurements.measure(target, faces, label='embedding').embeddings
            return found / np.linalg.norm(found, axis=1, keepdims=True)

        trained_on, others = embedded(training), embedded(strangers)
        draw = np.random.default_rng(given.seed)
        people = one_each(training.identities, draw)
        apart = others[one_each(strangers.identities, draw)]
        some = draw.permutation(len(training))[: given.samples]
        half = len(people) // 2
        row = {
            'generator': 'photographs',
            'backbone': target.name,
            'samples': half,
            'frechet': realism.frechet_distance(
                trained_on[people[:half]], trained_on[people[half:]]
            ),
            **realism.coverage(trained_on[people[:half]], trained_on[people[half:]]),
            **nearness(trained_on[people[half:]], trained_on[people[:half]], apart),
        }
        print(json.dumps(row), flush=True)
        for name in given.generators.split(',') if given.generators else ():
            samples = embedded(drawn(open_generator(name), given.samples, given.seed))
            row = {
                'generator': name,
                'backbone': target.name,
                'samples': given.samples,
                'frechet': realism.frechet_distance(trained_on[some], samples),
                **realism.coverage(trained_on[some], samples),
                **nearness(samples, trained_on[people], apart),
            }
            print(json.dumps(row), flush=True)


if __name__ == '__main__':
    main()
