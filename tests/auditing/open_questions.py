"""Questions that the paper leaves open, each one command: `python -m tests.auditing.open_questions`.

  python -m tests.auditing.open_questions --question=margins --out=runs/questions

margins, norms: what leaks by the margin of training, and by its normalisation. perturbation: by noise on
the embeddings that are answered. private: by the epsilon of a private fine-tuning. size, epochs: by how
many people a backbone is trained on, and how long. guidance: how good reconstructions are, by the
strength of the guidance.

Every seed has a backbone and people of its own. Trainings are kept in OUT and gone on with. Writes
OUT/QUESTION.json and OUT/QUESTION.svg, and prints a table: the mean of the seeds, in brackets the least
and the largest. docs/results/open-questions.md has the results.
"""

import argparse
import functools
import json
import pathlib

import numpy as np
from matplotlib.figure import Figure

from fr_inference import auditing, config
from fr_inference.batch.leak_curve import LeakCurve
from fr_inference.config import Recipe
from fr_inference.data import sources
from fr_inference.defending import defences
from fr_inference.measuring import measurements
from fr_inference.membership import comparing, study
from fr_inference.membership.views import measure_views
from fr_inference.metrics import verification
from fr_inference.models.target import InputSpec
from fr_inference.opening import open_inputs
from fr_inference.report import who_learns
from fr_inference.report.svg import COLOUR, WIDTH, alone, styled
from fr_inference.training import recognizer

EPOCHS = 30
PEOPLE = 128
STRENGTHS = (0.0, 0.1, 1.0, 10.0)
NOISES = ('0', '0.3', '1', '2', '4')
EPSILONS = (64.0, 8.0, 1.0)
PUBLIC = 512  # people
SIZES = (32, 128, 512, 2048)
RIGHT = 0.62
"""Verification at which sizes are compared, chosen on seed 0."""

TITLES = {
    'file': 'leak to whoever holds the file (AUC)',
    'answers': 'leak to whoever receives embeddings (AUC)',
    'people': 'leak by several embeddings of a person (AUC)',
    'leak': 'leak by bn-distance (AUC)',
    'equal': f'leak where {100 * RIGHT:.0f} % are right (AUC)',
    'verification': 'verification of strangers (share right)',
    'hits': 'reconstructions that match a member (share)',
    'realism': 'reconstructions near photographs of members (share)',
}


def drawn(first, count):
    """Returns drawn people, four images each."""
    return sources.open_faces(f'procedural:hard,images=4,seed=1,people={count},first={first}')


def members(seed, count=PEOPLE):
    return drawn(100_000 * (seed + 1), count)


def strangers(seed):
    return drawn(100_000 * (seed + 1) + 50_000, PEOPLE)


def public(seed):
    return drawn(100_000 * (seed + 1) + 60_000, PUBLIC)


def recipe_of(seed, **options):
    plain = {'margin': 'arcface', 'scale': 16.0, 'mirror': False, 'weight_decay': 0.0}
    return Recipe(**{**plain, 'epochs': EPOCHS, 'seed': seed, **options})


def fresh(seed, norm):
    shape = {'depths': [1, 1, 1, 1], 'width': 10, 'embedding': 32, 'norm': norm}
    return recognizer.fresh_target('iresnet18', shape, InputSpec(height=32, width=32), seed)


def trained(out, seed, *, norm='batch', margin='arcface', count=PEOPLE, audits=None, rate=0.1):
    """Returns a backbone that was trained on the seed's members."""
    recipe = recipe_of(seed, margin=margin, learning_rate=rate)
    name = f'{norm}-{margin}-{count}-{seed}' + f'-{rate:g}' * (rate != Recipe.learning_rate)
    return _train(out / 'trained' / name, recipe, fresh(seed, norm), members(seed, count), audits)


def _train(folder, recipe, start, faces, audits=None):
    print(f'{folder.name} ...', flush=True)
    return recognizer.train(recipe, start, faces, workdir=folder, audits=audits)


def attacked(target, seed):
    """Returns panel -> a comparison that stands for an access or for people, or a verification."""
    settings = config.Settings(seed=seed)
    faces = {'members': members(seed), 'nonmembers': strangers(seed)}
    views = measure_views(target, faces, settings=settings, features=study.features_of(settings))
    found = study.run(views, {}, settings=settings).comparisons
    panels = {
        access: who_learns.fixed_for(found, access, False, 'partial')
        for access in ('file', 'answers')
    }
    others = measurements.select(views.in_target, ~views.in_target.member)
    panels['people'] = who_learns.fixed_for(found, 'answers', False, 'partial', unit='person')
    panels['verification'] = verification.of_people(others.embeddings, others.identities, seed=seed)
    return {name: one for name, one in panels.items() if one is not None}


