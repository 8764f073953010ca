"""Seeded splits of the people of a source into disjoint parts."""

import collections
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from fr_inference import errors, program_config, rng
from fr_inference.data import sources
from fr_inference.data.faces import Faces


def write(options: program_config.Split) -> Iterator[tuple[pathlib.Path, Faces]]:
    """Splits the faces, writes a manifest for each part and yields (its path, its faces).

    Raises:
      InputError: for parts that do not add up, a part that stays empty, or faces that cannot be opened.
    """
    parts = shares(options.parts)
    faces = sources.open_faces(options.faces, reading=options)
    found = split_identities(
        faces,
        parts,
        seed=options.seed,
        min_images=options.min_images,
        max_images=options.max_images,
        limit_images=options.limit_images,
        holdout=options.holdout_images,
    )
    for name, part in found.items():
        path = pathlib.Path(options.out) / f'{name}.csv'
        sources.write_manifest(path, part)
        yield path, part


def files(parts: Sequence[str]) -> list[str]:
    """Returns the names of the files that `write` may write for `parts`."""
    return [name + end for name in shares(parts) for end in ('.csv', '_other.csv')]


def shares(parts: Sequence[str]) -> dict[str, float]:
    """Returns name -> share for parts written as NAME:SHARE; the names must be valid for files.

    >>> shares(('members:0.5', 'nonmembers:0.25'))
    {'members': 0.5, 'nonmembers': 0.25}
    """
    found: dict[str, float] = {}
    for part in parts:
        name, _, share = (piece.strip() for piece in part.partition(':'))
        try:
            number = float(share)
        except ValueError:
            number = 0.0
        if not re.fullmatch(r'[\w-]+', name) or not number > 0:
            raise errors.InputError('parts', f'{part!r:.80}', 'NAME:SHARE as in members:0.5')
        if {name, f'{name}_other', name.removesuffix('_other')} & set(found):
            raise errors.InputError(
                'parts', f'{name!r}, whose file another part writes', 'another name'
            )
        found[name] = number
    return found


def split_identities(
    faces: Faces,
    parts: Mapping[str, float],
    *,
    seed: int,
    min_images: int = 1,
    max_images: int | None = None,
    limit_images: int | None = None,
    holdout: float = 0.0,
) -> dict[str, Faces]:
    """Splits people, not images.

    Args:
      faces: the source.
      parts: name -> share of the people, all shares together at most 1.
      seed: the same seed gives the same split.
      min_images: people with fewer images are left out.
      max_images: people with more images are left out.
      limit_images: at most this many images of each person are taken, drawn at random.
      holdout: fraction of each person's images that goes to `NAME_other` instead of `NAME`: other images
        of the same people. At least one image stays on each side.

    Returns:
      Name -> faces, in the source's order.

    Raises:
      InputError: for shares that do not add up, or a part that stays empty.
    """
    if not parts or min(parts.values()) <= 0 or sum(parts.values()) > 1 + 1e-9:
        raise errors.InputError(
            'parts', f'{dict(parts)}', 'shares above 0 that add up to at most 1'
        )
    if not 0 <= holdout < 1:
        raise errors.InputError('holdout', holdout, '0 or more, below 1')
    images: dict[str, list[int]] = collections.defaultdict(list)
    for index, identity in enumerate(faces.identities):
        images[identity].append(index)
    most = max_images or len(faces)
    people = sorted(name for name, own in images.items() if min_images <= len(own) <= most)
    order = rng.numpy_generator(seed, 'split').permutation(len(people))
    result, start, share_so_far = {}, 0, 0.0
    for name, share in parts.items():
        share_so_far += share
        stop = round(share_so_far * len(people))
        own, other = [], []
        for person in (people[position] for position in order[start:stop]):
            mixed = rng.numpy_generator(seed, f'images of {person}').permutation(images[person])
            mixed = mixed[:limit_images]
            aside = min(max(1, round(holdout * len(mixed))), len(mixed) - 1) if holdout else 0
            other += mixed[:aside].tolist()
            own += mixed[aside:].tolist()
        if not own:
            raise errors.InputError(
                'parts',
                f'nobody for the part {name!r}',
                hint=f'{len(people)} people have {min_images} to {most} images in {faces.name:.200}',
            )
        result[name] = faces.select(sorted(own))
        if holdout:
            result[f'{name}_other'] = faces.select(sorted(other))
        start = stop
    return result
