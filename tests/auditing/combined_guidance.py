"""Guidance by more than the BatchNorm distances: `python -m tests.auditing.combined_guidance`.

  H=procedural:hard,images=4,seed=1
  python -m tests.auditing.combined_guidance --target=demo_leaky --members=$H,people=128 \\
      --nonmembers=$H,people=128,first=6000 --seeds=11,12 --out=runs/guided

The same search twice for each term and seed: guided by the attack on the BatchNorm distances, and by the
one on these and the length of the embedding together. The length is put before the search as the input
of one more BatchNorm layer, so that attack and search take it like any other distance. Prints, and
writes to OUT/guided.json, the attack's AUC on people it was not fitted on, and the shares of
reconstructions that match a member: search, best random latents, random latents, strangers.
"""

import argparse
import dataclasses
import json
import pathlib

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from fr_inference import auditing, config
from fr_inference.data import sources
from fr_inference.measuring import measurements
from fr_inference.models.target import Target
from fr_inference.weights.targets import open_target

TERMS = ('raw', 'capped')


class _Length(nn.Module):
    @nn.compact
    def __call__(self, lengths):
        norm = nn.BatchNorm(
            use_running_average=True, use_scale=False, use_bias=False, name='length'
        )
        return norm(lengths)


def with_length(target: Target, unit: float) -> Target:
    """Returns the target with one more distance: the square of the embedding's length over `unit`.

    Embeddings stay as they are.
    """

    def apply(variables, images):
        embeddings = target.apply(variables, images)
        _Length().apply(variables, jnp.linalg.norm(embeddings, axis=1, keepdims=True))
        return embeddings

    own = {'mean': jnp.zeros(1), 'var': jnp.full(1, unit**2, jnp.float32)}
    statistics = {**target.variables['batch_stats'], 'length': own}
    return Target(
        name=f'{target.name} and length',
        apply=apply,
        variables={**target.variables, 'batch_stats': statistics},
        input=target.input,
        origins=target.origins,
    )


def found(target, members, nonmembers, term, seed, given):
    """Returns the figures of one search."""
    how = config.Search(
        membership=term, prior=0.0 if term == 'raw' else 1.0, untrained=False, **given
    )
    audit = auditing.audit(
        target,
        members=members,
        nonmembers=nonmembers,
        generator='demo_generator',
        evaluator='demo_evaluator',
        settings=config.Settings(seed=seed, attacks=('bn-distance',)),
        search=how,
    )
    record = audit.record['inversion']
    controls = {name: one['hit_rate'] for name, one in record['controls'].items() if one}
    return {
        'auc': audit.comparisons[0].figures['auc'],
        'search': [record['hit_rate'], *record['hit_rate_ci95']],
        'p': record['p_value'],
        'people': record['distinct_identities'],
        'logit': record['median_logit'],
        "members' logit": record['members_median_logit'],
        **controls,
    }


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ('target', 'members', 'nonmembers', 'seeds'):
        flags.add_argument(f'--{name}', required=True)
    flags.add_argument('--draws', type=int, default=2048)
    flags.add_argument('--candidates', type=int, default=64)
    flags.add_argument('--steps', type=int, default=20)
    flags.add_argument('--out', type=pathlib.Path, required=True)
    given = flags.parse_args()
    plain = open_target(given.target)
    members = sources.open_faces(given.members, 'members')
    nonmembers = sources.open_faces(given.nonmembers, 'nonmembers')
    lengths = np.linalg.norm(measurements.measure(plain, nonmembers).embeddings, axis=1)
    both = {
        'distances': dataclasses.replace(plain, recipe=None),
        'distances and length': with_length(plain, float(np.median(lengths))),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    size = {'draws': given.draws, 'candidates': given.candidates, 'keep': given.candidates}
    rows = []
    for seed in map(int, given.seeds.split(',')):
        for term in TERMS:
            for guide, target in both.items():
                row = {'seed': seed, 'term': term, 'guide': guide}
                row |= found(
                    target,
                    members,
                    nonmembers,
                    term,
                    seed,
                    {**size, 'steps': given.steps, 'pictures': 2},
                )
                print(row, flush=True)
                rows.append(row)
                (given.out / 'guided.json').write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
    main()
