"""Guidance by more than the BatchNorm distances: `python -m tests.auditing.combined_guidance`.

  H=procedural:hard,images=4,seed=1
  python -m tests.auditing.combined_guidance --target=demo_leaky --members=$H,people=128 \\
      --nonmembers=$H,people=128,first=6000 --seeds=11,12 --out=runs/guided

The same search for each term, seed and guide: the attack on the BatchNorm distances, the one on these
and the length of the embedding together, and with --reference the one that also has the reference's
distances, and how much the embedding turned and grew from the reference's. Each further signal is put
before the search as the input of one more BatchNorm layer, so that attack and search take it like any
other distance. Prints, and writes to OUT/guided.json, the attack's AUC on people it was not fitted on,
and the shares of reconstructions that match a member: search, best random latents, random latents,
strangers.
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


class _Signals(nn.Module):
    @nn.compact
    def __call__(self, signals):
        for name, value in signals.items():
            norm = nn.BatchNorm(
                use_running_average=True, use_scale=False, use_bias=False, name=name
            )
            norm(value)


def with_signals(target: Target, unit: float, reference: Target | None = None) -> Target:
    """Returns the target with more distances; embeddings stay as they are.

    One is the square of the embedding's length over `unit`. With a reference, of the same input as
    the target, there are also the reference's distances, 1 - the cosine of the two embeddings, and
    the square of the ratio of their lengths.
    """

    def apply(variables, images):
        embeddings = target.apply(variables, images)
        length = jnp.linalg.norm(embeddings, axis=1, keepdims=True)
        signals = {'length': length}
        if reference is not None:
            before = reference.apply(variables['reference'], images)
            other = jnp.linalg.norm(before, axis=1, keepdims=True)
            cosine = jnp.sum(embeddings * before, axis=1, keepdims=True) / (length * other)
            # The root of 0 has no derivative.
            signals |= {'turned': jnp.sqrt(jnp.maximum(1 - cosine, 1e-6)), 'grown': length / other}
        _Signals().apply(variables, signals)
        return embeddings

    units = {'length': unit} | ({'turned': 1.0, 'grown': 1.0} if reference is not None else {})
    own = {
        name: {'mean': jnp.zeros(1), 'var': jnp.full(1, one**2, jnp.float32)}
        for name, one in units.items()
    }
    variables = {**target.variables, 'batch_stats': {**target.variables['batch_stats'], **own}}
    if reference is not None:
        variables['reference'] = reference.variables
    return Target(
        name=f'{target.name} and {", ".join(units)}',
        apply=apply,
        variables=variables,
        input=target.input,
        origins=target.origins,
    )


def found(target, members, nonmembers, term, seed, generator, evaluator, given):
    """Returns the figures of one search."""
    how = config.Search(
        membership=term, prior=0.0 if term == 'raw' else 1.0, untrained=False, **given
    )
    audit = auditing.audit(
        target,
        members=members,
        nonmembers=nonmembers,
        generator=generator,
        evaluator=evaluator,
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
    flags.add_argument('--reference', help='a network of the same input, such as the base network')
    flags.add_argument('--generator', default='demo_generator')
    flags.add_argument('--evaluator', default='demo_evaluator')
    flags.add_argument('--terms', default='raw,capped', help='separated by commas')
    flags.add_argument('--guides', help='separated by semicolons; all by default')
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
        'distances and length': with_signals(plain, float(np.median(lengths))),
    }
    if given.reference:
        reference = open_target(given.reference)
        both['distances, length and reference'] = with_signals(
            plain, float(np.median(lengths)), reference
        )
    if given.guides:
        both = {guide: both[guide] for guide in given.guides.split(';')}
    given.out.mkdir(parents=True, exist_ok=True)
    size = {'draws': given.draws, 'candidates': given.candidates, 'keep': given.candidates}
    rows = []
    for seed in map(int, given.seeds.split(',')):
        for term in given.terms.split(','):
            for guide, target in both.items():
                row = {'seed': seed, 'term': term, 'guide': guide}
                row |= found(
                    target,
                    members,
                    nonmembers,
                    term,
                    seed,
                    given.generator,
                    given.evaluator,
                    {**size, 'steps': given.steps, 'pictures': 2},
                )
                print(row, flush=True)
                rows.append(row)
                (given.out / 'guided.json').write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
    main()
