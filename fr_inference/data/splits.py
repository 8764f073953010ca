"""Seeded splits of the people of a source into parts that share nobody."""

import collections
from collections.abc import Mapping

from fr_inference import errors, rng
from fr_inference.data.faces import Faces


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
      seed: whole number; the same seed gives the same split.
      min_images: people with fewer images are left out.
      max_images: people with more images are left out.
      limit_images: of each person at most so many images are taken, drawn at random.
      holdout: of each person's images the share that goes to `NAME_other` instead of `NAME`: other
        images of the same people. At least one image stays on each side.

    Returns:
      Name -> faces, in the source's order.

    Raises:
      InputError: for shares that do not add up, or a part that stays empty.
    """
    errors.require(
        parts and all(share > 0 for share in parts.values()) and sum(parts.values()) <= 1 + 1e-9,
        f'parts: found {dict(parts)}, expected shares above 0 that add up to at most 1',
    )
    errors.require(0 <= holdout < 1, f'holdout: found {holdout}, expected 0 up to 1')
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
        errors.require(
            own,
            f'part {name!r} is empty: {len(people)} people have {min_images} to {most} images in '
            f'{faces.name}',
        )
        result[name] = faces.select(sorted(own))
        if holdout:
            result[f'{name}_other'] = faces.select(sorted(other))
        start = stop
    return result
