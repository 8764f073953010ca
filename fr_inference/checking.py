"""Checks before anything is measured: the inputs fit each other, and nobody is on two sides."""

import dataclasses
from collections.abc import Mapping

from fr_inference import checkpointing, config, errors
from fr_inference.data import overlap, spellings
from fr_inference.data.faces import BadImageError, Faces
from fr_inference.measuring import convention, distances
from fr_inference.membership import study
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.opening import Opened


def wanted_search(
    opened: Opened, search: config.Search | None, membership: bool
) -> config.Search | None:
    """Returns how the generator is searched, None without a generator.

    Raises:
      InputError: when there is nothing to do, or the search lacks an input.
    """
    parts = ('shadow', 'shadow_init', 'generator', 'evaluator', 'second_evaluator', 'strangers')
    given = {*opened.faces, *(name for name in parts if getattr(opened, name) is not None)}
    config.check_parts(given)
    if opened.generator is None:
        if search is not None or not membership:
            raise errors.InputError('generator', expected='the StyleGAN2 to search')
        return None
    search = search or config.Search()
    config.check_strangers(given, search)
    return search


def check_attacks(opened: Opened, settings: config.Settings, search: config.Search | None) -> None:
    """Checks that the chosen attacks use all given faces and references, and have all they need.

    Raises:
      InputError: for faces or references that no attack uses (auxiliary faces may also serve the
        search), and for an attack that was requested by name and needs a reference that is not given.
    """
    chosen = study.chosen(settings)
    using = [attack.name for attack in chosen if attack.references]
    if opened.references and not using:
        raise errors.InputError(
            'references',
            f'networks that attacks={",".join(attack.name for attack in chosen)} ignores',
            hint='leave references out, or choose further attacks',
        )
    if all(attack.combines for attack in chosen):
        raise errors.InputError(
            'attacks',
            f'{",".join(attack.name for attack in chosen)} alone',
            'also the attacks to combine',
        )
    _check_references(opened)
    if named := [name for name in using if name in settings.attacks and not opened.references]:
        raise errors.InputError('references', f'none, for attacks={",".join(named)}', 'a network')
    faces, unused = opened.faces, []
    if search is None and not any('auxiliary' in attack.settings for attack in chosen):
        unused.append('auxiliary')
    if not any(attack.unit == 'image' and 'partial' in attack.settings for attack in chosen):
        unused += ['member_identities', 'shift', 'collection']
    for name in unused:
        if name in faces:
            raise errors.InputError(
                name,
                f'faces that attacks={",".join(attack.name for attack in chosen)} ignores',
                hint=f'leave {name} out, or choose further attacks',
            )


def check_reach(settings: config.Settings, membership: bool) -> None:
    """Checks that there is an attack whose leak can be followed, if the settings ask for that.

    Raises:
      InputError: without an attack on images that knows some members.
    """
    chosen = study.chosen(settings)
    able = any(attack.unit == 'image' and 'partial' in attack.settings for attack in chosen)
    if settings.reach and not (membership and able):
        raise errors.InputError(
            'reach',
            f'attacks={",".join(attack.name for attack in chosen)}'
            if membership
            else 'an inversion alone',
            'an attack on photographs that knows some members, whose leak is followed',
        )


def _check_references(opened):
    """Rejects a reference that is the target or was given twice: there is nothing to compare."""
    if not opened.references:
        return
    digests = {'the target': checkpointing.digest(opened.target.variables)}
    for name, one in opened.references.items():
        digest = checkpointing.digest(one.variables)
        for other, known in digests.items():
            if digest == known:
                raise errors.InputError(
                    'references', f'{name}, with the weights of {other}', 'another network'
                )
        digests[name] = digest


