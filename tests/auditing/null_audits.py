"""Whole audits where nothing leaked, or as much as was planted: `python -m tests.auditing.null_audits`.

  python -m tests.auditing.null_audits --audits=100 --sides=24,64,160
  python -m tests.auditing.null_audits --audits=200 --sides=160 --leak=0.335 --seed=5000

People whom a backbone never saw are measured once. Each audit draws its own members and strangers from
them, runs every attack with its controls, and ends in a verdict. Prints how often each verdict came, and
what each attack found. docs/power.md has the results.
"""

import argparse
import collections
import dataclasses
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
from scipy import stats

from fr_inference import config
from fr_inference.data import overlap
from fr_inference.data.faces import Faces
from fr_inference.data.sources import open_faces
from fr_inference.measuring import measurements
from fr_inference.measuring.measurements import Measurements
from fr_inference.membership import controls, labelled, study
from fr_inference.membership.comparison import CLEAR, LEAK, Comparison
from fr_inference.membership.labelled import Labelled
from fr_inference.membership.views import ShadowViews, Views
from fr_inference.metrics import intervals
from fr_inference.opening import as_references
from fr_inference.report.verdict import verdict
from fr_inference.training.shadow import train_shadow
from fr_inference.weights.targets import open_target


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """People whom a backbone never saw, measured.

    Attributes:
      in_target: their images in the backbone.
      in_blind: the same with random weights.
      shadow: auxiliary faces, None for no attack without known members.
      references: name -> the same images in a network that the attacker has.
    """

    in_target: Measurements
    in_blind: Measurements
    shadow: ShadowViews | None = None
    references: Mapping[str, Measurements] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ended:
    """What an audit said.

    Attributes:
      kind: its verdict.
      comparisons: its attacks.
    """

    kind: str
    comparisons: Sequence[Comparison]


def measured(target, faces, auxiliary=None, references=None, *, attacks=(), seed=0, kept=None):
    """Measures the pool.

    Args:
      target: never saw anybody of it.
      faces: the pool.
      auxiliary: faces of others; a shadow is trained on half of them.
      references: name -> networks that the attacker has.
      attacks: of the settings.
      seed: of the shadow and the blind backbone.
      kept: a folder for the shadow and the measurements.
    """
    features = study.features_of(config.Settings(attacks=attacks))

    def seen(backbone, images, extra=features):
        return measurements.measure(backbone, images, features=extra, scores=kept)

    def beside(images):
        return {name: seen(one, images, ()) for name, one in (references or {}).items()}

    order = np.random.default_rng(seed).permutation(len(faces))
    blind = controls.blind_target(target, faces.select(order), seed=seed)
    shadow = None
    if auxiliary is not None:
        trained, digests = train_shadow(target, auxiliary, seed=seed, workdir=kept)
        nobody = np.zeros(len(auxiliary), bool)
        others = beside(auxiliary)
        shadow = ShadowViews(
            name=trained.name,
            recipe=trained.recipe,
            in_shadow=Labelled.of(
                seen(trained, auxiliary),
                np.isin(overlap.content_digests(auxiliary), digests),
                others,
            ),
            in_target=Labelled.of(seen(target, auxiliary), nobody, others),
            in_blind=Labelled.of(seen(blind, auxiliary), nobody, others),
        )
    return Pool(
        in_target=seen(target, faces),
        in_blind=seen(blind, faces),
        shadow=shadow,
        references=beside(faces),
    )


def views_of(pool, side, seed, leak=0.0):
    """Returns an audit's views: `side` members and as many strangers, drawn from the pool.

    Args:
      pool: of 2 * side people or more.
      side: people on a side.
      seed: of the draw, and of the audit.
      leak: by how many standard deviations the log distances of members are lower.
    """
    names = np.asarray(pool.in_target.identities)
    drawn = np.random.default_rng([seed, side]).permutation(np.unique(names))[: 2 * side]
    rows = np.concatenate([np.flatnonzero(names == name) for name in drawn])
    member = np.isin(names[rows], drawn[:side])

    def chosen(images):
        index = np.arange(len(rows), dtype=np.int32)
        part = dataclasses.replace(measurements.select(images, rows), index=index)
        others = {name: measurements.select(one, rows) for name, one in pool.references.items()}
        return Labelled.of(part, member, others, measurements.select(pool.in_blind, rows))

    whole, in_target = pool.in_target, chosen(pool.in_target)
    closer = np.exp(-leak * np.log(whole.distances + 1e-12).std(0) * member[:, None])
    distances = (in_target.distances * closer).astype(np.float32)
    return Views(
        in_target=dataclasses.replace(in_target, distances=distances),
        fit=labelled.fit_half(in_target.identities, member, seed),
        in_blind=chosen(pool.in_blind),
        shadow=pool.shadow,
        # Nothing is read or measured any more.
        faces=Faces(
            name='pool',
            identities=in_target.identities,
            paths=[str(row) for row in rows],
            **dict.fromkeys(('read', 'digest')),
        ),
        target=SimpleNamespace(name='pool', answers=None, notes=()),
        **dict.fromkeys(('blind', 'measure')),
        untrained=False,
        skipped={},
    )


