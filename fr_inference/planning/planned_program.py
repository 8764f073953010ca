"""A plan from the command line: the planned program, its flags, and the plan as JSON."""

import importlib
import json
import pathlib
import shlex
from typing import Any

from fr_inference import errors, files, provenance
from fr_inference.cli import folders, options
from fr_inference.planning import planner, workload
from fr_inference.program_config import Planning
from fr_inference.runs import Progress

SCHEMA = 1


def run(
    asked: Planning, flags: options.Flags, package: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Returns the plan, ready for JSON, and writes it if a file is named.

    Args:
      asked: machines and prices.
      flags: the flags of `plan`, followed by the name and the flags of the planned program.
      package: the package with the programs as modules.
      progress: called as progress(label, done, total).

    Raises:
      InputError: for a program that is not planned, for its flags, and where a compiler is missing.
    """
    name, *arguments = flags.rest or ['']
    errors.one_of('program', name, workload.PROGRAMS)
    program = importlib.import_module(f'{package}.{name}').PROGRAM
    for own in set(flags.options) - set(program.flags().options):
        if any(argument.partition('=')[0].lstrip('-') == own for argument in arguments):
            raise errors.InputError(
                own, f'it after {name}', f'it before {name}: it is a flag of plan'
            )
    following = flags.follow(program.kinds, program.hidden)
    out = pathlib.Path(asked.out) if asked.out is not None else None
    if out is not None:
        folders.make(out.parent, 'out', [out.name])
    parts = workload.parts_of(name, following)
    plans = planner.plan(asked, parts, kept=files.user_cache() / 'planned', progress=progress)
    command = f'{options.command(asked, program="plan")} {name} {shlex.join(arguments)}'
    result = {
        'schema': SCHEMA,
        'program': name,
        'plans': plans,
        'left_out': planner.LEFT_OUT,
        'provenance': provenance.describe(command),
    }
    if out is not None:
        files.write_text(out, json.dumps(result, indent=1) + '\n')
    return result
