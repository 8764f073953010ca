"""AUC on further populations, by the headline attack."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.data.faces import Faces
from fr_inference.membership import logistic
from fr_inference.membership.attack import Attack
from fr_inference.membership.comparing import Trial
from fr_inference.membership.labelled import Labelled
from fr_inference.membership.views import Views
from fr_inference.metrics.intervals import Scored


def figures(
    attack: Attack,
    trial: Trial,
    views: Views,
    faces: Mapping[str, Faces],
    seed: int,
    of_scores: Callable[[Scored], dict[str, Any]],
) -> dict[str, Any]:
    """Compares populations by an attack on images, on people that it was not fitted on.

    Args:
      attack: on images.
      trial: what it gave in the target, in the partial setting.
      views: what it was fitted on.
      faces: 'member_identities' (other images of the members' people) and 'shift' (another source),
        where there are any.
      seed: of the settings.
      of_scores: the figures of scores.

    Returns:
      Name -> figures: 'member_identities_vs_nonmembers' (does it know the person, or only the image?),
      'members_vs_same_identities', and 'nonmembers_vs_shift' (does it tell two sources apart?).
    """
    images = views.in_target

    def judged(side):
        rows = np.flatnonzero(side & trial.judged)
        return trial.logits[rows], tuple(images.identities[row] for row in rows)

    def scores(others):
        examples = attack.examples(others, others.member, seed)
        assert examples is not None, 'the attack ran in the same backbone'
        logits = logistic.logit(trial.model, examples.features.astype(np.float32))
        return np.asarray(logits), examples.names

    def measured(name, label):
        found = views.measure(views.target, faces[name], label, attack.measured)
        return Labelled.of(found, np.zeros(len(found), bool))

    members, strangers = judged(images.member), judged(~images.member)
    found = {}
    if 'member_identities' in faces:
        others = measured('member_identities', 'other images of members')
        people = set(members[1])
        check_others(people, others.identities)
        same = scores(others.select(np.array([name in people for name in others.identities])))
        found['member_identities_vs_nonmembers'] = of_scores(_against(same, strangers))
        found['members_vs_same_identities'] = of_scores(_against(members, same))
    if 'shift' in faces:
        far = scores(measured('shift', 'another source'))
        found['nonmembers_vs_shift'] = of_scores(_against(strangers, far))
    return found


def check_others(judged: set[str], names: Sequence[str]) -> None:
    """Raises `InputError` unless somebody of `names` is among the members that are judged."""
    if not judged & set(names):
        raise errors.InputError(
            'member_identities',
            'nobody who is a member in the evaluated half',
            'identities named as they are in members',
        )


def _against(first, second):
    count = len(first[0])
    return Scored(
        scores=np.concatenate([first[0], second[0]]),
        member=np.arange(count + len(second[0])) < count,
        identities=(*first[1], *second[1]),
    )
