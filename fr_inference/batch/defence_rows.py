"""The rows of a study of defences: the audited backbone, its defence, and the attacker."""

import dataclasses
import hashlib
import re
from collections.abc import Sequence

from fr_inference import config, errors
from fr_inference.batch.table import Row
from fr_inference.declaring import Config
from fr_inference.defending import defences
from fr_inference.program_config import Case, Studied

UNDEFENDED = 'undefended'

_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,59}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefenceRow(Row):
    """One audit of a study.

    Attributes:
      case: the defence and the attacker.
      label: the name of the defence on the page.
      not_run: why the row cannot be audited; '' if it can.
    """

    case: Case
    label: str
    not_run: str = ''

    @property
    def configs(self) -> tuple[Config, ...]:
        """Everything that the result depends on."""
        return (*super().configs, self.case)


def rows(
    inputs: config.Inputs,
    settings: config.Settings,
    report: config.Report,
    studied: Studied,
    search: config.Search | None = None,
) -> list[DefenceRow]:
    """Returns the audits of a study, the undefended backbone first.

    Args:
      inputs: of the undefended backbone's audit.
      settings: of every audit.
      report: options of their reports.
      studied: the defences.
      search: how each row is inverted; None for only membership inference.

    Raises:
      InputError: of 'defences' or 'trained', for what cannot be read.
    """
    # The convention was checked on the undefended backbone; changed statistics may seem to belong to
    # another one.
    defended = config.replace(settings, allow_misfit=True)
    helped = bool(inputs.auxiliary or inputs.references)

    def row(name, label, case, *, own=inputs, how=settings, not_run=''):
        return DefenceRow(
            name=name,
            label=label,
            inputs=own,
            settings=how,
            search=search,
            report=report,
            case=config.replace(case, undefended=inputs.target),
            not_run=not_run,
        )

    found = [row(UNDEFENDED, 'no defence', Case(attacker='plain' if helped else 'both'))]
    for text in parsed(studied.defences or ''):
        refreshed = [value for name, value in defences.parse(text) if name == 'refresh']
        for attacker in ('plain', 'adaptive') if helped else ('both',):
            case = Case(
                defence=text, attacker=attacker, refreshed=refreshed[-1] if refreshed else None
            )
            found.append(row(f'{_name(text)}-{attacker}', text, case, how=defended))
    for name, folder, shadow in trained(studied.trained or ''):
        label = f'trained: {name}'
        own = config.replace(inputs, target=folder, part=None)
        if not inputs.auxiliary:
            found.append(row(f'{name}-both', label, Case(attacker='both'), own=own))
            continue
        found.append(row(f'{name}-plain', label, Case(attacker='plain'), own=own))
        likewise = config.replace(own, shadow=shadow, shadow_init=None) if shadow else own
        why = '' if shadow else 'no shadow was given that was trained in the same way'
        case = Case(attacker='adaptive')
        found.append(row(f'{name}-adaptive', label, case, own=likewise, not_run=why))
    names = [one.name.lower() for one in found]
    if twice := [one for one in found if names.count(one.name.lower()) > 1]:
        field = 'trained' if twice[0].label.startswith('trained: ') else 'defences'
        raise errors.InputError(field, f'{twice[0].label[:80]!r} twice', 'each once')
    return found


def parsed(text: str) -> list[str]:
    """Returns the defences of a list, each checked.

    >>> parsed('noise:0.1; fold')
    ['noise:0.1', 'fold']

    Raises:
      InputError: of 'defences', for one that cannot be read.
    """
    found = [one.strip() for one in text.split(';') if one.strip()]
    for one in found:
        try:
            defences.parse(one)
        except errors.InputError as error:
            raise errors.InputError('defences', error.found, error.expected, error.hint) from error
    return found


def trained(text: str) -> list[tuple[str, str, str]]:
    """Returns (name, folder, shadow's folder or '') of each backbone of a list.

    >>> trained('early=runs/epoch_3;frozen=runs/frozen,runs/frozen_shadow')
    [('early', 'runs/epoch_3', ''), ('frozen', 'runs/frozen', 'runs/frozen_shadow')]

    Raises:
      InputError: of 'trained', for one that cannot be read.
    """
    found = []
    for part in (one.strip() for one in text.split(';') if one.strip()):
        name, _, rest = part.partition('=')
        folder, _, shadow = rest.partition(',')
        if not _NAME.fullmatch(name) or not folder:
            raise errors.InputError(
                'trained', repr(part)[:80], 'NAME=FOLDER or NAME=FOLDER,SHADOW, a name like early_3'
            )
        found.append((name, folder, shadow))
    return found


def accesses_bound(text: str) -> Sequence[str]:
    """Returns the accesses of `comparison.ACCESS` on which a defence takes effect.

    An attacker who holds the file leaves out a step that changes only the answers.

    >>> accesses_bound('noise:0.1'), accesses_bound('noise:0.1,answers-noise:1')
    (('file', 'answers'), ('answers',))
    """
    if any(name.startswith('answers-') for name, _ in defences.parse(text)) if text else False:
        return ('answers',)
    return ('file', 'answers')


def _name(text):
    """The name of a folder; it ends in a digest if it does not spell the whole text."""
    short = re.sub(r'[^A-Za-z0-9.-]+', '_', text)[:40]
    if short.replace('_', ':') == text:
        return short
    return f'{short}-{hashlib.sha256(text.encode()).hexdigest()[:6]}'
