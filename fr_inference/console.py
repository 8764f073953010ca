"""The command `fr-inference PROGRAM --flags` of an installed package.

In a checkout, the programs are the files of `experiments/`; that folder is installed as
`fr_inference.programs`.
"""

import ast
import importlib
import pathlib
import sys

import fr_inference
from fr_inference import errors
from fr_inference.cli.options import CONSOLE

_PACKAGE = 'fr_inference.programs'
_USAGE = f"""usage: {CONSOLE} PROGRAM --flags

  {CONSOLE} PROGRAM --helpshort   its most used flags, with examples; --help shows all of them
  {CONSOLE} demo                  audits embedded backbones: needs no file of yours
  {CONSOLE} --version"""
_FIRST = ('demo', 'audit', 'batch_audit', 'verify')


def summaries() -> dict[str, str]:
    """Returns name -> one line for each program, most needed first; imports none of them."""
    (folder,) = importlib.import_module(_PACKAGE).__path__
    found = {}
    for path in sorted(pathlib.Path(folder).glob('[!_]*.py')):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
        found[path.stem] = doc.partition('\n')[0]
    return {name: found[name] for name in (*_FIRST, *sorted(found.keys() - {*_FIRST}))}


def main() -> None:
    """Runs the program named by the first argument; an unknown name ends with code 2 and one line."""
    name, *arguments = sys.argv[1:] or ['--help']
    programs = summaries()
    if name in ('--help', '--helpshort', '-h', 'help'):
        lines = [f'  {program:<18}{line}' for program, line in programs.items()]
        first = (fr_inference.__doc__ or '').partition('\n')[0]  # examples follow
        print('\n'.join([first, '', _USAGE, '', 'Programs', *lines]))
    elif name == '--version':
        print(fr_inference.__version__)
    elif name in programs:
        sys.argv = [f'{CONSOLE} {name}', *arguments]
        importlib.import_module(f'{_PACKAGE}.{name}').PROGRAM.run()
    else:
        hint = (
            errors.near(name, programs) or f'run {CONSOLE} without arguments to list the programs'
        )
        error = errors.InputError(CONSOLE, f'{name!r:.80}', 'the name of a program', hint)
        print(error, file=sys.stderr)
        sys.exit(2)
