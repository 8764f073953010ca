"""Aligns photographs by five landmarks to the 112 x 112 template that face networks are trained on."""

from absl import flags

from experiments import cli
from fr_inference import config
from fr_inference.data import landmarks

_FACES = flags.DEFINE_string('faces', None, 'Folder the paths are relative to.', required=True)
_LANDMARKS = flags.DEFINE_string(
    'landmarks',
    None,
    'CSV with the columns path and x, y of left eye, right eye, nose, left and right mouth corner.',
    required=True,
)
_OUT = flags.DEFINE_string('out', None, 'Folder for the aligned PNG images.', required=True)


def main() -> None:
    """Writes OUT/PATH.png for each row of the landmarks."""
    options = config.Alignment(faces=_FACES.value, landmarks=_LANDMARKS.value, out=_OUT.value)
    out = cli.make_folder(options.out, '--out').resolve()
    print(f'{out}: {landmarks.align_files(options)} aligned images')


if __name__ == '__main__':
    cli.run(main, shared=False, saves=False)
