"""Searches from templates side by side: `python -m tests.auditing.reconstruction_table`.

  python -m tests.auditing.reconstruction_table --target=demo_easy --generator=demo_generator \\
      --evaluators=demo_evaluator --faces=procedural:easy,images=5,seed=11,people=160,first=9000 \\
      --searches="steps=0;candidates=4,steps=15;candidates=1,steps=60"

One photograph of each person in the first half of the faces is the template; the evaluators compare with
the other photographs, in the gallery of that half. Prints for each search top-1, top-5 and SAR at each
false match rate, with 95 % intervals, and how much each differs from the first search, on the same
people. Several evaluators must agree in the last rows. With --out the figures are kept as JSON.
docs/results/inversion.md has the results.
"""

import argparse
import dataclasses
import json
import pathlib

import numpy as np
from scipy import stats

from fr_inference import rng
from fr_inference.config import Search
from fr_inference.data import sources
from fr_inference.data.faces import from_arrays
from fr_inference.inversion import goals, judge, search, subject
from fr_inference.measuring import measurements
from fr_inference.membership import controls
from fr_inference.metrics import intervals
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

_REPLICATES = 2000


def parsed(text: str) -> list[tuple[str, Search]]:
    """Returns the searches that a text names: (label, options), one reconstruction for each template.

    >>> [(label, how.steps) for label, how in parsed('steps=0;candidates=1,steps=60')]
    [('steps=0', 0), ('candidates=1,steps=60', 60)]
    """
    defaults = {field.name: field.default for field in dataclasses.fields(Search)}
    read = {int: int, float: float}
    plain = {'candidates': 4, 'steps': 30, 'pictures': 2, 'keep': 1, 'apart': 1.0}
    found = []
    for label in text.split(';'):
        pairs = [part.split('=') for part in label.split(',')]
        given = {name: read.get(type(defaults[name]), str)(value) for name, value in pairs}
        found.append((label, Search(**(plain | given))))
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class People:
    """Who is reconstructed, and who they are compared with.

    Attributes:
      templates: [P] row of each template among the images.
      galleries: of each evaluator, the P people by their other photographs and P others.
    """

    templates: np.ndarray
    galleries: dict[str, judge.Gallery]


