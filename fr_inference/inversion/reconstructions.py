"""The table of a search's reconstructions, and its files."""

import os
import pathlib

import numpy as np

from fr_inference import tables
from fr_inference.inversion import pictures
from fr_inference.inversion.searches import Inversion


def save(result: Inversion, directory: str | os.PathLike) -> None:
    """Writes reconstructions.csv, reconstructions.png and reconstructions/NNNN.png.

    Args:
      result: of `searches.invert`.
      directory: an existing folder. Only one process calls this.

    Raises:
      InputError: where there is a file of that name already.
    """
    columns = rows(result)
    path = pathlib.Path(directory) / 'reconstructions.csv'
    tables.write(path, columns, zip(*columns.values(), strict=True))
    pictures.save(result.found.images, directory)


def rows(result: Inversion) -> dict[str, list]:
    """Returns the evaluator's results for every reconstruction: column -> M values.

    `membership_logit` is absent if the backbone has no membership attack.
    """
    found, judged, gallery = result.found, result.judged, result.gallery
    names = np.array(gallery.names)
    hit = judged.matched & gallery.member[judged.nearest]
    columns = {
        'number': np.arange(len(hit)),
        'objective': found.objective,
        'membership_logit': found.logits,
        'nearest': names[judged.nearest],
        'similarity': judged.similarity,
        'hit': hit.astype(int),
        'nearest_member': names[judged.nearest_member],
        'member_similarity': judged.member_similarity,
        'nearest_nonmember': names[judged.nearest_other],
        'nonmember_similarity': judged.other_similarity,
        'claim_rank': judged.rank + 1,
    }
    return {name: values.tolist() for name, values in columns.items() if values is not None}
