"""Prints docs/plan.md's table: the least time of an image and of a candidate-step on one chip.

  bash launch/plan.sh --module=tests.planning.chip_table --topologies=a100x1,h100x1 \\
      --archs=iresnet50 --generators=0,256

A generator of 0 is scoring alone; --training gives steps of the training instead. Rows come as they are
done: StyleGAN2 takes a TPU's compiler minutes. What was compiled before is not compiled again.
"""

import argparse
import datetime
import itertools
from collections.abc import Sequence

import jax

from experiments import audit
from fr_inference import config, files
from fr_inference.cli import options
from fr_inference.planning import plan_table, planner, stand_ins, topologies, workload
from fr_inference.planning.stand_ins import Amount
from fr_inference.program_config import Planning

# Images at a time on a device, and candidates before a generator of each resolution.
_AT_A_TIME = {0: 64, 256: 16, 1024: 4}


def parts(arch: str, generator: int, size: int, devices: int) -> list[workload.Part]:
    """The parts of an audit that the table shows: scoring, or the steps of the search.

    --batch_size counts the images of all devices of a process.
    """
    arguments = [f'--target={arch}', '--dtype=bfloat16', '--members=1000000']
    if generator:
        arguments += [f'--generator={generator}', f'--search_batch={size}']
    flags = options.Flags(audit.PROGRAM.kinds)
    flags.required = []
    flags.parse([*arguments, f'--batch_size={size * devices}'])
    unit = 'candidate-step' if generator else 'image'
    return [part for part in workload.parts_of('audit', flags) if part.unit == unit]


def training(arch: str, size: int, devices: int) -> list[workload.Part]:
    """A step of the training, of a thousand people."""
    target = stand_ins.of_architecture(arch, {'dtype': 'bfloat16'})
    recipe = config.Recipe(batch_size=size * devices)
    return [workload.training('training', recipe, target, Amount(1_000_000, 1000))]


def row(topology: str, named: str, found_parts: Sequence[workload.Part]) -> str:
    """One row of the table, in Markdown."""
    asked = Planning(topology=(topology,), largest=False)
    kept = files.user_cache() / 'planned'
    (plan,) = planner.plan(asked, found_parts, kept=kept)
    (found,) = plan['parts']
    size, chip = found['examples_per_device'], plan['chip']
    gigabytes = sum(found['memory_bytes'].values()) / 1e9
    if not found['fits']:
        return f'| {named} | {chip} | {size} | does not fit | | | | | | |'
    chips = plan['chips'] / plan['devices']
    each = found['least_seconds_per_call'] * chips / size
    balance = found['arithmetic_seconds'] / found['least_seconds_per_call']
    return (
        f'| {named} | {chip} | {size} | {gigabytes:.1f} | {found["flops"] / size / 1e9:.1f} | '
        f'{found["bytes"] / size / 1e6:.1f} | {(found["bytes_accessed"] or 0) / size / 1e6:.1f} | '
        f'{plan_table.duration(each)} | {balance:.0%} | {sum(found["collectives"].values())} |'
    )


def main() -> None:
    """Prints the head of the table and its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--topologies', default='a100x1')
    parser.add_argument('--archs', default='iresnet50')
    parser.add_argument('--generators', default='0,256')
    parser.add_argument('--at_a_time', help='numbers of images or candidates on a device')
    parser.add_argument('--training', action='store_true', help='in place of scoring and search')
    given = parser.parse_args()
    print(f'{datetime.date.today()}, jax {jax.__version__}', flush=True)
    print(
        '| network | device | at a time | GB | GFLOP each | MB each | by XLA | least time each '
        '| arithmetic | collectives |'
    )
    print('|---|---|---|---|---|---|---|---|---|---|', flush=True)
    generators = [0] if given.training else map(int, given.generators.split(','))
    for generator, arch, topology in itertools.product(
        generators, given.archs.split(','), given.topologies.split(',')
    ):
        opened = topologies.open_topology(topology)
        for size in map(int, (given.at_a_time or str(_AT_A_TIME[generator])).split(',')):
            if given.training:
                named, made = f'training {arch}', training(arch, size, len(opened.devices))
            else:
                named = f'StyleGAN2-{generator} before {arch}' if generator else arch
                made = parts(arch, generator, size, len(opened.local))
            print(row(topology, named, made), flush=True)


if __name__ == '__main__':
    main()
