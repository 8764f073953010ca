"""Splits the people of a source into manifests that share nobody."""

import re

from absl import flags

from experiments import cli, faces_flags
from fr_inference import errors
from fr_inference.data import sources, splits

flags.adopt_module_key_flags(faces_flags)
_FACES = flags.DEFINE_string('faces', None, faces_flags.SOURCES, required=True)
_OUT = flags.DEFINE_string('out', None, 'Folder for the manifests.', required=True)
_PARTS = flags.DEFINE_string(
    'parts', 'members:0.5,nonmembers:0.5', 'Name and share of the people, for each part.'
)
_SEED = cli.define_seed('The same seed gives the same split.')
_MIN = flags.DEFINE_integer('min_images', 1, 'Leave out people with fewer images.', lower_bound=1)
_MAX = flags.DEFINE_integer('max_images', None, 'Leave out people with more images.', lower_bound=1)
_LIMIT = flags.DEFINE_integer(
    'limit_images', None, 'Take at most so many images of each person.', lower_bound=1
)
_HOLDOUT = flags.DEFINE_float(
    'holdout_images', 0.0, "Share of each person's images that goes to NAME_other.csv."
)


def main() -> None:
    """Writes OUT/NAME.csv for each part."""
    parts = _parts(_PARTS.value)
    names = [name + end for name in parts for end in ('.csv', '_other.csv')]
    out = cli.make_folder(_OUT.value, '--out', names)
    result = splits.split_identities(
        sources.open_faces(_FACES.value, '--faces', **faces_flags.options()),
        parts,
        seed=_SEED.value,
        min_images=_MIN.value,
        max_images=_MAX.value,
        limit_images=_LIMIT.value,
        holdout=_HOLDOUT.value,
    )
    for name, faces in result.items():
        sources.write_manifest(out / f'{name}.csv', faces)
        print(f'{out / name}.csv: {len(faces)} images of {len(set(faces.identities))} people')


def _parts(text):
    """Reads `members:0.5,nonmembers:0.5`; the names are those of files."""
    parts: dict[str, float] = {}
    for part in text.split(','):
        name, _, share = (piece.strip() for piece in part.partition(':'))
        try:
            number = float(share)
        except ValueError:
            number = 0.0
        errors.require(
            re.fullmatch(r'[\w-]+', name) and number > 0,
            f'--parts: found {part!r}, expected NAME:SHARE as in members:0.5',
        )
        errors.require(
            not {name, f'{name}_other', name.removesuffix('_other')} & set(parts),
            f'--parts: {name!r} would write a file that another part writes; choose another name',
        )
        parts[name] = number
    return parts


if __name__ == '__main__':
    cli.run(main, shared=False, saves=False)
