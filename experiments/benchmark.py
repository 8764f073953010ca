"""Measures speed on different numbers of devices, and in comparison with peers on one device.

  python -m experiments.benchmark --what=scoring --out=scoring.json
  python -m experiments.benchmark --what=inversion --batch_size=2 --out=inversion.json
  python -m experiments.benchmark --what=loading --faces=FOLDER --feed=9000

Peers: PyTorch, flaxmodels 0.1.3 and NVIDIA's StyleGAN2 networks, if they are installed; --peer=none
leaves them out. A plot is written beside --out. Each device gets a batch of --batch_size.

On several GPUs or TPU chips, the fastest of several batch sizes is compared with PyTorch, which uses
torch.compile on CUDA. XLA_PYTHON_CLIENT_PREALLOCATE=false leaves memory for PyTorch:

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

from fr_inference.benchmarking import suite
from fr_inference.cli import bars, folders, options, program
from fr_inference.program_config import Benchmark


def main(flags: options.Flags) -> None:
    """Measures, prints tables, writes the JSON and the plot."""
    asked = flags.read(Benchmark)
    if asked.out is not None:
        out = pathlib.Path(asked.out)
        folders.make(out.parent, 'out', [out.name, out.with_suffix('.svg').name])
    suite.run(asked, command=options.command(asked), progress=bars.progress)


PROGRAM = program.Program(
    main=main,
    kinds=(Benchmark,),
    saves=False,
    often='what arch target generator faces devices batch_size peer out',
)

if __name__ == '__main__':
    PROGRAM.run()
