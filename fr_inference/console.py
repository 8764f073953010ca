"""The command `fr-inference PROGRAM --flags`, which an installed package brings.

The programs are the files of `experiments/` in a checkout; `fr_inference.programs` is the same folder
under the name by which it is installed.
"""

import ast
import importlib
import pathlib
import sys

import fr_inference
from fr_inference.cli.options import CONSOLE

_PACKAGE = 'fr_inference.programs'
_USAGE = f'usage: {CONSOLE} PROGRAM --flags; {CONSOLE} PROGRAM --help shows its flags'


def summaries() -> dict[str, str]:
    """Returns name -> one line for each program; imports none of them."""
    (folder,) = importlib.import_module(_PACKAGE).__path__
    found = {}
    for path in sorted(pathlib.Path(folder).glob('[!_]*.py')):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
        found[path.stem] = doc.partition('\n')[0]
    return found


def main() -> None:
    """Runs the program that is named first; ends with code 2 and one line for another name."""
    name, *arguments = sys.argv[1:] or ['--help']
    programs = summaries()
    if name in ('--help', '--helpshort', '-h', 'help'):
        lines = [f'  {program:<18}{line}' for program, line in programs.items()]
        first = (fr_inference.__doc__ or '').partition('\n')[0]  # then come examples
        print('\n'.join([first, '', _USAGE, '', *lines]))
    elif name == '--version':
        print(fr_inference.__version__)
    elif name in programs:
        sys.argv = [f'{CONSOLE} {name}', *arguments]
        importlib.import_module(f'{_PACKAGE}.{name}').PROGRAM.run()
    else:
        listed = ', '.join(programs)
        print(f'{CONSOLE}: found {name!r:.80}, expected one of {listed}', file=sys.stderr)
        sys.exit(2)
