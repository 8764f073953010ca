"""How far a leak reaches: the attack that shows it, on changed copies of the judged photographs.

The attack is the one that was fitted on unchanged photographs. Members and strangers are changed in
the same way, so that the change itself reveals nothing. If a change brings out differences in how
the two were collected, the blind control shows it.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import config, rng
from fr_inference.data.faces import Faces, each, from_arrays
from fr_inference.formats.images import fit_image
from fr_inference.membership import changed_pictures, populations
from fr_inference.membership.attack import Attack
from fr_inference.membership.changed_pictures import CHANGES
from fr_inference.membership.comparing import Trials
from fr_inference.membership.comparison import LEAK, Comparison, decisive, first_of
from fr_inference.membership.labelled import Labelled
from fr_inference.membership.populations import Judge
from fr_inference.membership.views import Views
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored

MOST = 256
"""Largest number of judged images on a side whose copies are measured."""
_THREADS = 2
_OF_ONE = 16  # images per person; with more of them, few people would be left

UNCHANGED, OTHERS = 'none', 'other-photographs'
"""Besides the names of `CHANGES`: the unchanged photographs, and other photographs of the same
people."""


def followed(comparisons: Sequence[Comparison]) -> Comparison | None:
    """Returns the comparison whose leak is followed, None if no attack on images shows one."""
    leaking = [
        one
        for one in comparisons
        if one.kind == LEAK and (one.unit, one.setting) == ('image', 'partial')
    ]
    return decisive(leaking) if leaking else None


def drawn(
    identities: Sequence[str], member: np.ndarray, judged: np.ndarray, seed: int
) -> np.ndarray:
    """Draws the images whose copies are measured: whole people, at most `MOST` images on a side.

    At most 16 images are drawn per person, because an interval needs many people.

    Args:
      identities: of N images.
      member: [N] bool.
      judged: [N] bool, those that may be drawn.
      seed: of the draw.

    Returns:
      Rows in ascending order.
    """
    chosen: list[int] = []
    for side, name in ((member, 'members'), (~member, 'strangers')):
        generator = rng.numpy_generator(seed, f'reach {name}')
        people: dict[str, list[int]] = {}
        for row in np.flatnonzero(judged & side).tolist():
            people.setdefault(identities[row], []).append(row)
        left, names = MOST, sorted(people)
        for place in generator.permutation(len(names)).tolist():
            rows = generator.permutation(people[names[place]])[:_OF_ONE].tolist()
            if len(rows) > left:
                break
            chosen += rows
            left -= len(rows)
    return np.array(sorted(chosen), np.int64)


def figures(
    comparisons: Sequence[Comparison],
    trials: Mapping[str, Trials],
    chosen: Sequence[Attack],
    views: Views,
    faces: Mapping[str, Faces],
    settings: config.Settings,
    known: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Returns how well the attack that shows a leak recognises copies of the judged photographs.

    A copy is made from the image at the target's input size; every network sees the same copy.

    Args:
      comparisons: of the audit.
      trials: key of a comparison -> the scores behind it.
      chosen: the attacks.
      views: what they were fitted on.
      faces: 'member_identities', where there are any.
      settings: seed and replicates.
      known: the result of `populations.figures` for the first attack on images.

    Returns:
      For each change {'change', 'by', 'auc', 'auc_ci95', 'blind', 'images', 'people'}: no change first,
      other photographs of the members' people last. 'blind' holds the AUC in the blind backbone,
      which a leak requires. Empty if no attack on images shows a leak.
    """
    one = followed(comparisons)
    if one is None:
        return []
    attack = next(attack for attack in chosen if attack.name == one.attack)
    of_scores = functools.partial(
        intervals.figures, seed=settings.seed, replicates=settings.replicates
    )
    judges = _judges(attack, trials[one.key], views, settings.seed)
    found: dict[str, Mapping[str, Any]] = {}
    for change, scored in _copies(judges, settings.seed):
        in_target, in_blind = map(of_scores, scored)
        found[change] = {**in_target, 'blind': in_blind}
    if 'member_identities' in faces:
        first = first_of(comparisons, 'image')
        if first is None or one.key != first.key:
            given = {'member_identities': faces['member_identities']}
            known = populations.figures(
                attack, trials[one.key], views, given, settings.seed, of_scores
            )
        found[OTHERS] = known['member_identities_vs_nonmembers']
    return [_entry(change, one.key, block) for change, block in found.items()]


def _entry(change, by, block):
    return {
        'change': change,
        'by': by,
        **_auc(block),
        'blind': _auc(block['blind']),
        'images': block['members'] + block['nonmembers'],
        'people': block['identities'],
    }


def _auc(block):
    return {name: block[name] for name in ('auc', 'auc_ci95')}


def _judges(attack, trials, views, seed):
    """The attack in the target and in the blind backbone."""
    return (
        Judge(attack, trials.target, views, views.target, views.in_target, seed),
        Judge(attack, trials.blind, views, views.blind, views.in_blind, seed),
    )


def _copies(judges, seed):
    """Yields (name of the change, the scores of both judges), no change first."""
    images, views = judges[0].images, judges[0].views
    rows = drawn(images.identities, images.member, judges[0].trial.judged, seed)
    member, spec = images.member[rows], views.target.input
    names = tuple(images.identities[row] for row in rows)
    yield (
        UNCHANGED,
        [
            Scored(scores=judge.trial.logits[rows], member=member, identities=names)
            for judge in judges
        ],
    )
    originals = _read(views.faces.select(images.index[rows]), spec.height, spec.width)
    for change in CHANGES:
        copies = changed_pictures.copies(originals, change, spec.height, spec.width)
        seen = judges[0].measured(copies, f'copies {change.label}')
        both = seen, Labelled.of(seen.blind, seen.member, seen.references, seen.blind)
        scored = []
        for judge, measured in zip(judges, both, strict=True):
            logits, names = judge.scores(measured)
            scored.append(Scored(scores=logits, member=member[measured.index], identities=names))
        yield change.name, scored


def _read(faces, height, width):
    """The same faces in memory at the network's input size, because they are used many times."""
    pictures = each(
        faces,
        range(len(faces)),
        lambda index: fit_image(faces.read(index), height, width),
        threads=_THREADS,
    )
    return from_arrays(np.stack(pictures), faces.identities, faces.name)
