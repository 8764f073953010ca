"""What is measured once and attacked in many ways: every image in the target and in its controls."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fr_inference import errors, rng
from fr_inference.data import overlap
from fr_inference.data.faces import Faces, concat
from fr_inference.measuring import measurements
from fr_inference.measuring.measurements import Measurements, Progress
from fr_inference.membership import attack, controls, protocol
from fr_inference.membership.protocol import Labelled
from fr_inference.metrics import intervals
from fr_inference.models.target import Target

MADE = 'reconstructions'  # name of faces that nobody keeps

Measure = Callable[[Target, Faces, str], Measurements]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How an audit is done.

    Attributes:
      scaling: what distances are divided by.
      hidden: units of the attack model's hidden layer, 0 for the paper's model.
      l2: weight decay of the attack model.
      seed: of every split, control and interval.
      replicates: of the bootstrap.
      batch_size: images scored at a time.
      decoders: processes that decode images; 0 for threads.
      skip_bad: leave unreadable images out and list them, instead of stopping.
      allow_overlap: go on when members and non-members share people or images, and say so.
    """

    scaling: str = 'variance'
    hidden: int = 0
    l2: float = 0.01
    seed: int = 0
    replicates: int = intervals.REPLICATES
    batch_size: int = 64
    decoders: int = 0
    skip_bad: bool = False
    allow_overlap: bool = False

    def __post_init__(self):
        errors.positive('batch_size', self.batch_size)
        errors.require(
            0 <= self.decoders <= 1024, f'decoders: found {self.decoders}, expected 0 to 1024'
        )
        errors.require(
            100 <= self.replicates <= 100_000,
            f'replicates: found {self.replicates}, expected 100 to 100000',
        )
        errors.require(
            0 <= self.seed < 2**31, f'seed: found {self.seed}, expected 0 to {2**31 - 1}'
        )
        _ = self.options  # checks the rest

    @property
    def options(self) -> attack.Options:
        """How the attack model is fitted."""
        return attack.Options(hidden=self.hidden, l2=self.l2, seed=self.seed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shadow:
    """A backbone that the auditor trained on auxiliary faces.

    Attributes:
      target: the backbone.
      digests: SHA-256 of each image it was trained on.
    """

    target: Target
    digests: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByShadow:
    """Auxiliary faces, for the setting without any known member.

    Attributes:
      name: of the shadow.
      recipe: of the shadow, or None.
      labelled: them in the shadow, which was trained on some.
      reference: them in the target, which was trained on none.
      blind_reference: them in the blind backbone; None where its layers are not the shadow's.
    """

    name: str
    recipe: Mapping | None
    labelled: Labelled
    reference: Measurements
    blind_reference: Measurements | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that attacks are fitted and judged on.

    Attributes:
      faces: members, then non-members.
      target: the backbone.
      labelled: the N images that could be read, in the target.
      fit: [N] bool, the half of the people that attacks are fitted on.
      blind: a backbone that never saw them.
      untrained: whether it is the target with random weights.
      control: the same images in it.
      shadow: what a shadow shows, where there is one.
      skipped: path -> reason, of images that could not be read; `measure` adds to it.
      measure: (backbone, faces, label) -> measurements, as the settings want them.
    """

    faces: Faces
    target: Target
    labelled: Labelled
    fit: np.ndarray
    blind: Target
    untrained: bool
    control: Labelled
    shadow: ByShadow | None
    skipped: dict[str, str]
    measure: Measure


def measure_all(
    target: Target,
    given: Mapping[str, Faces],
    *,
    settings: Settings,
    shadow: Shadow | None = None,
    blind: Target | None = None,
    scores: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Measures members, non-members and auxiliary faces in every backbone that is to see them.

    Args:
      target: the backbone.
      given: 'members', 'nonmembers' and, where there is a shadow, 'auxiliary'.
      settings: how.
      shadow: trained on part of 'auxiliary'.
      blind: a backbone that never saw the members nor the non-members; the target with random weights
        when None.
      scores: folder of rows computed before, of `measurements.measure`.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    skipped: dict[str, str] = {}

    def measure(backbone: Target, images: Faces, label: str) -> Measurements:
        measured = measurements.measure(
            backbone,
            images,
            batch_size=settings.batch_size,
            decoders=settings.decoders,
            skip_bad=settings.skip_bad,
            # Pictures that were made a moment ago are not seen again.
            scores=None if images.name == MADE else scores,
            label=label,
            progress=progress,
        )
        skipped.update(measured.skipped)
        return measured

    faces = concat([given['members'], given['nonmembers']], 'members and non-members')

    def labelled(backbone, label):
        measured = measure(backbone, faces, label)
        return Labelled(measured=measured, member=measured.index < len(given['members']))

    own = labelled(target, 'target')
    fit = protocol.fit_half(own.measured.identities, own.member, settings.seed)
    backbone = _blind_backbone(target, blind, faces, own, fit, settings)
    control = labelled(backbone, 'blind control')
    errors.require(
        control.measured.layers or not own.measured.layers,
        '--blind: that backbone has no BatchNorm statistics, so that the attack can not be run on it',
    )
    by_shadow = None
    if shadow is not None and own.measured.layers:
        by_shadow = _by_shadow(target, shadow, given, backbone, control, measure, settings)
    return Measured(
        faces=faces,
        target=target,
        labelled=own,
        fit=fit,
        blind=backbone,
        untrained=blind is None,
        control=control,
        shadow=by_shadow,
        skipped=skipped,
        measure=measure,
    )


def _blind_backbone(target, blind, faces, labelled, fit, settings):
    """The given backbone that never saw the members, or the target with random weights.

    Its statistics are then measured afresh on the `fit` half.
    """
    if blind is not None:
        return blind
    generator = rng.numpy_generator(settings.seed, 'calibration')
    order = generator.permutation(labelled.measured.index[fit])
    return controls.blind_target(
        target, faces.select(order), seed=settings.seed, skip_bad=settings.skip_bad
    )


def _by_shadow(target, shadow, given, backbone, control, measure, settings):
    errors.require('auxiliary' in given, 'shadow: it needs auxiliary, faces it was trained on')
    auxiliary = given['auxiliary']
    seen = measure(shadow.target, auxiliary, 'shadow')
    digests = overlap.content_digests(auxiliary, skip_bad=settings.skip_bad)
    trained_on = set(shadow.digests)
    member = np.array([digests[position] in trained_on for position in seen.index])
    errors.require(
        member.any() and not member.all(),
        f'--shadow: {int(member.sum())} of {len(member)} auxiliary images are among the '
        f'{len(trained_on)} that it was trained on, expected some and not all',
    )
    alike = len(control.measured.layers) == len(seen.layers)
    return ByShadow(
        name=shadow.target.name,
        recipe=shadow.target.recipe,
        labelled=Labelled(measured=seen, member=member),
        reference=measure(target, auxiliary, 'auxiliary faces'),
        blind_reference=measure(backbone, auxiliary, 'auxiliary faces, blind') if alike else None,
    )
