"""Measures speed: over numbers of devices, and side by side with peers on one.

  python -m experiments.benchmark --what=scoring --out=scoring.json
  python -m experiments.benchmark --what=inversion --batch_size=2 --out=inversion.json
  python -m experiments.benchmark --what=loading --faces=FOLDER --feed=9000

Peers: PyTorch, flaxmodels 0.1.3 and NVIDIA's own StyleGAN2 networks, each where it is installed;
--peer=none leaves them out. A plot is written beside --out. Each device gets the batch of the flag.

On several GPUs or TPU chips, each line the best batch of several (PyTorch joins at that one, compiled
by torch.compile on CUDA; XLA_PYTHON_CLIENT_PREALLOCATE=false leaves it memory):

  B='python -m experiments.benchmark --dtype=bfloat16'
  export XLA_PYTHON_CLIENT_PREALLOCATE=false
  $B --devices=1,2,4,8 --arch=iresnet50,iresnet100 --batch_size=128,256,512,1024 --out=scoring.json
  $B --what=inversion --target=iresnet50 --generator=random --resolution=256 \\
      --candidates=16,32,64,128 --batch_size=16 --devices=1,2,4,8 --out=inversion256.json
  $B --what=inversion --target=iresnet50 --generator=random --resolution=1024 \\
      --candidates=4,8,16,32 --batch_size=4 --devices=1,2,4,8 --out=inversion1024.json
  $B --what=training --arch=iresnet50 --batch_size=128,256 --devices=1,2,4,8 --out=training.json
"""

import json
import math
import pathlib
import sys

from absl import flags

from experiments import (
    cli,
    inversion_speed,
    loading_speed,
    scaling,
    scaling_plot,
    scoring_speed,
    torch_peer,
    training_speed,
)
from fr_inference import errors, provenance
from fr_inference.models import registry

_UNITS = {'scoring': 'images', 'inversion': 'candidate-steps', 'training': 'images'}

_WHAT = flags.DEFINE_enum('what', 'scoring', [*_UNITS, 'loading'], 'What is measured.')
_ARCH = flags.DEFINE_list('arch', ['iresnet50', 'mobilefacenet_prelu'], 'Backbones.')
_DEVICES = flags.DEFINE_list('devices', ['1'], 'Over how many devices, e.g. 1,2,4,8.')
_BATCH = flags.DEFINE_list(
    'batch_size', ['16'], 'Images at a time on each device; of several the best is compared.'
)
_ROUNDS = flags.DEFINE_integer('rounds', 20, 'Timed calls of each.', lower_bound=1)
_DTYPE = flags.DEFINE_enum('dtype', 'float32', list(registry.DTYPES), 'Arithmetic of backbones.')
_PEER = flags.DEFINE_enum('peer', 'auto', ['auto', 'torch', 'none'], 'What to compare with.')
_RESOLUTION = flags.DEFINE_integer('resolution', 256, "Inversion: of the networks' images.")
_ADA = flags.DEFINE_string(
    'stylegan2_ada', None, 'Inversion: a checkout of NVlabs/stylegan2-ada-pytorch to compare with.'
)
_GENERATOR = flags.DEFINE_string(
    'generator', 'demo_generator', 'Inversion: whose latents, or random (StyleGAN2, --resolution).'
)
_TARGET = flags.DEFINE_string(
    'target', 'demo_leaky', 'Inversion: what is searched; a name as in --arch for random weights.'
)
_CANDIDATES = flags.DEFINE_list('candidates', ['16', '32', '64'], 'Inversion: on each device.')
_FACES = flags.DEFINE_string(
    'faces', None, 'Loading: which; drawn ones, as JPEG files of the size of --arch, by default.'
)
_FEED = flags.DEFINE_float('feed', None, 'Loading: images/s of a device that is to be fed.')
_OUT = flags.DEFINE_string('out', None, 'File for the result as JSON; a plot (.svg) beside it.')


