"""AUC on further populations, with the headline attack."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import config, errors
from fr_inference.data.faces import Faces
from fr_inference.membership import labelled, usage
from fr_inference.membership.attack import Attack
from fr_inference.membership.comparing import Trials
from fr_inference.membership.labelled import Labelled
from fr_inference.membership.trials import Trial, run_attack
from fr_inference.membership.views import Views
from fr_inference.metrics.intervals import Scored
from fr_inference.models.target import Target


def figures(
    attack: Attack,
    trials: Trials,
    views: Views,
    faces: Mapping[str, Faces],
    seed: int,
    of_scores: Callable[[Scored], dict[str, Any]],
) -> dict[str, Any]:
    """Compares populations with an attack on images, on people that it was not fitted on.

    Args:
      attack: on images.
      trials: its results in the target and in the blind backbone, in the partial setting.
      views: what it was fitted on.
      faces: 'member_identities' (other images of the members' people) and 'shift' (another source),
        if given.
      seed: of the settings.
      of_scores: function from scores to figures.

    Returns:
      Name -> figures: 'member_identities_vs_nonmembers' (does it know the person, or only the image?),
      which holds the figures of its blind control as 'blind', 'members_vs_same_identities', and
      'nonmembers_vs_shift' (does it tell two sources apart?).
    """
    found: dict[str, Any] = {}
    target = Judge(attack, trials.target, views, views.target, views.in_target, seed)
    members, strangers = target.judged(target.images.member), target.judged(~target.images.member)
    if 'member_identities' in faces:
        same = target.same_people(faces['member_identities'], 'other images of members')
        known = of_scores(_against(same, strangers))
        if trials.blind is not None:
            blind = Judge(attack, trials.blind, views, views.blind, views.in_blind, seed)
            unseen = blind.same_people(faces['member_identities'], 'other images, blind control')
            known['blind'] = of_scores(_against(unseen, blind.judged(~blind.images.member)))
        found['member_identities_vs_nonmembers'] = known
        found['members_vs_same_identities'] = of_scores(_against(members, same))
    if 'shift' in faces:
        far = target.scores(target.measured(faces['shift'], 'another source'))
        found['nonmembers_vs_shift'] = of_scores(_against(strangers, far))
    return found


def collection(
    attack: Attack, trials: Trials, views: Views, faces: Faces, settings: config.Settings
) -> dict[str, Any] | None:
    """Returns how much of a collection was used for training, by `usage.share`.

    Args:
      attack: on images.
      trials: its results in the target, in the partial setting.
      views: what it was fitted on.
      faces: the collection.
      settings: seed and replicates.
    """
    seen = Judge(attack, trials.target, views, views.target, views.in_target, settings.seed)
    scores, names = seen.scores(seen.measured(faces, 'collection'))
    unknown = Scored(scores=scores, member=np.zeros(len(scores), bool), identities=names)
    return usage.share(
        trials.target.scored, unknown, seed=settings.seed, replicates=settings.replicates
    )


@dataclasses.dataclass(frozen=True)
class Judge:
    """A fitted attack, for applying it to further faces in the same backbone.

    Attributes:
      attack: on images.
      trial: its result in the partial setting.
      views: what it was fitted on.
      backbone: the target, or the blind backbone.
      images: the images of the trial, in that backbone.
      seed: of the settings.
    """

    attack: Attack
    trial: Trial
    views: Views
    backbone: Target
    images: Labelled
    seed: int

    def judged(self, side: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns (logits, names) of the judged images of one side ([N] bool)."""
        rows = np.flatnonzero(side & self.trial.judged)
        return self.trial.logits[rows], tuple(self.images.identities[row] for row in rows)

    def measured(self, faces: Faces, label: str) -> Labelled:
        """Returns the measurements of other images; `label` is for the progress."""
        features = [
            feature for one in (self.attack, *self.attack.parts) for feature in one.measured
        ]
        return self.views.strangers(self.backbone, faces, label, tuple(dict.fromkeys(features)))

    def scores(self, others: Labelled) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns (logits, names) of other images, on which the attack is not fitted."""
        fit = np.append(self.views.fit, np.zeros(len(others), bool))
        trial = run_attack(self.attack, labelled.concat(self.images, others), fit, self.seed)
        assert trial is not None, 'the attack ran in the same backbone'
        return trial.logits[len(self.images) :], others.identities

    def same_people(self, faces: Faces, label: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns (logits, names) of other images of the members that are judged."""
        people = set(self.judged(self.images.member)[1])
        others = self.measured(faces, label)
        check_others(people, others.identities)
        return self.scores(others.select(np.array([name in people for name in others.identities])))


def check_others(judged: set[str], names: Sequence[str]) -> None:
    """Raises `InputError` unless somebody in `names` is among the judged members."""
    if not judged & set(names):
        raise errors.InputError(
            'member_identities',
            'nobody who is a member in the evaluated half',
            'identities with the same names as in members',
        )


def _against(first, second):
    count = len(first[0])
    return Scored(
        scores=np.concatenate([first[0], second[0]]),
        member=np.arange(count + len(second[0])) < count,
        identities=(*first[1], *second[1]),
    )
