"""Checks that members and non-members are different people and different files."""

import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np

from fr_inference import errors, runs
from fr_inference.data import spellings
from fr_inference.data.faces import BadImageError, Faces, each
from fr_inference.formats import images

_LOG = logging.getLogger(__name__)
_EXAMPLES = 3


def readable(faces: Faces, *, skip_bad: bool) -> Faces:
    """Returns the faces that can be read; stops at the first unreadable one unless `skip_bad`."""

    def fine(index):
        try:
            faces.read(index)
        except BadImageError:
            if not skip_bad:
                raise
            return False
        return True

    # Each thread may hold an image of 200 MB.
    return faces.select(np.flatnonzero(each(faces, range(len(faces)), fine, threads=2)))


def content_digests(
    faces: Faces, *, skip_bad: bool = False, mended: list[str] | None = None
) -> list[str]:
    """Returns the SHA-256 (hex) of each image's content; '' for one skipped as unreadable.

    Each of several processes reads its share.

    Args:
      faces: the source.
      skip_bad: continue after an unreadable image.
      mended: receives the paths of images whose files end early but can be read.

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
    """

    def look(index):
        try:
            content = faces.encoded(index)
            if content is None:
                return [faces.digest(index), False]
            early = mended is not None and _ends_early(content, faces.paths[index])
            return [images.content_digest(content), early]
        except BadImageError:
            if not skip_bad:
                raise
            return ['', False]

    def looked(own):
        # Each thread may hold a file of 96 MiB.
        return each(faces, own, look, threads=min(4, os.cpu_count() or 1))

    found = runs.shared(len(faces), looked)
    if mended is not None:
        mended += [faces.paths[index] for index, (_, early) in enumerate(found) if early]
    return [digest for digest, _ in found]


def _ends_early(content, path):
    if not images.is_cut_short(content):
        return False
    try:
        images.decode(content, path, shrink=True)
    except BadImageError:
        return False  # it stops the run, or is skipped, when the images are used
    return True


def remarks(faces: Faces, digests: Sequence[str], mended: Sequence[str]) -> list[str]:
    """Returns remarks on the files of one source.

    Args:
      faces: the source.
      digests: `content_digests` of it.
      mended: the paths from `content_digests`.
    """
    first: dict[str, int] = {}
    shared = []
    for index, digest in enumerate(digests):
        other = first.setdefault(digest, index)
        if digest and faces.identities[other] != faces.identities[index]:
            shared.append(f'{faces.paths[other]} = {faces.paths[index]}')
    return [
        f'{kind}: {len(found)} ({spellings.listed(found)})'
        for kind, found in (
            ('equal files of two people', shared),
            ('read up to where they end, truncated JPEG files', mended),
        )
        if found
    ]


@runs.first_only
def tell(name: str, lines: Sequence[str]) -> None:
    """Logs remarks on the source that is called `name`, once for all processes."""
    for line in lines:
        _LOG.warning('%s: %s', name, line)


def check_disjoint(
    first: Faces,
    second: Faces,
    *,
    digests: tuple[Sequence[str], Sequence[str]],
    names: tuple[str, str] = ('members', 'nonmembers'),
    allow: bool = False,
    identities: bool = True,
) -> list[str]:
    """Looks for images with the same content, or the same identity, on both sides.

    Args:
      first: one side.
      second: the other.
      digests: `content_digests` of the two.
      names: of the two, in errors and findings; the second is the errors' field.
      allow: return the findings instead of stopping at them.
      identities: whether the same name counts, however it is spelled; content always does.

    Returns:
      One line for each kind of overlap, empty when there is none.

    Raises:
      InputError: with up to three examples, unless `allow`.
    """
    found = []
    if identities:
        shared = _same_people(first.identities, second.identities)
        if shared:
            found.append(f'{len(shared)} identities on both sides ({_listed(shared)})')
    there = dict(zip(digests[1], second.paths, strict=True))
    there.pop('', None)
    same = [
        f'{path} = {there[digest]}'
        for digest, path in zip(digests[0], first.paths, strict=True)
        if digest in there
    ]
    if same:
        found.append(f'{len(same)} images with the same content on both sides ({_listed(same)})')
    if found and not allow:
        raise errors.InputError(
            names[1],
            ' and '.join(found),
            hint=f'{names[0]} and {names[1]} overlap: separate them, or allow it with '
            'allow_overlap=True, which the report will mention',
        )
    return [f'{names[0]} and {names[1]}: {line}' for line in found]


def _same_people(first, second):
    """Returns the names of the same person on both sides, with both spellings if they differ."""
    here, there = (
        {spellings.key(name): name for name in sorted(set(side), reverse=True)}
        for side in (first, second)
    )
    names = sorted((here[key], there[key]) for key in here.keys() & there.keys())
    return [name if name == other else f'{name} = {other}' for name, other in names]


def check_all(
    given: Mapping[str, Faces], digests: Mapping[str, Sequence[str]], allow: bool
) -> list[str]:
    """Compares every two parts of an audit; members and member_identities may share people.

    Args:
      given: name (as 'members') -> faces.
      digests: name -> `content_digests`.
      allow: return findings instead of stopping at them.

    Returns:
      One line for each finding.
    """
    found = []
    names = list(given)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            found += check_disjoint(
                given[first],
                given[second],
                digests=(digests[first], digests[second]),
                names=(first, second),
                allow=allow,
                identities=(first, second) != ('members', 'member_identities'),
            )
    return [f'{line}; allow_overlap was given, so the figures may mislead.' for line in found]


def check_training_list(
    given: Mapping[str, Faces],
    digests: Mapping[str, Sequence[str]],
    training: Sequence[str] | None,
    allow: bool,
) -> list[str]:
    """Compares the parts of an audit with a checkpoint's own list of training images.

    Args:
      given: name (as 'members') -> faces.
      digests: name -> `content_digests`.
      training: digests of all training images, None where they are unknown.
      allow: return findings instead of stopping at them.

    Returns:
      One line for each finding.
    """
    if training is None:
        return []
    known = set(training)
    notes: list[str] = []
    for name in given:
        inside = [
            path
            for path, digest in zip(given[name].paths, digests[name], strict=True)
            if digest in known
        ]
        if name not in ('members', 'collection') and inside:
            if not allow:
                raise errors.InputError(
                    name,
                    f"{len(inside)} images of the target's own list of training images "
                    f'({_listed(inside)})',
                    hint='separate them, or allow it with allow_overlap=True',
                )
            notes.append(
                f"{len(inside)} images of {name} are in the target's own list of training images; "
                'allow_overlap was given, so the figures may mislead.'
            )
    return notes


def listed(digests: Sequence[str], training: Sequence[str]) -> list[bool]:
    """Returns which images are in a list of training images.

    Args:
      digests: `content_digests` of the images; '' for one that could not be read.
      training: SHA-256 of the training images.
    """
    known = set(training) - {''}
    return [digest in known for digest in digests]


def _listed(examples):
    return ', '.join(examples[:_EXAMPLES]) + (', ...' if len(examples) > _EXAMPLES else '')
