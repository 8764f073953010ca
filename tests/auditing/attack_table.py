"""All attacks on one target, over several splits of the people: `python -m tests.auditing.attack_table`.

  python -m tests.auditing.attack_table --target=demo_leaky --members=MEMBERS --nonmembers=STRANGERS

Measures once; then each split draws anew the halves that attacks are fitted and judged on. Prints, for
each attack and knowledge, the mean AUC in the target and in its controls, the least and the largest, and
in how many splits it shows a leak; then how much the attack that heads the report reaches beyond the
paper's on the same people, with 95 % intervals. docs/results/attacks.md has the results.
"""

import argparse
import dataclasses

import numpy as np

from fr_inference import config
from fr_inference.membership import labelled, study
from fr_inference.membership.views import measure_views
from fr_inference.metrics import intervals
from fr_inference.opening import open_inputs

PAPER = 'bn-distance/partial'


def splits(views, seeds, settings):
    """Yields the findings of each split; the people of the halves are drawn by its seed."""
    images = views.in_target
    for seed in seeds:
        fit = labelled.fit_half(images.identities, images.member, seed)
        own = dataclasses.replace(settings, seed=seed)
        yield study.run(dataclasses.replace(views, fit=fit), {}, settings=own)


def beyond(first, second, *, seed, replicates):
    """Returns the paired difference of two comparisons' AUCs, and the ends of its 95 % interval."""
    values, samples = intervals.aucs(
        np.stack([first.scored.scores, second.scored.scores]),
        first.scored.member,
        first.scored.identities,
        seed=seed,
        replicates=replicates,
    )
    people = min(intervals.people_per_side(first.scored.identities, first.scored.member))
    ends = intervals.percentiles(samples[:, 0] - samples[:, 1], people)
    return values[0] - values[1], *ends


def table(found) -> str:
    """Returns the lines of the table, of the findings of all splits."""
    by_key: dict[str, list] = {}
    for one in found:
        for comparison in one.comparisons:
            by_key.setdefault(comparison.key, []).append(comparison)
    lines = [
        '| attack | access | knows | AUC | least to largest | blind | null | leak in |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for several in by_key.values():
        first = several[0]
        values = [one.figures['auc'] for one in several]
        access = first.access + ' and reference' * first.references
        lines.append(
            f'| {first.attack} | {access} | {first.setting} | {np.mean(values):.3f} | '
            f'{min(values):.3f} to {max(values):.3f} | {_mean(several, "blind")} | '
            f'{_mean(several, "null")} | {sum(one.kind == "leak" for one in several)} of '
            f'{len(several)} |'
        )
    return '\n'.join(lines)


def _mean(several, control):
    values = [block['auc'] for one in several if (block := getattr(one, control)) is not None]
    return f'{np.mean(values):.3f}' if values else '–'


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument('--target', required=True)
    flags.add_argument('--members', required=True)
    flags.add_argument('--nonmembers', required=True)
    flags.add_argument('--auxiliary', help='faces that the shadow was trained on in part')
    flags.add_argument('--shadow', help='a native checkpoint, for attacks without known members')
    flags.add_argument('--blind')
    flags.add_argument('--references', default='', help='separated by commas')
    flags.add_argument('--attacks', default='', help='separated by commas')
    flags.add_argument('--splits', type=int, default=5)
    flags.add_argument('--seed', type=int, default=0, help='of the first split')
    flags.add_argument('--replicates', type=int, default=1000)
    flags.add_argument('--scores', help='a folder for the measurements')
    given = flags.parse_args()
    attacks = tuple(given.attacks.split(',')) if given.attacks else ()
    settings = config.Settings(seed=given.seed, attacks=attacks, replicates=given.replicates)
    references = tuple(given.references.split(',')) if given.references else ()
    named = ('target', 'members', 'nonmembers', 'auxiliary', 'shadow', 'blind')
    inputs = {name: getattr(given, name) for name in named}
    opened = open_inputs(config.Inputs(**inputs, references=references))
    views = measure_views(
        opened.target,
        opened.faces,
        settings=settings,
        features=study.features_of(settings),
        shadow=opened.shadow,
        blind=opened.blind,
        references=opened.references,
        scores=given.scores,
    )
    seeds = range(given.seed, given.seed + given.splits)
    found = list(splits(views, seeds, settings))
    print(table(found))
    for seed, one in zip(seeds, found, strict=True):
        head, paper = one.comparisons[0], {two.key: two for two in one.comparisons}[PAPER]
        value, low, high = beyond(head, paper, seed=seed, replicates=given.replicates)
        print(f'split {seed}: {head.key} less {PAPER} {value:+.3f} ({low:+.3f} to {high:+.3f})')


if __name__ == '__main__':
    main()
