"""Turns faces into a TensorFlow Datasets set of ArrayRecord files, which many programs read fast.

  python -m experiments.prepare_faces --faces=train.rec --out=DIR --name=webface
  python -m experiments.split_faces --faces=tfds:webface:train --data_dir=DIR --out=SPLIT

Stopped or killed at any moment, the same command goes on with the rest. Encoded images are kept byte by
byte.
"""

import os
import pathlib
import re

from absl import flags

from experiments import cli, faces_flags
from fr_inference import errors
from fr_inference.data import prepare

flags.adopt_module_key_flags(faces_flags)
_FACES = flags.DEFINE_string('faces', None, faces_flags.SOURCES, required=True)
_OUT = flags.DEFINE_string(
    'out', None, "Folder of tfds sets (what other programs' --data_dir names).", required=True
)
_NAME = flags.DEFINE_string('name', None, 'Of the set; after --faces by default.')
_WORKERS = flags.DEFINE_integer(
    'workers', os.cpu_count() or 1, 'Processes that share the work.', lower_bound=1
)
_SHARDS = flags.DEFINE_integer(
    'shards', None, 'Files of the set; by default one for each 4,096 images.', lower_bound=1
)
_SKIP_BAD = flags.DEFINE_bool('skip_bad', False, 'Leave unreadable images out and list them.')


def main() -> None:
    """Writes OUT/NAME/1.0.0 and says how to open it."""
    plan = prepare.Plan(
        spec=_FACES.value,
        out=cli.make_folder(_OUT.value, '--out'),
        name=_name(),
        shards=_SHARDS.value,
        skip_bad=_SKIP_BAD.value,
        **faces_flags.options(),
    )
    count, left_out = prepare.prepare(plan, processes=_WORKERS.value, progress=cli.progress)
    print(
        f'{plan.finished}: {count} images, {left_out} unreadable ones left out; open it as '
        f'tfds:{plan.name}:{prepare.SPLIT} with --data_dir={plan.out}'
    )


def _name():
    if _NAME.value is not None:
        return _NAME.value
    stem = pathlib.Path(os.path.abspath(_FACES.value)).stem
    name = re.sub(r'[^a-z0-9]+', '_', stem.lower()).strip('_')
    errors.require(
        re.fullmatch(r'[a-z][a-z0-9_]*', name),
        f'--name: not given, and {stem!r:.80} makes no name; give one of small letters, digits and _',
    )
    return name


if __name__ == '__main__':
    cli.run(main, shared=False)
