"""Checks, before anything is measured, whether the data of an audit can answer its gates."""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from fr_inference import config, errors
from fr_inference.data import spellings
from fr_inference.data.faces import Faces
from fr_inference.membership import labelled, study
from fr_inference.membership.attack import Attack
from fr_inference.report import wording
from fr_inference.report.gate import FIELD, OF_SEARCH, Gate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planned:
    """An attack, and a setting in which it will be run."""

    attack: Attack
    setting: str

    @property
    def key(self) -> str:
        """As `Comparison.key`."""
        return f'{self.attack.name}/{self.setting}'

    @property
    def unit(self) -> str:
        """What it judges."""
        return self.attack.unit


def check(
    gates: Sequence[Gate],
    settings: config.Settings,
    *,
    given: Collection[str],
    membership: bool = True,
    layers: bool | None = None,
    shadow: bool | None = None,
    faces: Mapping[str, Faces] | None = None,
) -> None:
    """Checks that every figure will be measured, and that there are enough faces to resolve it.

    Args:
      gates: of `gate.parse`.
      settings: of the audit.
      given: the `config.Inputs` that are given; 'auxiliary', 'generator' and 'references' matter.
      membership: whether membership inference is run.
      layers: whether the backbone has BatchNorm layers; None if not yet known.
      shadow: whether a shadow was given or can be trained (`checking.shadow_can_be_had`); None if
        not yet known.
      faces: 'members' and 'nonmembers'; None if not yet opened.

    Raises:
      InputError: with the field 'fail_above', for a gate that cannot be answered (for a rate it
        says how many non-members are needed); with another field if there are too few people for
        any attack.
    """
    halves = None
    for gate in gates:
        if gate.limit is None:
            continue
        if gate.figure in OF_SEARCH:
            _check_search(gate, given)
            continue
        planned = _planned(gate, settings, given, membership, layers, shadow)
        if faces is not None:
            halves = halves or _halves(faces, settings.seed)
            _check_count(gate, planned, halves)


def _check_search(gate, given):
    if 'generator' not in given:
        raise errors.InputError(
            FIELD,
            f'{gate.name} without model inversion',
            hint='needs a generator: also give generator=GENERATOR',
        )


def _planned(gate, settings, given, membership, layers, shadow) -> list[Planned]:
    """Returns the attacks that the gate reads."""
    if not membership:
        raise errors.InputError(
            FIELD,
            f'{gate.name} without membership inference',
            f'verdict, {", ".join(OF_SEARCH)}, or their _high',
        )
    known = [
        Planned(attack=attack, setting=setting)
        for attack in study.chosen(settings)
        for setting in attack.settings
    ]
    run = [one for one in known if _can_run(one, given, layers, shadow)]
    planned = gate.read(run)
    if planned:
        return planned
    missing = gate.read(known)
    why = _why(missing[0], given, shadow) if missing else 'choose its attack with attacks=NAME'
    raise errors.InputError(
        FIELD,
        f'{gate.name} for an attack that is not run',
        f'one of {", ".join(one.key for one in run)}' if run else None,
        f'{why}, or leave this gate out',
    )


def _can_run(one, given, layers, shadow):
    if one.attack.references and 'references' not in given:
        return False
    if one.setting == 'auxiliary' and ('auxiliary' not in given or shadow is False):
        return False
    return not (one.attack.layers and layers is False)


def _why(one, given, shadow):
    if one.setting == 'auxiliary' and 'auxiliary' not in given:
        return 'also give auxiliary=FACES'
    if one.setting == 'auxiliary' and shadow is False and not one.attack.layers:
        return 'also give shadow=BACKBONE: none can be trained for this one'
    if one.attack.references and 'references' not in given:
        return 'also give references=BACKBONE'
    return f'{one.key} needs {one.attack.needs}'


def _halves(faces, seed):
    """unit -> (side, whether in the fitted half) -> count; a side is 'members' or 'nonmembers'."""
    both = spellings.unified({side: faces[side] for side in ('members', 'nonmembers')})
    names = [name for side in both.values() for name in side.identities]
    member = np.arange(len(names)) < len(both['members'])
    fit = labelled.fit_half(names, member, seed)
    rows = [
        (name, 'members' if inside else 'nonmembers', fitted)
        for name, inside, fitted in zip(names, member.tolist(), fit.tolist(), strict=True)
    ]
    people = [one for one, images in collections.Counter(rows).items() if images > 1]
    return {
        unit: collections.Counter((side, fitted) for _, side, fitted in counted)
        for unit, counted in (('image', rows), ('person', people))
    }


def _check_count(gate, planned, halves):
    one = planned[0]
    counts = halves[one.unit]
    for side in ('members', 'nonmembers'):
        # Half of an odd number is rounded down in the evaluated half.
        if min(counts[side, fitted] for fitted in (True, False)) < 2:
            raise errors.InputError(
                FIELD,
                f'{gate.name} with {counts[side, True] + counts[side, False]:,} '
                f'{wording.judged(one.unit)} among the {side}',
                one.attack.needs,
                'give more of them, or leave this gate out',
            )
    evaluated = counts['nonmembers', False]
    gate.check_count(evaluated, wording.judged(one.unit), evaluated + counts['nonmembers', True])
