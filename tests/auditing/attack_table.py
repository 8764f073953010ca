"""All attacks on one target, over several splits of the people: `python -m tests.auditing.attack_table`.

  python -m tests.auditing.attack_table --target=demo_leaky --members=MEMBERS --nonmembers=STRANGERS

Measures once; then each split draws anew the halves that attacks are fitted and judged on. Prints, for
each attack and knowledge, the mean AUC in the target and in its controls, the least and the largest, and
in how many splits it shows a leak; then how much the attack that heads the report reaches beyond the
paper's on the same people, with 95 % intervals. With --out the figures of each split are kept as
JSON. docs/results/attacks.md has the results.
"""

import argparse
import dataclasses
import json
import pathlib

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


def rows(found) -> list[dict]:
    """Returns a row for each attack and knowledge, of the findings of all splits."""
    by_key: dict[str, list] = {}
    for one in found:
        for comparison in one.comparisons:
            by_key.setdefault(comparison.key, []).append(comparison)
    return [
        {
            'attack': several[0].attack,
            'access': several[0].access + ' and reference' * several[0].references,
            'knows': several[0].setting,
            'auc': [round(one.figures['auc'], 4) for one in several],
            **{control: _aucs(several, control) for control in ('blind', 'null')},
            'leaks': [one.kind == 'leak' for one in several],
        }
        for several in by_key.values()
    ]


def _aucs(several, control):
    blocks = [getattr(one, control) for one in several]
    return [round(block['auc'], 4) for block in blocks if block is not None]


def table(found: list[dict]) -> str:
    """Returns the lines of the table of `rows`."""
    lines = [
        '| attack | access | knows | AUC (least to largest) | blind | null | shows a leak |',
        '|---|---|---|---|---|---|---|',
    ]
    for row in found:
        means = [f'{np.mean(row[name]):.3f}' if row[name] else '–' for name in ('blind', 'null')]
        lines.append(
            f'| `{row["attack"]}` | {row["access"]} | {row["knows"]} | {np.mean(row["auc"]):.3f} '
            f'({min(row["auc"]):.3f} to {max(row["auc"]):.3f}) | {means[0]} | {means[1]} | '
            f'{sum(row["leaks"])} of {len(row["leaks"])} |'
        )
    return '\n'.join(lines)


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
    flags.add_argument('--out', type=pathlib.Path, help='a JSON file')
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
    kept: dict = {'attacks': rows(found), 'beyond_paper': {}}
    print(table(kept['attacks']))
    for seed, one in zip(seeds, found, strict=True):
        head, paper = one.comparisons[0], {two.key: two for two in one.comparisons}[PAPER]
        value, low, high = beyond(head, paper, seed=seed, replicates=given.replicates)
        print(f'split {seed}: {head.key} less {PAPER} {value:+.3f} ({low:+.3f} to {high:+.3f})')
        ends = [round(float(end), 4) for end in (value, low, high)]
        kept['beyond_paper'][str(seed)] = {'attack': head.key, 'difference': ends}
    if given.out is not None:
        given.out.write_text(json.dumps(kept, indent=1) + '\n')


if __name__ == '__main__':
    main()
