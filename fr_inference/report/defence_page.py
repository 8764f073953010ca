"""The page of a study of defences: recommendation, figure, table and limits, readable offline."""

from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe

from fr_inference.report import defence_figure, page, what_helps, wording
from fr_inference.report.glossary import Glossary
from fr_inference.report.ruling import capital


def render(record: Mapping[str, Any]) -> str:
    """Returns the page as HTML; it links only to the reports beside it.

    Args:
      record: the contents of study.json.
    """
    rows = record['rows']
    labels = list(dict.fromkeys(row['label'] for row in rows[1:]))
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    columns = _columns(rows)
    glossary = Glossary()
    said = record['recommendation']
    drawing = defence_figure.leak_and_utility(rows, numbers)
    return page.template('defence_page.html').render(
        record=record,
        glossary=glossary,
        headline=said['headline'],
        tone=said['tone'],
        sentences=[('', glossary.explained(text)) for text in said['sentences']],
        drawing=markupsafe.Markup(drawing),
        columns=[_called(column) for column in columns],
        table=[_line(row, columns, numbers) for row in rows],
        outcomes=said['outcomes'],
        alike=rows[0]['attacker'] == 'both',
        controls=wording.SEARCH_CONTROLS,
        inverted=[row['inversion'] for row in rows if 'inversion' in row],
    )


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The attacks on the undefended backbone, one per column: those on the file first."""
    cells = rows[0]['cells']
    return [
        cell
        for unit in ('image', 'person')
        for access in ('file', 'answers')
        for cell in cells
        if (cell['unit'], cell['access']) == (unit, access)
    ]


def _called(column):
    who = capital(wording.somebody(column['access'], column['references']))
    who = who.replace('Somebody who ', '').capitalize()
    if column['unit'] == 'person':
        return who, 'has several photographs of each person'
    return who, f'knows {wording.knows(column["setting"])}'


def _line(row, columns, numbers):
    """A row of the table: for each column a figure, or why there is none."""
    figures = [_figure(row, column) for column in columns] if row['status'] == 'done' else []
    return {'row': row, 'number': numbers.get(row['label']), 'figures': figures}


def _figure(row, column):
    if column['access'] not in row['binds']:
        return _none('the holder of the file can leave it out')
    same = (one for one in row['cells'] if all(one[n] == column[n] for n in what_helps.PLACE))
    cell = next(same, None)
    if cell is None:
        return _none('not run')
    why = '' if cell['excess'] else 'without a control'
    changed = cell.get('difference')
    return {
        'why': why if cell['valid'] else wording.NOT_COUNTED,
        'title': cell['why'],
        'excess': cell['excess'],
        'difference': changed,
        'says': what_helps.change(changed) if changed else '',
        'stands_in': cell['stands_in'],
    }


def _none(why):
    empty = dict.fromkeys(('title', 'excess', 'difference', 'says', 'stands_in'))
    return {**empty, 'why': why}