def rows_of(several, seed):
    """Returns a row for each variant; leaks also less that of the first variant, on the same people."""
    first, rows = next(iter(several.values())), []
    for variant, panels in several.items():
        row = {'variant': variant, 'seed': seed}
        for name, one in panels.items():
            if name == 'verification':
                row[name] = [one['accuracy'], *one['accuracy_ci95']]
                continue
            row[name] = [one.figures['auc'], *one.figures['auc_ci95']]
            row[f'{name} kind'] = one.kind
            if name in first and panels is not first:
                change = comparing.excess(
                    one.scored, first[name].scored, seed=seed, replicates=1000
                )
                row[f'{name} change'] = [change['auc'], *change['auc_ci95']]
        rows.append(row)
    return rows


def margins(out, seed):
    names = ('arcface', 'cosface', 'sphereface')
    return rows_of({one: attacked(trained(out, seed, margin=one), seed) for one in names}, seed)


def norms(out, seed, rate=0.1):
    """Without BatchNorm there are no statistics: the file shows no more than embeddings do."""
    names = ('batch', 'group', 'layer', 'instance')
    made = {one: trained(out, seed, norm=one, rate=rate) for one in names}
    rows = rows_of({one: attacked(target, seed) for one, target in made.items()}, seed)
    for row in rows:
        row['fitted'] = made[row['variant']].recipe['accuracy']
    return rows


def slow_norms(out, seed):
    """With a learning rate at which all four learn their training images."""
    return norms(out, seed, rate=0.01)


def private(out, seed, rates=(0.03, 0.003), epsilons=EPSILONS):
    """Fine-tuned on the members from a backbone of other, public people, with and without privacy."""
    before, rate = rates
    known = f'-{rate:g}' * (rates != (0.03, 0.003))
    recipe = recipe_of(seed, learning_rate=before, epochs=20)
    folder = out / 'trained' / f'public-{seed}{known}'
    made = {None: _train(folder, recipe, fresh(seed, 'group'), public(seed))}
    for epsilon in (0.0, *epsilons):
        recipe = recipe_of(seed, learning_rate=rate, epochs=20, epsilon=epsilon or None)
        folder = out / 'trained' / f'{_privacy(epsilon)}-{seed}{known}'
        made[epsilon] = _train(folder, recipe, made[None], members(seed))
    made = {0.0: made.pop(0.0), **made}  # what others are compared with
    rows = rows_of({_privacy(one): attacked(target, seed) for one, target in made.items()}, seed)
    for row, target in zip(rows, made.values(), strict=True):
        row['fitted'] = target.recipe['accuracy']  # with privacy None: it would not be private
    return rows


def private_learned(out, seed):
    """At rates at which the public backbone and the one without privacy learn their images."""
    return private(out, seed, (0.01, 0.01), (8.0,))


def _privacy(epsilon):
    if epsilon is None:
        return 'not trained on them'
    return f'epsilon {epsilon:g}' if epsilon else 'no privacy'


def perturbation(out, seed):
    """Noise on answers."""
    target, found = trained(out, seed), {}
    for noise in NOISES:
        wanted = defences.parse(f'answers-noise:{noise}')
        noisy = defences.defend(target, wanted, seed=seed, reading=None)[0]
        found[noise] = attacked(noisy if float(noise) else target, seed)
        found[noise].pop('file', None)  # whoever holds it leaves the noise out
    return rows_of(found, seed)


def curve(out, seed, count, attacked_people):
    """Returns rows by epoch; the attacker knows half of some members and half of the strangers."""
    own = members(seed, attacked_people)
    folder = out / 'curves' / f'{count}-{attacked_people}-{seed}'
    folder.mkdir(parents=True, exist_ok=True)
    seen = LeakCurve(own, strangers(seed), folder, seed=seed)
    looks = {epoch: functools.partial(seen.add, epoch=epoch) for epoch in range(0, EPOCHS + 1, 3)}
    trained(folder, seed, count=count, audits=looks)
    return seen.record['rows']


def size(out, seed):
    """Of each backbone the same number of people is attacked: no attacker knows more than another."""
    rows = []
    for count in SIZES:
        found = curve(out, seed, count, min(SIZES))
        row = {'variant': str(count), 'seed': seed, 'leak': _leak(found[-1])}
        reached = [one for one in found if one['verification']['accuracy'] >= RIGHT]
        if reached:
            row |= {'equal': _leak(reached[0]), 'epoch': reached[0]['epoch']}
        rows.append(row | {'verification': _right(found[-1])})
    return rows


