"""Splits the people of a source into manifests that share nobody."""

from absl import flags

from experiments import cli, faces_flags
from fr_inference import config
from fr_inference.data import splits

flags.adopt_module_key_flags(faces_flags)
_FACES = flags.DEFINE_string('faces', None, faces_flags.SOURCES, required=True)
_OUT = flags.DEFINE_string('out', None, 'Folder for the manifests.', required=True)
_PARTS = flags.DEFINE_list(
    'parts', ['members:0.5', 'nonmembers:0.5'], 'Name and share of the people, for each part.'
)
_SEED = cli.define_seed('The same seed gives the same split.')
_MIN = flags.DEFINE_integer('min_images', 1, 'Leave out people with fewer images.')
_MAX = flags.DEFINE_integer('max_images', None, 'Leave out people with more images.')
_LIMIT = flags.DEFINE_integer('limit_images', None, 'Take at most this many of each person.')
_HOLDOUT = flags.DEFINE_float(
    'holdout_images', 0.0, "Share of each person's images, below 1, that goes to NAME_other.csv."
)


def main() -> None:
    """Writes OUT/NAME.csv for each part."""
    options = config.Split(
        faces=_FACES.value,
        out=_OUT.value,
        parts=tuple(_PARTS.value),
        seed=_SEED.value,
        min_images=_MIN.value,
        max_images=_MAX.value,
        limit_images=_LIMIT.value,
        holdout_images=_HOLDOUT.value,
        **faces_flags.options(),
    )
    cli.make_folder(options.out, '--out', splits.files(options.parts))
    for path, faces in splits.write(options):
        print(f'{path}: {len(faces)} images of {len(set(faces.identities))} people')


if __name__ == '__main__':
    cli.run(main, shared=False, saves=False)
