"""People with several images: how similar a person's embeddings are, and how unlike those of others.

Training pulls the images of one person together and away from others. The features of a person: the
mean cosine between two of the images; the same in the blind backbone, which distinguishes a learned
person from photographs that are similar anyway; by how much the images come nearer to a stranger of
the fit half than in the blind backbone (the largest cosine, mean over the images); and the mean
logarithm of the embeddings' lengths. An attacker with the file also has the mean logit of the distances.

The smallest and largest cosine and the spread are left out: they depend on the number of images,
which differs between the sides if some of the members' images were not trained on.
"""

import numpy as np

from fr_inference import rng
from fr_inference.membership import attack, cross_fitting, labelled
from fr_inference.membership.attack import Examples
from fr_inference.membership.attacks import anchors

_MOST = 1024  # strangers


def _answers(images, fit, seed):
    """Only beside the file's: without layers that one is made of the embeddings alone."""
    return _examples(images, fit, seed, []) if images.layers else None


def _file(images, fit, seed):
    if not images.layers:
        return _examples(images, fit, seed, [])
    for side in (images.member, ~images.member):
        if len(labelled.people_in(images.identities, fit & side)) < 4:
            return None  # too few for cross-fitting
    single = attack.of_images(images, fit, images.log_distances)
    return _examples(images, fit, seed, [cross_fitting.logits(single, seed)])


def _examples(images, fit, seed, columns):
    strangers = np.flatnonzero(fit & ~images.member)
    if len({images.identities[row] for row in strangers}) < 2:
        return None
    drawn = rng.numpy_generator(seed, 'people').permutation(strangers)[:_MOST]
    lengths = np.linalg.norm(images.embeddings.astype(np.float64), axis=1)
    columns = [*columns, np.log(np.maximum(lengths, 1e-12))]
    backbones = [images]
    if images.blind is not None:
        backbones = [images, images.blind]
        here, blind = (_nearest(images, seen, drawn) for seen in backbones)
        columns = [*columns, here - blind]
    several = _several_images(images)
    features = [
        [*(_mean_cosine(seen, rows) for seen in backbones), *(one[rows].mean() for one in columns)]
        for rows in several.values()
    ]
    return Examples(
        names=tuple(name for name, _ in several),
        member=np.array([member for _, member in several], bool),
        features=np.array(features, np.float64).reshape(
            len(several), len(backbones) + len(columns)
        ),
        fit=np.array([fit[rows[0]] for rows in several.values()], bool),
        access=None if images.layers else 'answers',
    )


def _several_images(images):
    """(name, member) -> rows, of two or more images; a person on both sides counts as two."""
    rows: dict[tuple[str, bool], list[int]] = {}
    for row, name in enumerate(images.identities):
        rows.setdefault((name, bool(images.member[row])), []).append(row)
    return {person: own for person, own in sorted(rows.items()) if len(own) > 1}


def _nearest(images, seen, drawn):
    """[N] largest cosine of each image with another person who is a stranger."""
    found = [
        np.where(own, -1, cosines).max(1).astype(np.float64)
        for cosines, own in anchors.with_strangers(images, seen, drawn)
    ]
    return np.concatenate(found)


def _mean_cosine(seen, rows):
    """The mean cosine between two different images of `rows`."""
    units = seen.embeddings[rows].astype(np.float64)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    count = len(rows)
    together = float((units.sum(0) ** 2).sum())
    return (together - float((units**2).sum())) / (count * (count - 1))


def _attack(name, title, access, examples):
    return attack.Attack(
        name=name,
        title=title,
        source="after SLMIA-SR, NDSS'24, and FACE-AUDITOR, USENIX Security'23, arXiv 2304.02782",
        access=access,
        unit='person',
        needs='eight people with two or more images each among the members, and eight among the '
        'non-members',
        settings=('partial',),
        examples=examples,
    )


ATTACKS = (
    _attack('people', 'Agreement of embeddings', 'file', _file),
    _attack('people-answers', 'Agreement of embeddings alone', 'answers', _answers),
)