def people(names: np.ndarray, embeddings: dict[str, np.ndarray], *, seed: int) -> People:
    """Takes one photograph of each person in the first half; the others make the galleries.

    Args:
      names: [N] identities; each has two or more images.
      embeddings: evaluator -> [N, D].
      seed: of the galleries.
    """
    order = list(dict.fromkeys(names.tolist()))
    half = order[: len(order) // 2]
    templates = np.array([int(np.flatnonzero(names == name)[0]) for name in half])
    others = np.setdiff1d(np.arange(len(names)), templates)
    member = np.isin(names[others], half)
    made = {
        name: judge.gallery(values[others], names[others].tolist(), member, seed=seed)
        for name, values in embeddings.items()
    }
    return People(templates=templates, galleries=made)


def shown(
    found: dict[str, np.ndarray], claimed: list[str], galleries: dict[str, judge.Gallery]
) -> dict[str, np.ndarray]:
    """Returns 'evaluator: figure' -> [P] bool, and with several evaluators 'all: figure'.

    Args:
      found: evaluator -> [P, D] embeddings of the reconstructions.
      claimed: name of each.
      galleries: of the evaluators.
    """
    rows: dict[str, dict[str, np.ndarray]] = {}
    for name, gallery in galleries.items():
        place = {person: row for row, person in enumerate(gallery.names)}
        claims = np.array([place[person] for person in claimed])
        judged = judge.judge(found[name], gallery, claims)
        rows[name] = {'top-1': judged.rank == 0, 'top-5': judged.rank < 5}
        for rate, passed in judge.accepted(judged, gallery).items():
            if passed is not None:
                rows[name][f'SAR at FMR {100 * rate:g} %'] = passed
    if len(rows) > 1:
        common = set.intersection(*(set(one) for one in rows.values()))
        first = next(iter(rows.values()))
        rows['all'] = {
            figure: np.all([one[figure] for one in rows.values()], axis=0)
            for figure in first
            if figure in common
        }
    return {f'{name}: {figure}': hit for name, one in rows.items() for figure, hit in one.items()}


def share(hit: np.ndarray) -> list[int]:
    """Returns a share of people with Wilson's interval, in percent.

    >>> share(np.arange(10) < 5)
    [50, 24, 76]
    """
    value = float(hit.mean())
    return [round(100 * one) for one in (value, *intervals.wilson(value, len(hit)))]


def difference(hit: np.ndarray, other: np.ndarray, *, seed: int) -> tuple[list[int], float]:
    """Returns how many points more people are hit than by another search, with its interval, and p.

    The interval resamples the people; p is that of the exact sign test, one-sided, of the people whom
    one search alone hits.
    """
    paired = hit.astype(float) - other
    draw = rng.numpy_generator(seed, 'difference').integers(
        len(paired), size=(_REPLICATES, len(paired))
    )
    low, high = np.percentile(paired[draw].mean(1), [2.5, 97.5])
    wins, losses = int((paired > 0).sum()), int((paired < 0).sum())
    p = stats.binomtest(wins, wins + losses, alternative='greater').pvalue if wins + losses else 1.0
    return [round(100 * one) for one in (paired.mean(), low, high)], float(f'{p:.2g}')


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument('--target', required=True)
    flags.add_argument('--generator', required=True)
    flags.add_argument('--evaluators', required=True, help='separated by commas')
    flags.add_argument('--faces', required=True)
    flags.add_argument('--searches', required=True, help='separated by semicolons')
    flags.add_argument('--templates', type=int, help='that many, drawn by the seed; all by default')
    flags.add_argument(
        '--untrained', action='store_true', help='with random weights in the target, as a control'
    )
    flags.add_argument('--seed', type=int, default=0)
    flags.add_argument('--out', type=pathlib.Path, help='a JSON file')
    given = flags.parse_args()
    target, generator = open_target(given.target), open_generator(given.generator)
    evaluators = {name: open_target(name) for name in given.evaluators.split(',')}
    for evaluator in evaluators.values():
        judge.check_evaluator(evaluator, target)
    faces = sources.open_faces(given.faces, 'faces')
    if given.untrained:
        target = controls.blind_target(target, faces, seed=given.seed)
    seen = {name: measurements.measure(one, faces) for name, one in evaluators.items()}
    in_target = measurements.measure(target, faces)
    names = np.array(in_target.identities)
    who = people(names, {name: one.embeddings for name, one in seen.items()}, seed=given.seed)
    chosen = rng.numpy_generator(given.seed, 'templates').permutation(who.templates)
    templates = np.sort(chosen[: given.templates])
    first, kept = None, {}
    for label, how in parsed(given.searches):
        goal = goals.templates(
            in_target.embeddings[templates], strength=how.strength, prior=how.prior
        )
        made = subject.prepare(target, generator, how, seed=given.seed)
        found = search.run(made, goal, how)
        images = from_arrays(found.images, range(len(found.images)), 'reconstructions')
        judged = {
            name: measurements.measure(one, images).embeddings for name, one in evaluators.items()
        }
        rows = shown(judged, names[templates].tolist(), who.galleries)
        cosine = float((found.embeddings * goal.wanted).sum(1).mean())
        print(
            f'{label}: {how.candidates * how.steps} candidate-steps for each of {len(goal.wanted)} '
            f'templates, {found.rate or 0:.1f} a second; cosine with the template {cosine:.3f}'
        )
        kept[label] = {'cosine': round(cosine, 3)}
        for row, hit in rows.items():
            kept[label][row] = found_share = share(hit)
            text = '{} ({} to {})'.format(*found_share)
            if first:
                more, p = difference(hit, first[row], seed=given.seed)
                kept[label] |= {f'{row}, change': more, f'{row}, p': p}
                text += ' {:+d} ({:+d} to {:+d}), p = {}'.format(*more, p)
            print(f'  {row:40s} {text}', flush=True)
        first = first or rows
    if given.out is not None:
        given.out.write_text(json.dumps(kept, indent=1) + '\n')


if __name__ == '__main__':
    main()
