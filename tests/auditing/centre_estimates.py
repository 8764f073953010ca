"""Would mixtures, statistics or a shadow's known centres give better class centres? Tried and left out.

  python -m tests.auditing.centre_estimates --recipe=arcface --seeds=7,8,11 --shadow=0 --out=runs/centres

Compares `inversion.centres` with von Mises-Fisher mixtures that start at its estimates, with estimates
moved to the mean and variance that the last BatchNorm layer gives embeddings in training, and with an
order of them that is learned on a shadow, whose centres are known. Trainings are kept in OUT, and the
figures in OUT/centres.json. True centres are means of the members' unit embeddings.
docs/results/inversion.md has the results.
"""

import argparse
import json
import pathlib
from typing import NamedTuple

import numpy as np
from scipy import special
from sklearn.linear_model import Ridge

from fr_inference.config import Recipe
from fr_inference.data import sources
from fr_inference.inversion import centres, judge
from fr_inference.measuring import measurements
from fr_inference.models.target import InputSpec
from fr_inference.training import recognizer

RECIPES = {
    'arcface': {'margin': 'arcface', 'weight_decay': 0.0005},
    'cosface': {'margin': 'cosface', 'm3': 0.6, 'weight_decay': 0.005},
}
PEOPLE, STRANGERS, FOUND = 32, 16_384, 0.9  # a centre is found at this cosine


class Measured(NamedTuple):
    """What is known of a target, and what is sought.

    Attributes:
      strangers: [N, D] embeddings.
      mean: [D] of the embeddings of training batches, from the last BatchNorm layer.
      deviation: [D] standard deviation of these.
      centres: [PEOPLE, D] the true ones.
    """

    strangers: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    centres: np.ndarray


def embedded(out, name, seed):
    """Trains a target, or opens it, and measures it."""
    saved = out / f'{name}-{seed}-{STRANGERS}.npz'
    if not saved.exists():
        shape = {'depths': [1, 1, 1, 1], 'width': 20, 'embedding': 64}
        start = recognizer.fresh_target('iresnet18', shape, InputSpec(height=32, width=32), seed)
        recipe = Recipe(**RECIPES[name], scale=16.0, epochs=120, mirror=False, seed=seed)
        faces = f'procedural:easy,seed={seed}'
        members = sources.open_faces(f'{faces},images=16,people={PEOPLE}')
        others = sources.open_faces(f'{faces},images=1,people={STRANGERS},first=5000')
        target = recognizer.train(recipe, start, members, workdir=out / f'{name}-{seed}')
        seen = judge.unit(measurements.measure(target, members).embeddings)
        last = target.variables['params']['features']
        np.savez(
            saved,
            strangers=measurements.measure(target, others).embeddings,
            mean=last['bias'],
            deviation=last['scale'],
            centres=judge.unit(seen.reshape(PEOPLE, 16, -1).mean(1)),
        )
    with np.load(saved) as kept:
        return Measured(**{field: np.float64(kept[field]) for field in Measured._fields})


def held(values, mean, deviation, *, share=1.0):
    """Returns values [N, D] moved so that their mean becomes `mean`, by a share of the way.

    With a `deviation` they are also stretched to have it.
    """
    own = values.mean(0)
    around = values - own
    if deviation is not None:
        around = around * np.abs(deviation) / values.std(0)
    return around + own + share * (mean - own)


def log_normaliser(kappa, width):
    bessel = np.log(special.ive(width / 2 - 1, kappa)) + kappa
    return (width / 2 - 1) * np.log(kappa) - width / 2 * np.log(2 * np.pi) - bessel


def _concentrations(lengths, width, least):
    """The likeliest concentrations, up to 10,000, for means of these lengths, by bisection."""
    low, high = np.full(lengths.shape, least), np.full(lengths.shape, 1e4)
    for _ in range(50):
        middle = np.sqrt(low * high)
        below = special.ive(width / 2, middle) / special.ive(width / 2 - 1, middle) < lengths
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.sqrt(low * high)


def em_step(unit, means, kappas, weights, least):
    """Returns the next means, concentrations, weights (last: the background's), and the likelihood."""
    width = unit.shape[1]
    uniform = special.gammaln(width / 2) - np.log(2) - width / 2 * np.log(np.pi)
    logs = unit @ means.T * kappas + log_normaliser(kappas, width)
    with np.errstate(divide='ignore'):
        logs = np.column_stack([logs, np.full(len(unit), uniform)]) + np.log(weights)
    total = special.logsumexp(logs, axis=1, keepdims=True)
    shares = np.exp(logs - total)
    sums = shares[:, :-1].T @ unit
    lengths = np.linalg.norm(sums, axis=1) / np.maximum(shares[:, :-1].sum(0), 1e-12)
    return judge.unit(sums), _concentrations(lengths, width, least), shares.mean(0), total.mean()


