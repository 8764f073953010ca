"""Every image in the target and in its controls: measured once, attacked in many ways."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fr_inference import checkpointing, config, errors, rng
from fr_inference.data import overlap
from fr_inference.data.faces import Faces, concat
from fr_inference.measuring import measurements
from fr_inference.measuring.features import Feature
from fr_inference.measuring.measurements import Measurements
from fr_inference.membership import controls
from fr_inference.membership.labelled import Labelled, fit_half
from fr_inference.models.target import Target
from fr_inference.runs import Progress

MADE = 'reconstructions'  # name of faces whose measurements are not stored

Measure = Callable[..., Measurements]
"""(backbone, faces, label of the progress, features=()) -> measurements."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shadow:
    """A backbone that the auditor trained on some of the auxiliary faces.

    Attributes:
      target: the backbone.
      digests: SHA-256 of each image it was trained on.
    """

    target: Target
    digests: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShadowViews:
    """The auxiliary faces, for the setting without known members.

    Attributes:
      name: of the shadow.
      recipe: of the shadow, or None.
      in_shadow: the faces in the shadow, which was trained on some of them.
      in_target: the faces in the target, which was trained on none of them.
      in_blind: the faces in the blind backbone, without its layers if they differ from the shadow's.
    """

    name: str
    recipe: Mapping | None
    in_shadow: Labelled
    in_target: Labelled
    in_blind: Labelled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Views:
    """The measurements that attacks are fitted and judged on.

    Attributes:
      faces: members, then non-members.
      target: the backbone.
      in_target: the N images that could be read, in the target.
      fit: [N] bool, the half of the people that attacks are fitted on.
      blind: a backbone that never saw them.
      untrained: whether that is the target with random weights.
      in_blind: the same images in it.
      shadow: the auxiliary faces, if there is a shadow.
      skipped: path -> reason, of images that could not be read; `measure` adds to it.
      measure: measures other faces with the same settings.
      references: name -> networks that the training may have started from, or that resemble the target.
    """

    faces: Faces
    target: Target
    in_target: Labelled
    fit: np.ndarray
    blind: Target
    untrained: bool
    in_blind: Labelled
    shadow: ShadowViews | None
    skipped: dict[str, str]
    measure: Measure
    references: Mapping[str, Target] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def blind_is_reference(self) -> bool:
        """Whether the blind backbone is one of the references, so that it cannot be their control."""
        if not self.references:
            return False
        blind = checkpointing.digest(self.blind.variables)
        return any(checkpointing.digest(one.variables) == blind for one in self.references.values())

    def strangers(
        self, backbone: Target, faces: Faces, label: str, features: Sequence[Feature] = ()
    ) -> Labelled:
        """Returns other faces, none of them a member, in a backbone and in those compared with it.

        Args:
          backbone: `target` or `blind`.
          faces: of anybody.
          label: of the progress.
          features: what to measure for each image besides distances and embedding.
        """

        def measure(one, *given):
            found = self.measure(one, *given)
            return _blind_view(self.in_target, found) if one is self.blind else found

        return _beside(measure, self.references, self.blind)(backbone, faces, label, features)


def _beside(measure, references, blind):
    """Measures faces in a backbone, in the references and, if given, in the blind backbone."""

    def seen(backbone, faces, label, features=()):
        measured = measure(backbone, faces, label, features)
        others = {
            name: measure(one, faces, f'{label}, reference {name}')
            for name, one in references.items()
        }
        return Labelled.of(
            measured,
            np.zeros(len(measured), bool),
            others,
            measured
            if backbone is blind or blind is None
            else measure(blind, faces, f'{label}, blind', features),
        )

    return seen


