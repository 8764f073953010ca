"""The attack on stored templates in an audit: members' faces from one embedding each."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import config, errors, rng
from fr_inference.config import Search
from fr_inference.inversion import goals, judge, search
from fr_inference.inversion.evaluator import Evaluator
from fr_inference.inversion.guidance import Side
from fr_inference.inversion.outcome import Outcome
from fr_inference.inversion.search import Found
from fr_inference.inversion.subject import Subject
from fr_inference.metrics import intervals
from fr_inference.runs import Progress

_CANDIDATES = 4  # candidates for each template; the best is kept
# Weights of this goal, independent of those of the main search, which has another goal.
_WEIGHTS = {'strength': Search.strength, 'prior': Search.prior}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromTemplates:
    """Reconstructions of P members of an audit, from one template each.

    Attributes:
      record: `targeted` of `audit.json`.
      found: the reconstructions.
      photographs: [P] row, among the audit's images, of the image behind each template.
      similarity: [P] cosine, by the (first) evaluator, with other photographs of the same person.
      rank: [P] 0 if that person is the most similar of all members, for each evaluator.
    """

    record: dict[str, Any]
    found: Found
    photographs: np.ndarray
    similarity: np.ndarray
    rank: np.ndarray


def run(
    judges: Evaluator,
    sides: Mapping[str, Side],
    subjects: Mapping[str, Subject],
    how: Search,
    *,
    random: Sequence[np.ndarray],
    workdir: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> FromTemplates:
    """Reconstructs members, each from the embedding of one photograph.

    The evaluator compares only with their other photographs. Controls: random latents; the best
    random latent for each template, without any step; the same search against an untrained target;
    and templates of non-members, compared with non-members, which shows whether training matters.

    Args:
      judges: the evaluator.
      sides: 'target', and 'untrained_target' for that control.
      subjects: the same backbones as search subjects.
      how: the options of the audit; at most `targeted` members are reconstructed.
      random: [M, D] embeddings of random latents' images, by each evaluator.
      workdir: where the searches keep their states.
      progress: called as progress(label, done, total).

    Raises:
      InputError: when nobody has two photographs.
    """
    audited, seed = judges.audited, judges.seed
    names, member = audited.identities, audited.member
    rows = {
        'members': _templates(names, member, how.targeted, seed),
        'nonmembers': _templates(names, ~member, how.targeted, seed),
    }
    others = np.ones(len(names), bool)
    others[np.concatenate(list(rows.values()))] = False
    galleries = [
        judge.gallery(one.embeddings[others], names[others].tolist(), member[others], seed=seed)
        for one in judges.all
    ]
    gallery = galleries[0]  # the people are those of all
    among = {
        'members': galleries,
        'nonmembers': [dataclasses.replace(one, member=~one.member) for one in galleries],
    }
    place = {name: position for position, name in enumerate(gallery.names)}
    rows = {side: [row for row in found if names[row] in place] for side, found in rows.items()}
    claims = {side: np.array([place[names[row]] for row in found]) for side, found in rows.items()}
    each = config.replace(how, candidates=min(_CANDIDATES, how.candidates), keep=1, apart=1.0)

    def attack(name, how, people='members', side='target'):
        goal = goals.templates(sides[side].embeddings[rows[people]], **_WEIGHTS)
        found = search.run(
            subjects[side],
            goal,
            how,
            workdir=workdir and workdir / name,
            label=name.replace('_', ' '),
            progress=progress,
        )
        judged = [
            judge.judge(one.embed(found.images), beside, claims[people])
            for one, beside in zip(judges.all, among[people], strict=True)
        ]
        return found, judged, _figures(judged, galleries)

    found, judged, figures = attack('templates', each)
    controls = {
        'selected_only': attack('templates_selected', config.replace(each, steps=0))[2],
        'nonmembers': attack('templates_nonmembers', each, people='nonmembers')[2],
    }
    if 'untrained_target' in sides:
        controls['untrained_target'] = attack('templates_untrained', each, side='untrained_target')[
            2
        ]
    # Every random latent counts as a reconstruction of every member.
    count = len(rows['members'])
    anybody = [
        judge.judge(np.repeat(one, count, axis=0), beside, np.tile(claims['members'], len(one)))
        for one, beside in zip(random, galleries, strict=True)
    ]
    controls['random_latents'] = {
        name: float(values.mean()) for name, values in _shares(anybody, galleries).items()
    }
    return FromTemplates(
        record={
            'people': count,
            'gallery': int(gallery.member.sum()),
            'candidates': each.candidates,
            'steps': each.steps,
            **_WEIGHTS,
            **Outcome(figures=figures, controls=controls).to_json(),
        },
        found=found,
        photographs=np.array(rows['members'], int),
        similarity=judged[0].own_similarity,
        rank=functools.reduce(judge.agreed, judged).rank,
    )


def _templates(names, side, people, seed):
    """One row for each of at most `people` identities that have two or more images on that side."""
    first: dict[str, int] = {}
    several = set()
    for row in np.flatnonzero(side):
        if first.setdefault(names[row], int(row)) != row:
            several.add(names[row])
    if not several:
        raise errors.InputError(
            'targeted', 'nobody with two photographs', 'two, one of which is the template'
        )
    order = rng.numpy_generator(seed, 'templates').permutation(sorted(several))
    return sorted(first[name] for name in order[:people])


def _shares(judged, galleries):
    """Of each reconstruction, whether it succeeds with every evaluator."""
    rank = functools.reduce(judge.agreed, judged).rank
    accepted = [
        one.own_similarity >= gallery.threshold
        for one, gallery in zip(judged, galleries, strict=True)
    ]
    return {'top1': rank == 0, 'top5': rank < 5, 'accepted': np.all(accepted, axis=0)}


def _figures(judged, galleries):
    """Shares of the templates (one per person), with Wilson's intervals."""
    figures: dict[str, Any] = {}
    for name, values in _shares(judged, galleries).items():
        figures[name], figures[f'{name}_ci95'] = _share(values)
    sar = {
        f'{rate:g}': _share(_accepted(rate, judged, galleries)) for rate in judge.FALSE_MATCH_RATES
    }
    return figures | {
        'sar_at_fmr': {rate: share for rate, (share, _) in sar.items()},
        'sar_at_fmr_ci95': {rate: ends for rate, (_, ends) in sar.items()},
    }


def _accepted(rate, judged, galleries):
    """Which are accepted by every evaluator; None where one of them does not resolve the rate."""
    passed = np.ones(len(judged[0].rank), bool)
    for one, gallery in zip(judged, galleries, strict=True):
        own = judge.accepted(one, gallery)[rate]
        if own is None:
            return None
        passed &= own
    return passed


def _share(values):
    """Returns (share, Wilson's interval); None for both if a rate is not resolved."""
    if values is None:
        return None, None
    share = float(values.mean())
    return share, list(intervals.wilson(share, len(values)))