def main() -> None:
    """Measures, prints tables, writes the JSON and the plot."""
    for name in _ARCH.value:
        errors.one_of('--arch', name, registry.VARIANTS)
    errors.require(_ARCH.value, '--arch: found none, expected backbones')
    sizes = scaling.whole_numbers('--batch_size', _BATCH.value)
    counts = scaling.counts(_DEVICES.value)
    out = pathlib.Path(_OUT.value) if _OUT.value is not None else None
    if out is not None:
        errors.require(
            out.name and out.suffix != '.svg',
            f'--out: found {_OUT.value}, expected a file for JSON, as in speed.json',
        )
        cli.make_folder(out.parent, '--out', [out.name, out.with_suffix('.svg').name])
    result = {
        'what': _WHAT.value,
        'settings': {
            'batch_size': sizes[0] if len(sizes) == 1 else sizes,
            'rounds': _ROUNDS.value,
            'dtype': _DTYPE.value,
        },
        'threads': loading_speed.cores(),
        'provenance': provenance.describe(' '.join(sys.argv)),
    }
    measure = {
        'scoring': _scoring,
        'inversion': _inversion,
        'training': _training,
        'loading': _loading,
    }
    for part in measure[_WHAT.value](result, sizes, counts):
        result |= part
        if out is not None:  # after each part: the next one may take long, or fail
            out.write_text(json.dumps(result, indent=1) + '\n')
            out.with_suffix('.svg').write_text(_plot(result), encoding='utf-8')


def _scale(tasks, counts):
    """Measures and prints the table over the devices."""
    found = scaling.measure(tasks, counts, _ROUNDS.value, cli.progress)
    print(scaling.table(found, _UNITS[_WHAT.value]))
    if 'note' in found:
        print(found['note'])
    return found


def _scoring(result, sizes, counts):
    peer = _peer()
    dtype, rounds = _DTYPE.value, _ROUNDS.value
    tasks = (scoring_speed.task(name, size, dtype) for name in _ARCH.value for size in sizes)
    scaled = _scale(tasks, counts)
    yield {'scaling': scaled, 'peer': torch_peer.describe() if peer else None}
    best = {name: scaling.fastest(scaled, name) for name in _ARCH.value}
    found = {
        name: scoring_speed.measure(name, peer, batch=size, rounds=rounds, dtype=dtype)
        for name, size in best.items()
    }
    yield {'backbones': found}
    print(scoring_speed.table(result))


def _peer():
    """Whether PyTorch takes part; says so where it could not."""
    if _PEER.value == 'none':
        return False
    problem = torch_peer.missing()
    errors.require(problem is None or _PEER.value == 'auto', f'--peer=torch: {problem}')
    if problem is not None:
        print(f'without a peer: {problem}')
    return problem is None


def _inversion(result, sizes, counts):
    candidates = scaling.whole_numbers('--candidates', _CANDIDATES.value)
    errors.require(len(sizes) == 1, f'--batch_size: found {sizes}, expected one for inversion')
    size = _RESOLUTION.value
    errors.require(
        4 <= size <= 1024 and size & (size - 1) == 0,
        f'--resolution: found {size}, expected a power of two from 4 to 1024',
    )
    generator, target = inversion_speed.opened(_GENERATOR.value, _TARGET.value, size, _DTYPE.value)
    scaled = _scale(inversion_speed.tasks(generator, target, candidates), counts)
    yield {
        'generator': generator.name,
        'target': _TARGET.value,
        'scaling': scaled,
        'steps': inversion_speed.steps(scaled),
    }
    if _PEER.value != 'none':
        yield {'networks': inversion_speed.networks(size, sizes[0], _ROUNDS.value, _ADA.value)}
        print(inversion_speed.table(result))


def _training(result, sizes, counts):
    errors.require(
        sizes[0] >= 2, f'--batch_size: found {sizes[0]}, expected 2 or more for training'
    )
    dtype = _DTYPE.value
    tasks = (training_speed.task(name, size, dtype) for name in _ARCH.value for size in sizes)
    yield {'scaling': _scale(tasks, counts)}


def _loading(result, sizes, counts):
    errors.require(len(sizes) == 1, f'--batch_size: found {sizes}, expected one for loading')
    feed = _FEED.value
    errors.require(
        feed is None or 0 < feed < math.inf, f'--feed: found {feed}, expected images/s above 0'
    )
    spec = registry.VARIANTS[_ARCH.value[0]].input
    with loading_speed.opened(_FACES.value, max(spec.height, spec.width)) as faces:
        found = loading_speed.measure(
            faces,
            height=spec.height,
            width=spec.width,
            batch_size=sizes[0],
            rounds=_ROUNDS.value,
            feed=feed,
            progress=cli.progress,
        )
    print(loading_speed.table(found))
    yield {'loading': found}


def _plot(result):
    if 'loading' in result:
        return scaling_plot.of_workers(result['loading'])
    title = f'{result["what"]}, {result["settings"]["dtype"]}'
    return scaling_plot.of_devices(result['scaling'], _UNITS[result['what']], title)


if __name__ == '__main__':
    cli.run(main, saves=False)