def mixture(unit, means, *, least=1.0, steps=60, background=True):
    """Returns the means after EM; concentrations start at 100, or at the smallest one."""
    weights = np.array([1.0] * len(means) + [float(background)])
    found = means, np.full(len(means), max(least, 100.0)), weights / weights.sum()
    for _ in range(steps):
        *found, _ = em_step(unit, *found, least)
    return found[0]


def candidates(unit):
    """Returns [M, D] estimates of every start, and [M, F] their properties: first today's order."""
    runs = [centres._sources(unit, PEOPLE, start) for start in range(centres._STARTS)]
    found = np.concatenate([centres._farthest(unit, one) for one in runs if one is not None])
    directions = judge.unit(found)
    cosines, alike = unit @ directions.T, directions @ directions.T
    standard = (cosines - cosines.mean(0)) / cosines.std(0)
    farthest = np.sort(cosines, axis=0)[::-1]
    kernel = np.exp(100 * (cosines - 1))
    moved = judge.unit(kernel.T @ unit)  # by a step of EM, about
    columns = [np.linalg.norm(found, axis=1), (standard**3).mean(0), np.log((standard**4).mean(0))]
    columns += [farthest[:number].mean(0) for number in (16, 64)]
    columns += [np.log((cosines > near).mean(0) + 1e-4) for near in (0.7, 0.8)]
    columns += [(alike > near).sum(1) for near in (0.95, 0.98)]  # in how many starts it is found
    nearest = np.where(alike < 0.8, alike, -1).max(1)  # of the different estimates
    columns += [nearest, (moved * directions).sum(1), np.log(kernel.mean(0))]
    properties = np.stack(columns, axis=1)
    return directions, (properties - properties.mean(0)) / (properties.std(0) + 1e-9)


def choose(directions, score):
    """Returns the best estimates of which no two are alike, as `centres.estimate` chooses them."""
    order, kept = np.argsort(-score, kind='stable'), []
    for row in order:
        if not kept or (directions[kept] @ directions[row]).max() <= centres._APART:
            kept.append(row)
    return directions[[*kept, *(row for row in order if row not in kept)][:PEOPLE]]


def figures(found, true):
    """Returns the median cosine of the nearest estimate, centres found, precision of the first."""
    cosines = found @ true.T
    precision = [(cosines[:keep].max(1) > FOUND).mean() for keep in (16, 24, 32)]
    found = [np.median(cosines.max(0)), (cosines.max(0) > FOUND).sum(), *precision]
    return [float(value) for value in found]


def compared(target, shadow):
    """Returns variant -> figures."""
    unit, true = judge.unit(target.strangers), target.centres
    today = np.float64(centres.estimate(unit, PEOPLE, seed=0))
    # Unit embeddings have the statistics divided by the usual length.
    length = np.sqrt(np.sum(target.mean**2 + target.deviation**2))
    mean, deviation = target.mean / length, target.deviation / length
    scaled = judge.unit(held(target.strangers, target.mean, target.deviation))
    directions, properties = candidates(judge.unit(shadow.strangers))
    model = Ridge(100.0).fit(properties, (directions @ shadow.centres.T).max(1))
    directions, properties = candidates(unit)
    found = {
        'as it is': today,
        'mixture with a uniform background': mixture(unit, today),
        'mixture without': mixture(unit, today, background=False),
        'with it, concentrations of 400 or more': mixture(unit, today, least=400.0),
        'with it, 800 or more, one step': mixture(unit, today, least=800.0, steps=1),
        'with it, from the true centres': mixture(unit, true),
        'moved a quarter of the way to the mean': held(today, mean, None, share=0.25),
        'moved half of the way': held(today, mean, None, share=0.5),
        'moved all of the way': held(today, mean, None),
        'moved and stretched': held(today, mean, deviation),
        'from strangers moved and stretched': centres.estimate(scaled, PEOPLE, seed=0),
        "the shadow's order": choose(directions, model.predict(properties)),
        'ordered by the true centres': choose(directions, (directions @ true.T).max(1)),
    }
    return {name: figures(judge.unit(one), true) for name, one in found.items()}


def main():
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ('recipe', 'seeds', 'shadow', 'out'):
        flags.add_argument(f'--{name}', required=True)
    given = flags.parse_args()
    out = pathlib.Path(given.out)
    shadow, *targets = (
        embedded(out, given.recipe, int(seed)) for seed in (given.shadow, *given.seeds.split(','))
    )
    rows = [compared(one, shadow) for one in targets]
    kept = dict(zip(given.seeds.split(','), rows, strict=True))
    (out / 'centres.json').write_text(json.dumps(kept, indent=1) + '\n')
    print('| | median cosine | found, of 32 | right of the first 16 | 24 | 32 |')
    print('|---' * 6 + '|')
    for name in rows[0]:
        cells = ['; '.join(f'{row[name][one]:.3g}' for row in rows) for one in range(5)]
        print(f'| {name} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
