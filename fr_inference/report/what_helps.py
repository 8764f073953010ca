"""What a study of defences recommends, by fixed rules, and how an audit's report quotes it.

A defence lowers what an attacker learns only if the interval of the change, on the same people,
ends below 0 for both the adaptive and the plain attacker. Each access is judged by itself.
"""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fr_inference import errors
from fr_inference.membership.comparison import ACCESS, LEAK, NEGLIGIBLE
from fr_inference.report.ruling import hundred

SCHEMA = 1
STUDY = 'defences'

LOWER, SAME, HIGHER, OPEN = 'lower', 'as it was', 'higher', 'open'
"""The change certainly lies below 0, within 5 of 100 pairs, or above 0; or none of these is certain."""
FOOLED = 'lower for the plain attacker only'
UNTESTED = 'lower, but the adaptive attacker was not run'
VOID = 'not counted'
UNBOUND = 'not bound'
NOTHING = 'nothing to lower'

_CALLED = {'file': 'the attack on the file', 'answers': 'the attacks on embeddings'}
_MOST_BYTES = 16 << 20
PLACE = ('unit', 'access', 'references', 'setting')
"""The fields that are equal in two cells of the same place."""


class Defence(NamedTuple):
    """A defence with what each of its attackers found.

    Attributes:
      label: its name.
      by: attacker -> its row in `rows`.
      outcome: access -> one of the words above.
    """

    label: str
    by: Mapping[str, Mapping[str, Any]]
    outcome: Mapping[str, str]


def change(difference: Mapping[str, Any]) -> str:
    """Returns the outcome of a change of the AUC, by its interval.

    >>> change({'auc': -0.2, 'auc_ci95': [-0.3, -0.1]}), change({'auc': 0.0, 'auc_ci95': [-0.02, 0.03]})
    ('lower', 'as it was')
    """
    low, high = difference['auc_ci95']
    if low > -NEGLIGIBLE and high < NEGLIGIBLE:
        return SAME
    return LOWER if high < 0 else HIGHER if low > 0 else OPEN


def judged(rows: Sequence[Mapping[str, Any]]) -> list[Defence]:
    """Returns every defence with what it does to each access.

    Args:
      rows: `rows` of study.json, the undefended backbone first.
    """
    base = rows[0]
    by_label: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows[1:]:
        by_label.setdefault(row['label'], {})[row['attacker']] = row
    return [
        Defence(label, by, {access: _outcome(access, by, base) for access in ACCESS})
        for label, by in by_label.items()
    ]


def _outcome(access, by, base):
    if not any(access in row['binds'] for row in by.values()):
        return UNBOUND
    ran = {name: row for name, row in by.items() if row['status'] == 'done'}
    if not ran:
        return VOID
    leaking = [
        cell
        for cell in base['cells']
        if (cell['access'], cell['unit']) == (access, 'image')
        and cell['valid']
        and cell['excess']
        and cell['excess']['auc_ci95'][0] > 0
    ]
    if not leaking:
        return NOTHING
    found: dict[str, list[str]] = {name: [] for name in ran}
    untested, counted = False, False
    for place in leaking:
        for name, row in ran.items():
            cell = _at(place, row)
            if cell is None:
                return VOID
            # A change is measured on the same people, so a failed control is off by much the same
            # before and after. Such a cell may therefore prevent a claim, but a claim needs another cell
            # that counts.
            counted |= cell['valid']
            found[name].append(change(cell['difference']))
        # Without a shadow or reference an attack is fitted on the defended backbone itself.
        helped = place['setting'] == 'auxiliary' or place['references']
        untested |= helped and 'both' not in ran and 'adaptive' not in ran
    if not counted:
        return VOID
    every = [one for several in found.values() for one in several]
    if all(one == LOWER for one in every):
        return UNTESTED if untested else LOWER
    if HIGHER in every:
        return HIGHER
    if all(one == SAME for one in every):
        return SAME
    if all(one == LOWER for one in found.get('plain', [OPEN])) and 'adaptive' in found:
        return FOOLED
    return OPEN


def _at(place, row):
    alike = (one for one in row['cells'] if all(one[name] == place[name] for name in PLACE))
    return next(alike, None)


