"""Turns faces into a TensorFlow Datasets set of ArrayRecord files, which many programs read fast.

  python -m experiments.prepare_faces --faces=train.rec --out=DIR --name=webface
  python -m experiments.split_faces --faces=tfds:webface:train --data_dir=DIR --out=SPLIT

Stopped or killed at any moment, the same command continues with the rest. Encoded images are kept byte
by byte.
"""

from absl import flags

from experiments import cli, faces_flags
from fr_inference import config
from fr_inference.data import prepare

flags.adopt_module_key_flags(faces_flags)
_FACES = flags.DEFINE_string('faces', None, faces_flags.SOURCES, required=True)
_OUT = flags.DEFINE_string(
    'out', None, "Folder of tfds sets (what other programs' --data_dir names).", required=True
)
_NAME = flags.DEFINE_string('name', None, 'Of the set; after --faces by default.')
_WORKERS = flags.DEFINE_integer(
    'workers', None, 'Processes that share the work; one for each core by default.'
)
_SHARDS = flags.DEFINE_integer(
    'shards', None, 'Files of the set; by default one for each 4,096 images.'
)
_SKIP_BAD = flags.DEFINE_bool('skip_bad', False, 'Leave unreadable images out and list them.')


def main() -> None:
    """Writes OUT/NAME/1.0.0 and says how to open it."""
    options = config.Preparation(
        faces=_FACES.value,
        out=_OUT.value,
        name=_NAME.value,
        workers=_WORKERS.value,
        shards=_SHARDS.value,
        skip_bad=_SKIP_BAD.value,
        **faces_flags.options(),
    )
    cli.make_folder(options.out, '--out')
    print(prepare.prepare(options, cli.progress))


if __name__ == '__main__':
    cli.run(main, shared=False)
