"""Flags of a program that is planned, and two devices of this process in place of a machine."""

import importlib

import jax

from fr_inference.benchmarking.chips import Chip
from fr_inference.cli import options
from fr_inference.planning import workload
from fr_inference.planning.topologies import Topology

CHIP = Chip(bfloat16=2e9, float32=1e9, bandwidth=1e8, memory=1 << 30, source='none')
COMMON = {'members': '100:20', 'dtype': 'float32'}


def parts(program, **given):
    flags = options.Flags(importlib.import_module(f'experiments.{program}').PROGRAM.kinds)
    flags.required = []
    flags.parse([f'--{name}={value}' for name, value in given.items()])
    return workload.parts_of(program, flags)


def machine(*, processes=1, real=False, available=1 << 30, name='h100x2'):
    devices = jax.local_devices()[:2]
    return Topology(
        name=name,
        chip=CHIP,
        chips=2,
        devices=devices,
        local=devices[: 2 // processes],
        real=real,
        available=available,
    )
