"""Searches from templates by two states of the code: `python -m tests.auditing.search_efficiency`.

  git worktree add runs/before cbb879a
  python -m tests.auditing.search_efficiency --checkouts=runs/before,. --target=demo_easy \\
      --generator=demo_generator --evaluator=demo_evaluator \\
      --faces=procedural:easy,images=5,seed=11,people=48,first=9000 --steps=5,15,60 --out=runs/efficiency

One photograph of each person, or of --templates of them, is a template, and one candidate is searched
for each. Prints, and writes to OUT/efficiency.json, which of these people the evaluator finds first
among all by their other photographs, after each number of steps, and candidate-steps per second, of the
checkouts in turn: the median of the rounds with compiled programs. Each search runs in a process of its
own, so that checkouts do not mix.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np


def searched(given: argparse.Namespace) -> dict:
    """Returns what one search of this process's checkout finds."""
    from fr_inference.config import Search
    from fr_inference.data import sources
    from fr_inference.data.faces import from_arrays
    from fr_inference.inversion import goals, search, subject
    from fr_inference.measuring import measurements
    from fr_inference.weights.generators import open_generator
    from fr_inference.weights.targets import open_target

    target, generator = open_target(given.target), open_generator(given.generator)
    evaluator = open_target(given.evaluator)
    faces = sources.open_faces(given.faces, 'faces')
    names = np.array(faces.identities)
    people, rows = np.unique(names, return_index=True)
    chosen = np.arange(len(people))
    if given.templates:
        chosen = np.random.default_rng(given.seed).permutation(chosen)[: given.templates]
    seen = measurements.measure(evaluator, faces).embeddings
    wanted = measurements.measure(target, faces).embeddings[rows[chosen]]
    how = Search(
        draws=given.draws, candidates=1, keep=1, apart=1.0, steps=int(given.steps), pictures=2
    )
    goal = goals.templates(wanted, strength=how.strength, prior=how.prior)
    made = subject.prepare(target, generator, how, seed=given.seed)
    runs = [search.run(made, goal, how) for _ in range(1 + given.rounds)]
    found = runs[0]
    images = from_arrays(found.images, range(len(found.images)), 'reconstructions')
    others = np.setdiff1d(np.arange(len(names)), rows)
    centres = np.stack([seen[others[names[others] == name]].mean(0) for name in people])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    nearest = (measurements.measure(evaluator, images).embeddings @ centres.T).argmax(1)
    return {
        'steps': how.steps,
        'cosine': float((found.embeddings * goal.wanted).sum(1).mean()),
        'first': (nearest == chosen).astype(int).tolist(),
        'gallery': len(people),
        'rates': [run.rate for run in runs[1:]],
    }


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ('target', 'generator', 'evaluator', 'faces'):
        flags.add_argument(f'--{name}', required=True)
    flags.add_argument('--checkouts', default='.', help='folders, separated by commas')
    flags.add_argument('--steps', required=True, help='separated by commas')
    flags.add_argument('--draws', type=int, default=4096)
    flags.add_argument('--templates', type=int, help='how many of the people, drawn by the seed')
    flags.add_argument('--rounds', type=int, default=0, help='timed ones after the first')
    flags.add_argument('--seed', type=int, default=0)
    flags.add_argument('--out', type=pathlib.Path)
    flags.add_argument('--worker', action='store_true', help='one search in this process')
    given = flags.parse_args()
    if given.worker:
        print(json.dumps(searched(given)))
        return
    if given.out is None:
        flags.error('--out: a folder is needed')
    given.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for steps in given.steps.split(','):
        for checkout in given.checkouts.split(','):
            row = {'checkout': checkout, **_elsewhere(checkout, steps)}
            rates = [rate for rate in row['rates'] if rate]
            speed = f', {np.median(rates):.1f} candidate-steps/s' if rates else ''
            print(
                f'{checkout}: {steps} steps, cosine {row["cosine"]:.3f}, found first among '
                f'{row["gallery"]}: {sum(row["first"])} of {len(row["first"])}{speed}',
                flush=True,
            )
            rows.append(row)
            (given.out / 'efficiency.json').write_text(json.dumps(rows, indent=1) + '\n')


def _elsewhere(checkout, steps):
    """This file, run with another checkout's package."""
    own = [argument for argument in sys.argv[1:] if not argument.startswith('--steps')]
    done = subprocess.run(
        [sys.executable, '-P', __file__, *own, f'--steps={steps}', '--worker'],
        env={**os.environ, 'PYTHONPATH': str(pathlib.Path(checkout).resolve())},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == '__main__':
    main()
