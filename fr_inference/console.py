"""The command `fr-inference PROGRAM --flags`, which an installed package brings.

The programs are the files of `experiments/` in a checkout; `fr_inference.programs` is the same folder
under the name by which it is installed.
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
    """Runs the program that is named first; ends with code 2 and one line for another name."""
    name, *arguments = sys.argv[1:] or ['--help']
    programs = summaries()
    if name in ('--help', '--helpshort', '-h', 'help'):
        lines = [f'  {program:<18}{line}' for program, line in programs.items()]
        first = (fr_inference.__doc__ or '').partition('\n')[0]  # then come examples
        print('\n'.join([first, '', _USAGE, '', 'Programs', *lines]))
    elif name == '--version':
        print(fr_inference.__version__)
    elif name in programs:
        sys.argv = [f'{CONSOLE} {name}', *arguments]
        importlib.import_module(f'{_PACKAGE}.{name}').PROGRAM.run()
    else:
        hint = errors.near(name, programs) or f'{CONSOLE} alone lists the programs'
        error = errors.InputError(CONSOLE, f'{name!r:.80}', 'the name of a program', hint)
        print(error, file=sys.stderr)
        sys.exit(2)