def measure_views(
    target: Target,
    faces: Mapping[str, Faces],
    *,
    settings: config.Settings,
    features: Sequence[Feature] = (),
    shadow: Shadow | None = None,
    blind: Target | None = None,
    references: Mapping[str, Target] | None = None,
    scores: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Views:
    """Measures members, non-members and auxiliary faces in every backbone that attacks use.

    Args:
      target: the backbone.
      faces: 'members', 'nonmembers' and, with a shadow, 'auxiliary'.
      settings: how.
      features: what the attacks need for each image besides distances and embedding.
      shadow: trained on part of 'auxiliary'.
      blind: a backbone that never saw the members nor the non-members; the target with random weights
        when None.
      references: name -> networks that the training may have started from, or that resemble the target.
      scores: folder of cached rows, for `measurements.measure`.
      progress: called as progress(label, done, total).

    Raises:
      InputError: for anything that is wrong with the input.
    """
    skipped: dict[str, str] = {}

    def measure(backbone: Target, images: Faces, label: str, features=()) -> Measurements:
        measured = measurements.measure(
            backbone,
            images,
            features=features,
            batch_size=settings.batch_size,
            decoders=settings.decoders,
            skip_bad=settings.skip_bad,
            # Pictures that were just made are not used again.
            scores=None if images.name == MADE else scores,
            label=label,
            progress=progress,
        )
        skipped.update(measured.skipped)
        return measured

    everyone = concat([faces['members'], faces['nonmembers']], 'members and non-members')

    references = dict(references or {})
    measured = measure(target, everyone, 'target', features)
    member = measured.index < len(faces['members'])
    fit = fit_half(measured.identities, member, settings.seed)
    other = blind or untrained(target, everyone, measured, fit, settings)
    unseen = _blind_view(measured, measure(other, everyone, 'blind control', features))
    beside = {
        'references': {
            name: measure(one, everyone, f'reference {name}') for name, one in references.items()
        },
        'blind': unseen,
    }
    in_target = Labelled.of(measured, member, **beside)
    in_blind = Labelled.of(unseen, member, **beside)
    by_shadow = None
    if shadow is not None:
        by_shadow = _shadow_views(
            shadow,
            faces,
            {'target': target, 'blind': other},
            {'target': in_target.layers, 'blind': in_blind.layers},
            settings.skip_bad,
            functools.partial(_beside(measure, references, None), features=features),
        )
    return Views(
        faces=everyone,
        target=target,
        in_target=in_target,
        fit=fit,
        blind=other,
        untrained=blind is None,
        in_blind=in_blind,
        shadow=by_shadow,
        skipped=skipped,
        measure=measure,
        references=references,
    )


def untrained(
    target: Target, faces: Faces, images: Measurements, fit: np.ndarray, settings: config.Settings
) -> Target:
    """Returns the target with random weights: the blind control if no other backbone is given.

    Args:
      target: the backbone.
      faces: members, then non-members.
      images: those of them that could be read, in the target.
      fit: [N] bool, the half of the people whose images its statistics are measured on.
      settings: seed, and how to handle unreadable images.
    """
    order = rng.numpy_generator(settings.seed, 'calibration').permutation(images.index[fit])
    return controls.blind_target(
        target, faces.select(order), seed=settings.seed, skip_bad=settings.skip_bad
    )


def _blind_view(images, blind):
    """Limits the blind backbone to what attacks see of the target."""
    if images.layers and not blind.layers:
        raise errors.InputError(
            'blind', 'a backbone without BatchNorm statistics', 'one that has them, as the target'
        )
    return blind if images.layers else _without_layers(blind)


def _without_layers(images):
    """Keeps only the embeddings, all that a target without BatchNorm layers shows."""
    return dataclasses.replace(images, layers=(), distances=images.distances[:, :0])


def _shadow_views(shadow, faces, backbones, layers, skip_bad, measure):
    if 'auxiliary' not in faces:
        raise errors.InputError(
            'shadow',
            'no auxiliary faces',
            hint='also give auxiliary=FACES, those it was trained on',
        )
    auxiliary = faces['auxiliary']
    seen = measure(shadow.target, auxiliary, 'shadow')
    if not layers['target']:
        seen = _without_layers(seen)
    if len(seen.layers) != len(layers['target']):
        raise errors.InputError(
            'shadow',
            f'{len(seen.layers)} BatchNorm layers',
            f"{len(layers['target'])}: a shadow has the target's architecture",
        )
    digests = overlap.content_digests(auxiliary, skip_bad=skip_bad)
    known = set(shadow.digests)
    member = np.array([digests[position] in known for position in seen.index])
    if not member.any() or member.all():
        raise errors.InputError(
            'shadow',
            f'{int(member.sum())} of {len(member)} auxiliary images among the {len(known)} that it '
            'was trained on',
            'some of them, and not all',
        )

    in_blind = measure(backbones['blind'], auxiliary, 'auxiliary faces, blind')
    if not layers['blind'] or len(layers['blind']) != len(seen.layers):
        in_blind = _without_layers(in_blind)
    return ShadowViews(
        name=shadow.target.name,
        recipe=shadow.target.recipe,
        in_shadow=seen.relabelled(member),
        in_target=measure(backbones['target'], auxiliary, 'auxiliary faces'),
        in_blind=in_blind,
    )