def epochs(out, seed):
    return [
        {
            'variant': str(one['epoch']),
            'seed': seed,
            'leak': _leak(one),
            'verification': _right(one),
        }
        for one in curve(out, seed, PEOPLE, PEOPLE)
    ]


def _leak(row):
    return [row['auc'], *row['auc_ci95']]


def _right(row):
    return [row['verification']['accuracy'], *row['verification']['accuracy_ci95']]


def guidance(out, seed):
    """Class centres of demo_few, whose 32 people are known to be recoverable."""
    few = 'procedural:easy,images=16,seed=4,people=32'
    inputs = config.Inputs(
        target='demo_few',
        members=few,
        nonmembers=f'{few},first=32',
        generator='demo_generator',
        evaluator='demo_evaluator',
        strangers='procedural:easy,images=1,seed=4,people=32768,first=5000',
    )
    search = config.Search(
        **{'draws': 1024, 'candidates': 64, 'keep': 64, 'steps': 20, 'pictures': 2, 'prior': 5.0},
        centres=32,
        strength=STRENGTHS[0],
        sweep=STRENGTHS[1:],
        untrained=False,
    )
    found = auditing.run(
        open_inputs(inputs),
        config.Settings(seed=seed),
        search,
        membership=False,
        workdir=out / 'guidance' / str(seed),
        scores=out / 'guidance' / 'scores',
    ).record['inversion']
    return [
        {
            'variant': f'{one["strength"]:g}',
            'seed': seed,
            'hits': [one['hit_rate'], *one['hit_rate_ci95']],
            'people': one['distinct_identities'],
            'realism': [one['realism']['precision']] * 3,
        }
        for one in found['sweep']
    ]


QUESTIONS = {
    one.__name__: one
    for one in (
        *(margins, norms, slow_norms, perturbation),
        *(private, private_learned, size, epochs, guidance),
    )
}


def by_variant(rows, name):
    """Returns variant -> the seeds' [value, low, high]."""
    variants = dict.fromkeys(row['variant'] for row in rows)
    return {
        variant: np.array([row[name] for row in rows if row['variant'] == variant and name in row])
        for variant in variants
    }


def table(rows) -> str:
    """Returns the lines of the table: mean (least to largest) of the seeds."""
    names = [name for name in rows[0] if name in TITLES]
    names += [name for row in rows for name in row if name.endswith('change')]
    names = list(dict.fromkeys(names))
    lines = [f'| | {" | ".join(names)} |', '|---' * (len(names) + 1) + '|']
    columns = [by_variant(rows, name) for name in names]
    for variant in columns[0]:
        cells = []
        for own in (column[variant] for column in columns):
            if not len(own):
                cells.append('–')
                continue
            value = own[:, 0]
            cells.append(f'{value.mean():.3f} ({value.min():.3f} to {value.max():.3f})')
        lines.append(f'| {variant} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def draw(rows, question) -> str:
    """Returns the figure: a panel for each measure, a point with its interval for each seed."""
    names = [name for name in TITLES if any(name in row for row in rows)]
    with styled():
        figure = Figure(figsize=(WIDTH, 0.5 + 1.9 * len(names)))
        several = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(several, names, strict=True):
            tint = COLOUR['auxiliary' if name in ('verification', 'realism') else 'member']
            found = by_variant(rows, name)
            means = [own[:, 0].mean() if len(own) else np.nan for own in found.values()]
            axes.plot(range(len(found)), means, '-', color=tint, linewidth=1)
            for place, own in enumerate(found.values()):
                if len(own):
                    x = place + 0.1 * (np.arange(len(own)) - (len(own) - 1) / 2)
                    axes.vlines(x, own[:, 1], own[:, 2], color=tint, alpha=0.4)
                    axes.plot(x, own[:, 0], 'o', color=tint, markersize=3)
            if name in ('file', 'answers', 'people', 'leak', 'equal'):
                axes.axhline(0.5, color=COLOUR['line'], linewidth=1, zorder=0)
            axes.set_title(TITLES[name], loc='left')
            axes.grid(linewidth=0.5)
        several[-1].set_xticks(range(len(found)), list(found))
        several[-1].set_xlabel(question)
        return alone(figure, question)


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument('--question', required=True, choices=QUESTIONS)
    flags.add_argument('--out', required=True, type=pathlib.Path)
    flags.add_argument('--seeds', default='1,2,3', help='separated by commas')
    given = flags.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(',')]
    rows = [row for seed in seeds for row in QUESTIONS[given.question](given.out, seed)]
    (given.out / f'{given.question}.json').write_text(json.dumps(rows, indent=1) + '\n')
    (given.out / f'{given.question}.svg').write_text(draw(rows, given.question))
    print(table(rows))


if __name__ == '__main__':
    main()
