"""Flags from config classes, and the command line that corresponds to given configs."""

import pathlib
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from absl import flags

from fr_inference import config, declaring, errors
from fr_inference.declaring import Config, Option
from fr_inference.program_config import Machine

Kind = TypeVar('Kind', bound=Config)
CONSOLE = 'fr-inference'
HELP = ('help', 'helpshort', 'helpfull')


class Flags:
    """The flags of one program: one for each option of its config classes, and those of `Machine`.

    >>> from fr_inference import config
    >>> flags = Flags([config.Settings])
    >>> flags.parse(['--seed=3', '--skip_bad'])  # the kind of help that was asked for
    ''
    >>> flags.read(config.Settings).seed, flags.given(config.Settings)
    (3, {'seed': 3, 'skip_bad': True})
    >>> flags.parse(['--seed=three'])
    Traceback (most recent call last):
    ...
    fr_inference.errors.InputError: seed: found 'three', expected a whole number
    """

    def __init__(
        self,
        kinds: Sequence[type[Config]],
        *,
        required: Iterable[str] = (),
        optional: Iterable[str] = (),
        hidden: Iterable[str] = (),
        names_program: bool = False,
    ):
        """Defines the flags.

        Args:
          kinds: the classes whose options become flags.
          required: options that this program requires although they have a default.
          optional: options that this program does not require although they have no default.
          hidden: options without a flag in this program.
          names_program: whether another program's name and flags may follow.
        """
        self.rest: list[str] = []
        self.following: Flags | None = None
        self._names_program = names_program
        self.options: dict[str, tuple[type[Config], Any, Option]] = {}
        self._values = flags.FlagValues()
        if names_program:  # its flags are parsed separately
            self._values.set_gnu_getopt(False)
        for kind in (*kinds, Machine):
            for name in declaring.flags_of(kind):
                field, known = declaring.options_of(kind)[name]
                if name not in hidden:
                    assert name not in self.options, f'{name} is an option of two classes'
                    default = None if declaring.is_required(field) else field.default
                    self.options[name] = kind, default, known
                    self._define(kind, name, default, known.help)
        for name in HELP:
            flags.DEFINE_bool(name, False, 'Show this.', flag_values=self._values)
        without_default = [
            name
            for kind in kinds
            for name, (field, _) in declaring.options_of(kind).items()
            if declaring.is_required(field)
        ]
        self.required = [
            name
            for group in config.GROUPS
            for name, (*_, known) in self.options.items()
            if known.group == group
            and name in {*required, *without_default}
            and name not in optional
        ]

    def _define(self, kind, name, default, text):
        boolean = declaring.kind_of(kind, name) is bool
        flag: flags.Flag = flags.Flag(
            _Parser(kind, name), None, name, default, text, boolean=boolean
        )
        flags.DEFINE_flag(flag, self._values)

    def __contains__(self, name: object) -> bool:
        return name in self.options or (self.following is not None and name in self.following)

    def parse(self, arguments: Sequence[str]) -> str:
        """Reads the command line; returns which of `HELP` was requested, '' for none.

        Raises:
          InputError: one line, for whatever is wrong with it.
        """
        self._values.unparse_flags()
        try:
            rest = self._values(['program', *arguments])
        except flags.IllegalFlagValueError as error:
            if isinstance(error.__context__, errors.InputError):
                raise error.__context__ from None
            raise
        except flags.UnrecognizedFlagError as error:
            raise self._unknown(error.flagname) from None
        except (flags.Error, ValueError) as error:
            raise errors.InputError('flags', str(error)) from None
        for name in HELP:
            if self._values[name].value:
                return name
        self.rest = rest[1:]
        if self.rest and not self._names_program:
            raise errors.InputError('arguments', f'{rest[1]!r:.80}', 'only --flag=value')
        missing = [name for name in self.required if self._values[name].value in (None, '')]
        if missing:
            listed = ', '.join(f'--{name}' for name in missing)
            hints = [self.options[name][2].absent for name in missing if name in self.options]
            hint = '; '.join([*filter(None, hints), '--help shows all flags'])
            raise errors.InputError(listed, 'no value', hint=hint)
        # An unset shell variable gives this; without an error the audit would silently lack a part.
        for name in self.options:
            if self._values[name].present and self._values[name].value in ('', ()):
                raise errors.InputError(name, 'an empty value', 'a value; or leave the flag out')
        return ''

    def _unknown(self, name):
        """Returns the error for an unknown flag; suggests --fail_above for --fail-above."""
        near = errors.near(name.replace('-', '_'), self.options, prefix='--')
        hint = near or '--help shows all flags'
        return errors.InputError('flags', f'{f"--{name}"!r:.80}', 'a flag of this program', hint)

    def follow(self, kinds: Sequence[type[Config]], hidden: Iterable[str] = ()) -> 'Flags':
        """Reads the rest of the command line as flags of another program, none of them required.

        Args:
          kinds: the classes of that program.
          hidden: options for which it has no flag.

        Raises:
          InputError: one line, for whatever is wrong with it.
        """
        following = Flags(kinds, hidden=hidden)
        following.required = []
        self.following = following  # errors call its options flags
        if following.parse(self.rest[1:]):
            raise errors.InputError('help', hint=f'{called(self.rest[0])} --help shows its flags')
        return following

    def read(self, kind: type[Kind]) -> Kind:
        """Returns the options of one class."""
        return declaring.explicit(kind, self.given(kind))

    def given(self, *kinds: type[Config]) -> dict[str, Any]:
        """Returns the options of some classes that were given explicitly, by name."""
        names = [name for kind in kinds for name in declaring.flags_of(kind) if name in self]
        return {
            name: self._values[name].value
            for name in names
            if self._values[name].present and self._values[name].value is not None
        }


class _Parser(flags.ArgumentParser):
    """Reads the value of one option."""

    def __init__(self, kind, name):
        super().__init__()
        self._kind, self._name = kind, name

    def parse(self, argument):
        if not isinstance(argument, str):
            return argument  # the default
        return declaring.parse(self._kind, self._name, argument)


def called(program: str | None = None) -> str:
    """Returns the command that starts this program or another one, from a checkout or as installed.

    >>> called('audit')
    'python -m experiments.audit'
    """
    if sys.argv[0].startswith(f'{CONSOLE} '):
        return f'{CONSOLE} {program}' if program else sys.argv[0]
    return f'python -m experiments.{program or pathlib.Path(sys.argv[0]).stem}'


def command(*configs: Config | None, program: str | None = None) -> str:
    """Returns the command line that corresponds to the given configs, for the record.

    >>> from fr_inference import config
    >>> command(config.Settings(seed=3, skip_bad=True), config.Report(thumbnails=False), program='audit')
    'python -m experiments.audit --seed=3 --skip_bad --nothumbnails'
    """
    said = []
    for one in filter(None, configs):
        for name in declaring.flags_of(type(one)):
            value = getattr(one, name)
            if value == declaring.options_of(type(one))[name][0].default:
                continue
            if isinstance(value, bool):
                said.append(f'--{"" if value else "no"}{name}')
            else:
                said.append(f'--{name}={declaring.text_of(value)}')
    return f'{called(program)} {shlex.join(said)}'.rstrip()
