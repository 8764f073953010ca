"""The findings of an audit of a study for each access and knowledge, and their change by the defence."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import tables
from fr_inference.membership import comparing
from fr_inference.membership.comparison import Comparison
from fr_inference.metrics.intervals import Scored
from fr_inference.report import what_helps, who_learns, wording
from fr_inference.report.verdict import comparisons

Cell = dict[str, Any]
"""An entry of `cells` in study.json."""

_SETTINGS = ('partial', 'auxiliary')


def cells(record: Mapping[str, Any], bound: Sequence[str]) -> list[Cell]:
    """Returns the attacks fixed for each access and knowledge, and the first ones on people.

    One that was chosen by what it finds would be another one in another backbone.
    In the file of a backbone without statistics there is nothing more to see than its embeddings show:
    there the attacks on them stand for those on the file.

    Args:
      record: an `audit.json`.
      bound: the accesses of `comparison.ACCESS` on which the defence takes effect.
    """
    found = comparisons(record)
    several: list[Cell] = []
    for access, references in who_learns.COLUMNS:
        stands_in = access == 'file' and not record['target']['norm_layers']
        for setting in _SETTINGS if access in bound else ():
            seen = 'answers' if stands_in else access
            one = who_learns.fixed_for(found, seen, references, setting)
            if one is not None:
                several.append(_cell(one) | {'access': access, 'stands_in': stands_in})
    for access in bound:
        stands_in = access == 'file' and not record['target']['norm_layers']
        place = ('person', 'partial', 'answers' if stands_in else access)
        of_people = (one for one in found if (one.unit, one.setting, one.access) == place)
        people = next(of_people, None)
        if people is not None:
            several.append(_cell(people) | {'access': access, 'stands_in': stands_in})
    return several


def reconstructed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how well faces were reconstructed; {} if the audit did not include inversion.

    Args:
      record: an `audit.json`.

    Returns:
      {'inversion': {'goal', 'search', 'templates'}}: shares with their intervals. For the search,
      the reconstructions that match a member, and their excess over the strongest control
      ('excess'); for templates, the reconstructions whose own person is the most similar, also
      without any step ('selected_only').
    """
    found = record.get('inversion')
    if found is None:
        return {}
    shares = {name: found[name] for name in ('hit_rate', 'hit_rate_ci95')}
    entry = {'goal': found['goal'], 'search': {**shares, 'excess': found['excess']}}
    if (given := found.get('targeted')) is not None:
        still = given['controls']['selected_only']
        entry['templates'] = {
            **{name: given[name] for name in ('people', 'top1', 'top1_ci95')},
            'selected_only': {name: still[name] for name in ('top1', 'top1_ci95')},
        }
    return {'inversion': entry}


def _cell(one: Comparison) -> Cell:
    return {
        **{name: getattr(one, name) for name in what_helps.PLACE},
        'key': one.key,
        'name': wording.name(one),
        'kind': one.kind,
        'valid': one.valid,
        'why': wording.not_counted(one),
        'auc': one.figures['auc'],
        'auc_ci95': one.figures['auc_ci95'],
        'excess': one.excess and dict(one.excess),
    }


def same_place(cell: Cell, others: Sequence[Cell]) -> Cell | None:
    """Returns the cell of the same unit, access and knowledge."""
    alike = (one for one in others if all(one[name] == cell[name] for name in what_helps.PLACE))
    return next(alike, None)


def differences(
    own: Sequence[Cell],
    folder: pathlib.Path,
    base: Sequence[Cell],
    base_folder: pathlib.Path,
    *,
    seed: int,
    replicates: int,
) -> list[Cell]:
    """Returns cells with 'difference': the AUC minus that in the undefended backbone.

    If both have scores of the same photographs (scores.csv), the difference is computed on the same
    people and 'paired' is true; otherwise the interval combines those of the two AUCs. The AUC is
    compared, not the excess: the blind controls of two backbones differ by chance, which resampling
    people does not show.

    Args:
      own: cells of the defended backbone.
      folder: of its audit.
      base: cells of the undefended backbone.
      base_folder: of its audit.
      seed: of the bootstrap.
      replicates: of the bootstrap.
    """
    found = []
    tables_of: dict[pathlib.Path, Mapping[str, Any]] = {
        folder: _scores(folder, own),
        base_folder: _scores(base_folder, base),
    }
    for cell in own:
        other = same_place(cell, base)
        if other is None:
            found.append(dict(cell))
            continue
        ours = _scored(tables_of[folder], cell['key'])
        theirs = _scored(tables_of[base_folder], other['key'])
        same = tables_of[folder]['path'] == tables_of[base_folder]['path']
        if same and ours is not None and theirs is not None:
            change = _paired(ours, theirs, seed, replicates) | {'paired': True}
        else:
            ends = (cell['auc_ci95'], other['auc_ci95'])
            change = {
                'auc': cell['auc'] - other['auc'],
                'auc_ci95': [ends[0][0] - ends[1][1], ends[0][1] - ends[1][0]],
                'paired': False,
            }
        found.append({**cell, 'difference': change})
    return found


def _paired(ours, theirs, seed, replicates):
    if np.array_equal(np.argsort(ours.scores), np.argsort(theirs.scores)):
        return {'auc': 0.0, 'auc_ci95': [0.0, 0.0]}  # no score changed
    return comparing.excess(ours, theirs, seed=seed, replicates=replicates)


def _scores(folder, several):
    """The columns of scores.csv that the cells need, for the evaluated images."""
    names = [f'logit_{key}' for key in dict.fromkeys(one['key'] for one in several)]
    path = folder / 'scores.csv'
    there = set(tables.further(path, ()))
    columns = ['path', 'identity', 'member', 'evaluation', *(one for one in names if one in there)]
    rows = [row for _, row in tables.rows(path, columns) if row[3] == '1']
    return dict(zip(columns, zip(*rows, strict=True), strict=True))


def _scored(table, key):
    if f'logit_{key}' not in table:
        return None
    return Scored(
        scores=np.array(table[f'logit_{key}'], float),
        member=np.array(table['member']) == '1',
        identities=table['identity'],
    )
