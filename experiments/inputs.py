"""The flags that all audits share: a backbone, its faces, and how they are attacked."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Iterable
from typing import Any

from absl import flags

from experiments import cli, faces_flags
from experiments.job import Job
from fr_inference.models import registry

flags.adopt_module_key_flags(faces_flags)
OPTIONS = (
    *faces_flags.OPTIONS,
    flags.DEFINE_string('target', None, 'The backbone: a checkpoint file or directory.'),
    flags.DEFINE_string('members', None, 'Images it was trained on.'),
    flags.DEFINE_string('nonmembers', None, 'Images of other people from the same source.'),
    flags.DEFINE_string('auxiliary', None, 'Faces for a shadow: nobody of the above.'),
    flags.DEFINE_string('shadow', None, 'Native checkpoint trained on part of --auxiliary.'),
    flags.DEFINE_string('shadow_init', None, 'What a shadow trained here starts from.'),
    flags.DEFINE_string('blind', None, 'A backbone that never saw the members.'),
    flags.DEFINE_enum(
        'dtype', None, list(registry.DTYPES), 'Arithmetic, in place of what the checkpoints say.'
    ),
    cli.define_seed('Of splits, searches, controls and intervals.'),
    flags.DEFINE_integer('batch_size', 64, 'Images scored at a time.'),
    flags.DEFINE_integer('decoders', 0, 'Processes that decode images; 0: threads of this one.'),
    flags.DEFINE_bool('skip_bad', False, 'Leave unreadable images out and list them.'),
    flags.DEFINE_bool('allow_overlap', False, 'Go on when the parts share people or images.'),
    flags.DEFINE_bool('thumbnails', True, 'Show faces in the report.'),
)
OUT = flags.DEFINE_string('out', None, 'Folder for the results.', required=True)
SCORES = flags.DEFINE_string(
    'scores', None, 'Folder of distances, shared among audits; below --out by default.'
)


def values(*options: Iterable[flags.FlagHolder]) -> dict[str, Any]:
    """Returns the flags' values by name."""
    return {flag.name: flag.value for group in options for flag in group}


def command(program: str) -> str:
    """Returns the command line that was given, for the record."""
    return shlex.join(['python', '-m', program, *sys.argv[1:]])


def command_of(job: Job, folder: str | os.PathLike) -> str:
    """Returns the command line of `experiments.audit` that does a job, for the record."""
    values = dataclasses.asdict(job)
    values |= values.pop('search') or {}
    given = [f'--out={folder}']
    for name, value in values.items():
        if value == flags.FLAGS[name].default:
            continue
        if isinstance(value, bool):
            given.append(f'--{"" if value else "no"}{name}')
        else:
            given.append(f'--{name}={",".join(value) if isinstance(value, list) else value}')
    return shlex.join(['python', '-m', 'experiments.audit', *given])
