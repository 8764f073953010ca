"""A benchmark that takes seconds."""

from fr_inference import program_config

QUICK = {
    'arch': ('tiny',),
    'batch_size': (2,),
    'candidates': (2,),
    'devices': (1, 2),
    'rounds': 2,
    'peer': 'none',
}


def quick(**options):
    return program_config.Benchmark(**{**QUICK, **options})
