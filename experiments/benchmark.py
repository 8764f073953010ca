"""Measures speed: over numbers of devices, and side by side with peers on one.

  python -m experiments.benchmark --what=scoring --out=scoring.json
  python -m experiments.benchmark --what=inversion --batch_size=2 --out=inversion.json
  python -m experiments.benchmark --what=loading --faces=FOLDER --feed=9000

Peers: PyTorch, flaxmodels 0.1.3 and NVIDIA's StyleGAN2 networks, each where it is installed; --peer=none
leaves them out. A plot is written beside --out. Each device gets a batch of --batch_size.

On several GPUs or TPU chips. Of several batch sizes the best is compared with PyTorch, which uses
torch.compile on CUDA and needs memory that XLA_PYTHON_CLIENT_PREALLOCATE=false leaves:

  B='python -m experiments.benchmark --dtype=bfloat16'
  export XLA_PYTHON_CLIENT_PREALLOCATE=false
  $B --devices=1,2,4,8 --arch=iresnet50,iresnet100 --batch_size=128,256,512,1024 --out=scoring.json
  $B --what=inversion --target=iresnet50 --generator=random --resolution=256 \\
      --candidates=16,32,64,128 --batch_size=16 --devices=1,2,4,8 --out=inversion256.json
  $B --what=inversion --target=iresnet50 --generator=random --resolution=1024 \\
      --candidates=4,8,16,32 --batch_size=4 --devices=1,2,4,8 --out=inversion1024.json
  $B --what=training --arch=iresnet50 --batch_size=128,256 --devices=1,2,4,8 --out=training.json
"""

import pathlib
import sys
from typing import Any

from absl import flags

from experiments import cli
from fr_inference import config, errors
from fr_inference.benchmarking import suite

_FLAGS = (
    flags.DEFINE_string('what', 'scoring', 'scoring, inversion, training or loading.'),
    flags.DEFINE_string('dtype', 'float32', 'Arithmetic of backbones.'),
    flags.DEFINE_string(
        'generator', 'demo_generator', 'Inversion: a generator, or random (--resolution).'
    ),
    flags.DEFINE_string(
        'target', 'demo_leaky', 'Inversion: what is searched; a name of --arch: random weights.'
    ),
    flags.DEFINE_integer('resolution', 256, "Inversion: of the networks' images."),
    flags.DEFINE_string('faces', None, 'Loading: which; drawn ones by default.'),
    flags.DEFINE_float('feed', None, 'Loading: images/s of a device that is to be fed.'),
    flags.DEFINE_integer('rounds', 20, 'Timed calls of each.'),
    flags.DEFINE_string('peer', 'auto', 'What to compare with: auto, torch or none.'),
    flags.DEFINE_string('stylegan2_ada', None, 'A checkout of NVlabs/stylegan2-ada-pytorch.'),
    flags.DEFINE_string('out', None, 'File for the result as JSON; a plot (.svg) beside it.'),
)
_ARCH = flags.DEFINE_list('arch', ['iresnet50', 'mobilefacenet_prelu'], 'Backbones.')
_NUMBERS = (
    flags.DEFINE_list('candidates', ['16', '32', '64'], 'Inversion: on each device.'),
    flags.DEFINE_list('devices', ['1'], 'Over how many devices, e.g. 1,2,4,8.'),
    flags.DEFINE_list('batch_size', ['16'], 'Images at a time on each device.'),
)


def main() -> None:
    """Measures, prints tables, writes the JSON and the plot."""
    given: dict[str, Any] = {flag.name: flag.value for flag in _FLAGS}
    given |= {flag.name: tuple(_whole(flag)) for flag in _NUMBERS}
    options = config.Benchmark(arch=tuple(_ARCH.value), **given)
    if options.out is not None:
        out = pathlib.Path(options.out)
        cli.make_folder(out.parent, '--out', [out.name, out.with_suffix('.svg').name])
    suite.run(options, command=' '.join(sys.argv), progress=cli.progress)


def _whole(flag):
    for text in map(str.strip, flag.value):
        if not (text.isascii() and text.isdecimal() and len(text) < 8):
            raise errors.InputError(flag.name, f'{text!r:.40}', 'numbers above 0, as in 1,2,4')
        yield int(text)


if __name__ == '__main__':
    cli.run(main, saves=False)