def recommendation(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns {'headline', 'tone', 'sentences'} of a study: what helps, and its limits.

    Args:
      rows: `rows` of study.json, the undefended backbone first.
    """
    found = judged(rows)
    both = [one for one in found if all(one.outcome[access] == LOWER for access in ACCESS)]
    both.sort(key=lambda one: (_leaks(one), -_accuracy(one)))
    only = {
        access: [one for one in found if one.outcome[access] == LOWER and one not in both]
        for access in ACCESS
    }
    rest = [one for one in found if one not in (*both, *only['file'], *only['answers'])]
    return {
        'headline': _headline(both, only, found),
        'tone': 'open' if any(_open(one) for one in found) else 'leak',
        'sentences': [
            *(_helps(one, rows[0]) for one in both),
            *(_helps_in_part(one, 'file', rows[0]) for one in only['file']),
            *(_helps_in_part(one, 'answers', rows[0]) for one in only['answers']),
            *map(_does_not_help, rest),
        ],
        'outcomes': {one.label: dict(one.outcome) for one in found},
    }


def _open(one):
    """Whether something was lowered, or there was nothing to lower."""
    return not {LOWER, NOTHING}.isdisjoint(one.outcome.values())


def _headline(both, only, found):
    if both:
        names = _names(both)
        left = ', but a leak is still shown' if all(map(_leaks, both)) else ''
        lower = 'lowers' if len(both) == 1 else 'lower'
        return f'{names} {lower} what the file and its embeddings give away{left}'
    if only['answers']:
        return (
            f'Nothing that was tried protects the file; {_names(only["answers"])} '
            f'{"lowers" if len(only["answers"]) == 1 else "lower"} what embeddings give away'
        )
    if only['file']:
        return (
            'Nothing that was tried helps: a defence lowers the attack on the file, but embeddings '
            'still give the training set away'
        )
    words = {word for one in found for word in one.outcome.values()}
    if NOTHING in words and words <= {NOTHING, UNBOUND, VOID}:
        return 'The undefended backbone shows no leak here that a defence could lower'
    tried = 'the defence that was tried' if len(found) == 1 else f'{len(found)} defences'
    return f'Nothing helps: none of {tried} is shown to lower the leak'.replace(
        'none of the defence that was tried is', 'the defence that was tried is not'
    )


def _helps(one, base):
    too = ', for the adaptive attacker, too' if 'adaptive' in one.by else ''
    return (
        f'{one.label} lowers {_CALLED["file"]} ({_from_to(one, "file", base)}) and '
        f'{_CALLED["answers"]} ({_from_to(one, "answers", base)}){too}. '
        f'{_left(one)}{_people(one)}{_costs(one, base)}'
    )


def _helps_in_part(one, access, base):
    other = 'answers' if access == 'file' else 'file'
    said = f'{one.label} lowers {_CALLED[access]}'
    became = one.outcome[other]
    numbers = f'({_from_to(one, access, base)})'
    if became == SAME:
        they = 'it was' if other == 'file' else 'they were'
        said = f'{said} and leaves {_CALLED[other]} as {they}.'
        said += f' Figures: {_from_to(one, access, base)}.'
    elif became == UNBOUND:
        said = f'{said} {numbers}. Somebody who holds the file can leave the defence out.'
    else:
        said = f'{said} {numbers}; {_CALLED[other]}: {_word(became, one)}.'
    if access == 'file' and became != NOTHING:
        said += (
            ' Somebody who holds the file can compute embeddings too: do not rely on this alone.'
        )
    return f'{said} {_left(one)}{_people(one)}{_costs(one, base)}'


def _does_not_help(one):
    ran = [row for row in one.by.values() if row['status'] == 'done']
    if not ran:
        why = next(iter(one.by.values()))['why']
        return f'{one.label} was not run: {why}'
    words = [
        f'{_CALLED[access]}: {_word(word, one)}'
        for access, word in one.outcome.items()
        if word != UNBOUND
    ]
    unbound = (
        ' Somebody who holds the file can leave the defence out.'
        if UNBOUND in one.outcome.values()
        else ''
    )
    return f'{one.label} is not shown to help ({"; ".join(words)}).{unbound}'


def _word(outcome, one):
    if outcome == OPEN:
        return 'a change is neither shown nor excluded'
    if outcome == SAME:
        return 'as before'
    if outcome == VOID:
        return 'not counted, because a control failed or nothing could be run'
    if outcome == NOTHING:
        return 'no leak was shown there in the first place'
    return outcome


def _worst(one, access):
    """The first attack with an access, by the attacker who learns more from it."""
    cells = [first(row['cells'], access) for row in one.by.values() if row['status'] == 'done']
    return max(
        (cell for cell in cells if cell is not None and 'difference' in cell),
        key=lambda cell: cell['auc'],
        default=None,
    )


def first(cells: Sequence[Mapping[str, Any]], access: str) -> Mapping[str, Any] | None:
    """Returns the main attack on photographs with an access: most knowledge first, then references."""
    alike = [cell for cell in cells if (cell['unit'], cell['access']) == ('image', access)]
    return min(
        alike, key=lambda cell: (cell['setting'] != 'partial', not cell['references']), default=None
    )


def _from_to(one, access, base):
    """How often the member is picked, before and after: the AUC, whose change is judged."""
    before, after = first(base['cells'], access), _worst(one, access)
    if before is None or after is None:
        return 'no figure'
    low, high = (100 * end for end in after['difference']['auc_ci95'])
    return (
        f'{hundred(before["auc"])} of 100 pairs right before, {hundred(after["auc"])} after; change '
        f'{100 * after["difference"]["auc"]:+.0f}, {low:+.0f} to {high:+.0f}'
    )


def _leaks(one):
    cells = [cell for row in one.by.values() if row['status'] == 'done' for cell in row['cells']]
    return any(cell['kind'] == LEAK for cell in cells)


def _left(one):
    return 'A leak is still shown. ' if _leaks(one) else ''


def _people(one):
    """What remains of the attack on people, which uses several photographs of each."""
    rows = [row for row in one.by.values() if row['status'] == 'done']
    cells = [cell for row in rows for cell in row['cells'] if cell['unit'] == 'person']
    worst = max(cells, key=lambda cell: cell['auc'], default=None)
    if worst is None or worst['kind'] != LEAK:
        return ''
    return (
        'Somebody with several photographs of a person still picks the member in '
        f'{hundred(worst["auc"])} of 100 pairs. '
    )


def _accuracy(one):
    found = [row.get('verification') for row in one.by.values() if row['status'] == 'done']
    return max((block['accuracy'] for block in found if block), default=0.0)


def _costs(one, base):
    row = next(row for row in one.by.values() if row['status'] == 'done')
    after, before = row.get('verification'), base.get('verification')
    if not after or not before:
        return 'Its cost is not known: there are too few strangers to measure verification.'
    low, high = (100 * end for end in after['accuracy_ci95'])
    said = (
        f'Verification of strangers: {100 * after["accuracy"]:.1f} % ({low:.1f} to {high:.1f}), '
        f'undefended {100 * before["accuracy"]:.1f} %'
    )
    if (paired := row.get('verification_difference')) is None:
        return f'{said}.'
    low, high = (100 * end for end in paired['accuracy_ci95'])
    cost = 'it costs' if high < 0 else 'a cost is not shown' if low <= 0 else 'it gains'
    return (
        f'{said}: {cost} ({100 * paired["accuracy"]:+.1f} points, {low:+.1f} to {high:+.1f} on the same '
        'pairs).'
    )


def _names(found):
    names = [one.label for one in found]
    return names[0] if len(names) == 1 else f'{", ".join(names[:-1])} and {names[-1]}'


def read(path: str | os.PathLike, field: str = 'advice') -> dict[str, Any]:
    """Returns a study that an earlier run wrote.

    Args:
      path: its study.json.
      field: its name in errors.

    Raises:
      InputError: for a file that is not a study.
    """
    expected = 'the study.json of study_defences'
    file = pathlib.Path(path)
    try:
        if not file.is_file():
            raise errors.InputError(field, f'{path}, which is not a file', expected)
        if file.stat().st_size > _MOST_BYTES:
            raise errors.InputError(field, f'{path}, of {file.stat().st_size} bytes', expected)
        found = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, errors.InputError):
            raise
        raise errors.InputError(field, f'{path}, which cannot be read', expected) from error
    try:
        said, made = found['recommendation'], found['provenance']
        texts = [
            *(said['headline'], *said['sentences'], found['target']['name']),
            *(made['date'], made['target_sha256']),
        ]
        whole = found['study'] == STUDY and found['schema'] == SCHEMA
        whole = whole and all(isinstance(text, str) for text in texts)
    except (KeyError, TypeError):  # `found` may be any JSON value
        whole = False
    if not whole:
        raise errors.InputError(field, f'{path}, which is not a study', expected)
    return found


def quoted(study: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parts of a study that a report shows.

    Args:
      study: by `read`.
      record: the `audit.json` of the report.

    Returns:
      {'of', 'date', 'headline', 'sentences', 'other'}: 'other' warns that the study is of another
      backbone; '' if it is of this one.
    """
    made = study['provenance']
    same = made['target_sha256'] == record['provenance']['target_sha256']
    return {
        'of': study['target']['name'],
        'date': made['date'][:10],
        'headline': study['recommendation']['headline'],
        'sentences': study['recommendation']['sentences'],
        'other': ''
        if same
        else 'This study is of another backbone than the one audited here (their SHA-256 differ). What '
        'helped there may not help here.',
    }
