"""People with several images: how alike a person's embeddings are, and the images' mean logit.

Training pulls the images of one person together. Without BatchNorm the embeddings alone are used, which
takes no access to the file.
"""

import numpy as np

from fr_inference.membership import attack, cross_fitting, labelled
from fr_inference.membership.attack import Examples


def _examples(images, fit, seed):
    columns = [_mean_cosines]
    if images.layers:
        for side in (images.member, ~images.member):
            if len(labelled.people_in(images.identities, fit & side)) < 4:
                return None  # too few for cross-fitting
        single = attack.of_images(images, fit, images.log_distances)
        logits = cross_fitting.logits(single, seed)
        columns.append(lambda _, rows: float(np.mean(logits[rows])))
    several = _several_images(images)
    units = _unit_embeddings(images)
    features = [[column(units, rows) for column in columns] for rows in several.values()]
    return Examples(
        names=tuple(name for name, _ in several),
        member=np.array([member for _, member in several], bool),
        features=np.array(features, np.float64).reshape(len(several), len(columns)),
        fit=np.array([fit[rows[0]] for rows in several.values()], bool),
        access='file' if images.layers else 'answers',
    )


def _several_images(images):
    """(name, member) -> rows, of two or more images; a person on both sides counts as two."""
    rows: dict[tuple[str, bool], list[int]] = {}
    for row, name in enumerate(images.identities):
        rows.setdefault((name, bool(images.member[row])), []).append(row)
    return {person: own for person, own in sorted(rows.items()) if len(own) > 1}


def _unit_embeddings(images):
    embeddings = images.embeddings.astype(np.float64)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(norms, 1e-12)


def _mean_cosines(units, rows):
    """The mean cosine between two different images of `rows`."""
    count = len(rows)
    together = float((units[rows].sum(0) ** 2).sum())
    alone = float((units[rows] ** 2).sum())
    return (together - alone) / (count * (count - 1))


ATTACK = attack.Attack(
    name='people',
    title='Agreement of embeddings',
    source="after SLMIA-SR, NDSS'24, and FACE-AUDITOR, USENIX Security'23, arXiv 2304.02782",
    access='file',
    unit='person',
    needs='eight people with two or more images each among the members, and as many among the '
    'non-members',
    settings=('partial',),
    examples=_examples,
)