def audit(pool, side, seed, *, leak=0.0, replicates=300, attacks=()):
    """Runs one audit of people drawn from a pool; see `views_of`."""
    settings = config.Settings(seed=seed, replicates=replicates, attacks=attacks)
    views = views_of(pool, side, seed, leak)
    found = study.run(views, {}, settings=settings)
    data = {'people': side, 'images': int(views.in_target.member.sum())}
    record = {'membership': found.membership, 'data': {'members': data, 'nonmembers': data}}
    return Ended(kind=verdict(record).kind, comparisons=found.comparisons)


def correlation(scored):
    """Returns the intraclass correlation of the ranks of scores of one person's images.

    One-way analysis of variance (Fisher 1925), people of both sides with as many images each.
    """
    ranks = stats.rankdata(scored.scores)
    for side in (scored.member, ~scored.member):
        ranks[side] -= ranks[side].mean()
    order = np.argsort(scored.identities, kind='stable')
    people = len(set(scored.identities))
    ranks = ranks[order].reshape(people, -1)
    images = ranks.shape[1]
    if images == 1:
        return 0.0
    between = images * (ranks.mean(1) ** 2).sum() / (people - 2)
    within = ((ranks - ranks.mean(1, keepdims=True)) ** 2).sum() / (people * (images - 1))
    return float((between - within) / (between + (images - 1) * within))


def _share(count, total):
    low, high = intervals.wilson(count / total, total)
    return f'{count} of {total} ({100 * count / total:.1f} %, {100 * low:.1f} to {100 * high:.1f})'


def _width(blocks):
    """The root of the mean squared width of 95 % intervals of AUCs."""
    return float(np.sqrt(np.mean([np.diff(block['auc_ci95'])[0] ** 2 for block in blocks])))


def summary(ended: Sequence[Ended]) -> str:
    """Returns what audits of one size said, as lines of text."""
    kinds = collections.Counter(one.kind for one in ended)
    lines = [f'  {kind}: {_share(count, len(ended))}' for kind, count in sorted(kinds.items())]
    clear = [one.smallest_excess for end in ended if end.kind == CLEAR for one in end.comparisons]
    lines += (
        [f'  largest smallest excess of those that are clear: {max(clear):.3f}'] if clear else []
    )
    for same in zip(*(one.comparisons for one in ended), strict=True):
        if same[0].excess is None:
            continue
        own, over = (_width([getattr(one, name) for one in same]) for name in ('figures', 'excess'))
        inside = sum(
            one.figures['auc_ci95'][0] <= 0.5 <= one.figures['auc_ci95'][1] for one in same
        )
        lines += [
            f'  {same[0].key}{", a further one" * same[0].further}: leak in '
            f'{_share(sum(one.kind == LEAK for one in same), len(same))}',
            f'    the 95 % interval holds 0.5 in {_share(inside, len(same))}',
            f'    excess {np.mean([one.excess["auc"] for one in same]):+.3f}, smallest that is found in '
            f'9 of 10 {np.mean([one.smallest_excess for one in same]):.3f}',
            f'    width of the intervals {own:.3f}, of the excess {over:.3f} ({over / own:.2f} times); '
            'correlation of the images of a person '
            f'{np.mean([correlation(one.scored) for one in same]):.3f}',
            '    controls that failed: '
            + ', '.join(
                f'{name} {sum(getattr(one, name + "_failed") for one in same)}'
                for name in ('null', 'blind', 'pictures')
            ),
        ]
    return '\n'.join(lines)


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    hard = 'procedural:hard,images=4,seed=1'
    flags.add_argument('--target', default='demo_leaky')
    flags.add_argument('--faces', default=f'{hard},people=2048,first=1000', help='never seen by it')
    flags.add_argument(
        '--auxiliary', default=f'{hard},people=256,first=256', help="'' for no shadow"
    )
    flags.add_argument('--audits', type=int, default=100, help='of each size')
    flags.add_argument('--sides', default='24,64,160', help='numbers of people on a side')
    flags.add_argument('--seed', type=int, default=0, help='of the first audit')
    flags.add_argument(
        '--leak', type=float, default=0.0, help="how much closer members' images are"
    )
    flags.add_argument('--replicates', type=int, default=300)
    flags.add_argument('--attacks', default='', help='separated by commas')
    flags.add_argument('--references', default='', help='separated by commas')
    flags.add_argument('--kept', help='a folder for the shadow and the measurements')
    given = flags.parse_args()
    attacks = tuple(given.attacks.split(',')) if given.attacks else ()
    pool = measured(
        open_target(given.target),
        open_faces(given.faces),
        open_faces(given.auxiliary) if given.auxiliary else None,
        as_references(given.references.split(',') if given.references else ()),
        attacks=attacks,
        kept=given.kept,
    )
    how = {'leak': given.leak, 'replicates': given.replicates, 'attacks': attacks}
    for side in map(int, given.sides.split(',')):
        seeds = range(given.seed, given.seed + given.audits)
        ended = [audit(pool, side, seed, **how) for seed in seeds]
        print(f'{side} people on a side\n{summary(ended)}', flush=True)


if __name__ == '__main__':
    main()
