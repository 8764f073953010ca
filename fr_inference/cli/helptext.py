"""The text of `--help`, with all flags by purpose, and of `--helpshort`, with the most used ones."""

import textwrap
import typing
from collections.abc import Sequence

from fr_inference import config, declaring
from fr_inference.cli.options import Flags, called
from fr_inference.program_config import Machine

WIDTH = 100
OF_SEVERAL = [name for name in declaring.flags_of(Machine) if name != 'verbosity']
_LEFT = 30  # columns for a flag and its kind of value
_MOST_CHOICES = 8  # the same in the short text


def text(doc: str, flags: Flags, *, shared: bool = True) -> str:
    """Returns what a program does and its flags, group by group.

    Args:
      doc: what it does, and how to call it.
      flags: of the program.
      shared: whether to show the flags of several processes.
    """
    lines = _head(doc, flags, flags.options)
    for group, title in config.GROUPS.items():
        names = [
            name
            for name, (*_, known) in flags.options.items()
            if known.group == group and (shared or name not in OF_SEVERAL)
        ]
        if names:
            lines += ['', title]
        for name in sorted(names, key=lambda name: name not in flags.required):
            lines += _flag(name, flags)
    return '\n'.join(
        [*lines, *_columns('  --flagfile=FILE', 'Read flags from a file, one per line.')]
    )


def short(doc: str, flags: Flags, often: Sequence[str]) -> str:
    """Returns what a program does, and its most used flags, the required ones first.

    Args:
      doc: what it does, and how to call it.
      flags: of the program.
      often: the flags to show besides the required ones, in this order.
    """
    shown = [*flags.required, *(name for name in often if name not in flags.required)]
    lines = [*_head(doc, flags, shown), '', 'Most used flags']
    for name in shown:
        lines += _flag(name, flags, brief=True)
    more = len(flags.options) - len(shown)
    return '\n'.join([*lines, '', f'{more} more flags, by purpose: {called()} --help'])


def _head(doc, flags, names):
    """What the program does, and the meaning of the values of some flags."""
    program = called()
    name = program.rpartition('.')[2].rpartition(' ')[2]
    lines = [doc.replace(f'python -m experiments.{name}', program).strip()]
    used = {flags.options[name][2].names for name in names}
    explained = [(named, said) for named, said in config.NAMES.items() if named in used and said]
    lines += [''] if explained else []
    for named, said in explained:
        lines += _columns(f'  {named}', said)
    return lines


def _flag(name, flags, brief=False):
    kind, default, known = flags.options[name]
    said = [known.help]
    if not brief or len(known.allowed() or ()) <= _MOST_CHOICES:
        said += _remarks(kind, name, default, known)
    if name in flags.required:
        said = ['(required)', known.help]
    return _columns(f'  {_spelled(kind, name, known)}', ' '.join(said))


def _spelled(kind, name, known):
    type_of = declaring.kind_of(kind, name)
    if type_of is bool:
        return f'--[no]{name}'
    if typing.get_origin(type_of) is tuple:
        return f'--{name}=A,B,...'
    letter = {int: 'N', float: 'X', str: 'TEXT'}[type_of]
    return f'--{name}={known.names or ("NAME" if known.choices else letter)}'


def _remarks(kind, name, default, known):
    """Yields the notes after the line of help: choices or range, and the default."""
    said = []
    choices = known.allowed()
    if choices:
        said.append(' | '.join(choices))
    elif known.range():
        said.append(known.range())
    if default not in (None, ()):
        shown = (
            'yes' if default is True else 'no' if default is False else declaring.text_of(default)
        )
        said.append(f'default {shown}')
    if said:
        yield f'[{"; ".join(said)}]'


def _columns(left, right):
    """Returns lines of two columns; a wide left column gets a line of its own."""
    wrapped = textwrap.wrap(right, WIDTH - _LEFT, break_on_hyphens=False)
    if len(left) > _LEFT - 2:
        return [left, *(' ' * _LEFT + line for line in wrapped)]
    return [
        left.ljust(_LEFT) + wrapped[0],
        *(' ' * _LEFT + line for line in wrapped[1:]),
    ]