def checked_faces(opened: Opened, settings: config.Settings) -> tuple[dict[str, Faces], list[str]]:
    """Returns the faces, whose files are read only once here, and remarks on their overlaps.

    Remarks on files are added to those of the faces; each person gets one spelling on all sides.

    Raises:
      InputError: for an overlap, unless the settings allow it, and for too few people.
    """
    faces: dict[str, Faces] = {}
    limits: list[str] = []
    digests = {}
    for name, side in opened.faces.items():
        mended: list[str] = []
        try:
            digests[name] = overlap.content_digests(side, skip_bad=settings.skip_bad, mended=mended)
        except BadImageError as error:
            raise BadImageError(
                name,
                error.found,
                error.expected,
                error.hint or 'skip_bad=True leaves unreadable images out',
                inside=error.field,
            ) from error
        remarks = overlap.remarks(side, digests[name], mended)
        overlap.tell(name, remarks)
        faces[name] = _digested(side, digests[name], remarks)
    limits += overlap.check_all(faces, digests, settings.allow_overlap)
    limits += overlap.check_training_list(
        faces, digests, opened.trained_on.get('target'), settings.allow_overlap
    )
    for field, trained_on in (
        ('shadow', opened.shadow and opened.shadow.digests),
        ('blind', opened.trained_on.get('blind')),
        ('references', opened.trained_on.get('references')),
        *((name, opened.trained_on.get(name)) for name in ('evaluator', 'second_evaluator')),
    ):
        limits += _check_unseen(field, trained_on, faces, digests, settings.allow_overlap)
    faces = spellings.unified(faces)
    study.check(faces, settings.seed)
    return faces, limits


def misfits(
    opened: Opened, faces: Mapping[str, Faces], settings: config.Settings
) -> dict[str, str]:
    """Checks the input convention of every other backbone than the target.

    Returns:
      'shadow', 'blind', 'evaluator', 'second_evaluator' or 'references NAME' -> a sentence, for each
      that the images may not fit.

    Raises:
      InputError: if the images clearly fit another convention better, unless that is allowed.
    """
    found: dict[str, str] = {}
    given: dict[str, Target | None] = {
        'shadow': opened.shadow.target if opened.shadow is not None else None,
        'blind': opened.blind,
        'evaluator': opened.evaluator,
        'second_evaluator': opened.second_evaluator,
        **{f'references {name}': one for name, one in opened.references.items()},
    }
    for field, backbone in given.items():
        if backbone is None:
            continue
        fit = convention.check(
            backbone, faces['nonmembers'], seed=settings.seed, skip_bad=settings.skip_bad
        )
        said = convention.demand(
            backbone, fit, allow=settings.allow_misfit, field=field.partition(' ')[0]
        )
        if said:
            found[field] = f'{field.partition(" ")[0]} ({backbone.name}): {" ".join(said)}'
    return found


def _digested(faces, digests, remarks):
    return dataclasses.replace(
        faces, digest=lambda index: digests[index], remarks=(*faces.remarks, *remarks)
    )


def _check_unseen(field, trained_on, faces, digests, allow):
    """Rejects a shadow, control or evaluator that was trained on anyone in the evaluation set."""
    notes = []
    known = set(trained_on or ()) - {''}  # '' stands for images that could not be read
    for part in ('members', 'nonmembers'):
        inside = [
            path
            for path, digest in zip(faces[part].paths, digests[part], strict=True)
            if digest in known
        ]
        if not inside:
            continue
        found = f'{len(inside)} images of {part} (as {inside[0]}) among those it was trained on'
        if not allow:
            raise errors.InputError(
                field,
                found,
                'a backbone that never saw them',
                'give another backbone, or allow it with allow_overlap=True',
            )
        notes.append(f'{field}: {found}; allow_overlap was given, so the figures may mislead.')
    return notes


def shadow_is_missing(opened: Opened, settings: config.Settings, *, membership: bool) -> bool:
    """Returns whether a shadow must be trained.

    For a backbone without BatchNorm statistics, only attacks on embeddings use a shadow, and it can
    be trained only for a registered architecture.
    """
    if opened.shadow is not None or 'auxiliary' not in opened.faces:
        return False
    if distances.layer_names(opened.target):
        return True
    uses_it = any(
        'auxiliary' in attack.settings and not attack.layers and not attack.combines
        for attack in study.chosen(settings)
    )
    return membership and uses_it and shadow_can_be_had(opened)


def shadow_can_be_had(opened: Opened) -> bool:
    """Returns whether a shadow was given or can be trained from auxiliary faces."""
    return opened.shadow is not None or opened.target.architecture in registry.VARIANTS
