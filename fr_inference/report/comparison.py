"""Many audits side by side: one page, readable offline, in light and dark, and the same as CSV."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe

from fr_inference import tables
from fr_inference.report import comparison_figure, html
from fr_inference.report.verdict import INVALID, LEAK, NONE, OPEN, decisive, verdict

FILES = ('comparison.html', 'comparison.csv')
STATES = ('waiting', 'running', 'done', 'failed', 'bug')
# Figures with an interval: three columns each in the CSV.
INTERVALS = (
    *('auc_partial', 'auc_auxiliary', 'auc_people', 'auc_blind'),
    *('excess', 'tpr_at_1_percent', 'hit_rate'),
)
_PLAIN = ('architecture', 'images', 'people', 'decided_by')
_AUC = {'partial': 'auc_partial', 'auxiliary': 'auc_auxiliary', 'identity_level': 'auc_people'}
_CALLED = {
    LEAK: 'leak',
    NONE: 'no leak found',
    OPEN: 'not conclusive',
    INVALID: 'control failed',
    'failed': 'failed',
    'bug': 'failed: bug',
}
_NAMED = 6  # in one sentence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One audit.

    Attributes:
      name: how the page calls it; letters, digits and ._- only.
      target: the backbone that was asked for.
      status: in `STATES`; 'failed' by its input, 'bug' by ours.
      error: one line, where it failed.
      report: its report, relative to the page.
      kind: the verdict's, where it is done.
      headline: the verdict's.
      figures: name -> text or number; name -> (value, low, high) for `INTERVALS`; what was not
        measured is absent.
    """

    name: str
    target: str
    status: str = 'waiting'
    error: str = ''
    report: str = ''
    kind: str = ''
    headline: str = ''
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def brief(self) -> str:
        """The figure that matters and the seconds, for a line of progress."""
        figures = self.figures
        parts = [f'{figures["seconds"]:.0f} s']
        for name in ('auc_partial', 'auc_auxiliary', 'auc_people', 'hit_rate'):
            if name in figures:
                value, low, high = figures[name]
                label = 'hit rate' if name == 'hit_rate' else 'AUC'
                parts.insert(0, f'{label} {value:.3f}, {low:.3f} to {high:.3f}')
                break
        return '; '.join(parts)


def finished(name: str, target: str, record: Mapping[str, Any], report: str) -> Entry:
    """Returns the entry of an audit that is done.

    Args:
      name: how the page calls it.
      target: the backbone that was asked for.
      record: its `audit.json`.
      report: its report, relative to the page.
    """
    said = verdict(record)
    sides = (record['data']['members'], record['data']['nonmembers'])
    figures: dict[str, Any] = {
        'architecture': record['target']['architecture'],
        'images': sum(side['images'] for side in sides),
        'people': sum(side['people'] for side in sides),
        'seconds': record['provenance']['seconds'],
        'target_sha256': record['provenance']['target_sha256'],
    }
    if 'membership' in record:
        figures |= _membership(record['membership'])
    if 'inversion' in record:
        inversion = record['inversion']
        figures['hit_rate'] = (inversion['hit_rate'], *inversion['hit_rate_ci95'])
    return Entry(
        name=name,
        target=target,
        status='done',
        report=report,
        kind=said.kind,
        headline=said.headline,
        figures=figures,
    )


def _membership(membership):
    """Excess, control and TPR are those of the attack that the verdict rests on."""
    settings, controls = membership['settings'], membership['controls']
    shadow = membership.get('shadow') or {}
    attacks = {
        'partial': (settings.get('partial'), 'excess', controls.get('blind')),
        'auxiliary': (settings.get('auxiliary'), 'auxiliary_excess', shadow.get('on_blind')),
        'identity_level': (
            membership.get('identity_level'),
            'identity_excess',
            controls.get('identity_blind'),
        ),
    }
    figures: dict[str, Any] = {'decided_by': decisive(membership)}
    for name, (block, excess, blind) in attacks.items():
        if not block:
            continue
        if name == figures['decided_by']:
            for key, found in (('excess', controls.get(excess)), ('auc_blind', blind)):
                if found:
                    figures[key] = (found['auc'], *found['auc_ci95'])
            if block['tpr_at_fpr']['0.01'] is not None:
                ends = block['tpr_at_fpr_ci95']['0.01']
                figures['tpr_at_1_percent'] = (block['tpr_at_fpr']['0.01'], *ends)
        figures[_AUC[name]] = (block['auc'], *block['auc_ci95'])
    return figures


def write(folder: str | os.PathLike, entries: Sequence[Entry]) -> None:
    """Writes comparison.html and comparison.csv; a reader sees all of the old or all of the new.

    Args:
      folder: is there.
      entries: in the order of the page.
    """
    folder = pathlib.Path(folder)
    page, table = (folder / name for name in FILES)
    temporary = folder / 'comparison.tmp'
    temporary.write_text(render(entries), encoding='utf-8', errors='backslashreplace')
    temporary.rename(page)
    columns = ['name', 'target', 'status', 'error', 'verdict', *_PLAIN]
    columns += [f'{name}{end}' for name in INTERVALS for end in ('', '_low', '_high')]
    columns += ['seconds', 'target_sha256', 'report']
    tables.write(temporary, columns, map(_line, entries))
    temporary.rename(table)


def _line(entry):
    figures = entry.figures
    line = [entry.name, entry.target, entry.status, entry.error, entry.kind]
    line += [figures.get(name, '') for name in _PLAIN]
    for name in INTERVALS:
        line += figures.get(name, ('', '', ''))
    return [*line, figures.get('seconds', ''), figures.get('target_sha256', ''), entry.report]


def render(entries: Sequence[Entry]) -> str:
    """Returns the page, which refers to the reports beside it and to nothing else."""
    headline, tone, sentences = summary(entries)
    drawn = any(entry.kind for entry in entries)
    return html.template('comparison.html').render(
        entries=entries,
        called=_CALLED,
        breakable=_breakable,
        headline=headline,
        tone=tone,
        sentences=sentences,
        shadowed=any('auc_auxiliary' in entry.figures for entry in entries),
        inverted=any('hit_rate' in entry.figures for entry in entries),
        unfinished=any(entry.status in ('waiting', 'running') for entry in entries),
        failed=[entry for entry in entries if entry.error],
        drawing=markupsafe.Markup(comparison_figure.targets(entries)) if drawn else '',
    )


def summary(entries: Sequence[Entry]) -> tuple[str, str, list[str]]:
    """Returns (headline, verdict's kind, sentences): which leaks most, which nothing, which failed."""
    kinds = {kind: [entry for entry in entries if entry.kind == kind] for kind in _CALLED}
    states = {state: [entry for entry in entries if entry.status == state] for state in STATES}
    done, leaking = len(states['done']), kinds[LEAK]
    if leaking:
        tone, headline = (
            LEAK,
            f'{len(leaking)} of {_count(done, "backbone")} give away training data',
        )
        if len(leaking) == 1:
            headline = f'1 of {_count(done, "backbone")} gives away training data'
    elif done and len(kinds[NONE]) == done:
        tone, headline = NONE, f'No leak found in {_count(done, "backbone")}'
    elif done:
        tone, headline = OPEN, f'Not conclusive for {_count(done, "backbone")}: no leak is shown'
    else:
        tone, headline = OPEN, 'Nothing audited yet'
    sentences = [
        f'{_count(len(entries), "audit")}: '
        + ', '.join(
            f'{len(found)} {words}'
            for words, found in (
                ('done', states['done']),
                ('failed', states['failed'] + states['bug']),
                ('running', states['running']),
                ('waiting', states['waiting']),
            )
            if found
        )
        + '.'
    ]
    judged = [entry for entry in leaking if 'excess' in entry.figures]
    if judged:
        most = max(judged, key=lambda entry: entry.figures['excess'][0])
        value, low, high = (100 * share for share in most.figures['excess'])
        several = most.figures.get('decided_by') == 'identity_level'
        whom = 'With several photographs of each, of' if several else 'Of'
        sentences.append(
            f'Leaks most: {most.name}. {whom} 100 pairs of a member and a stranger the attack gets '
            f'{value:.0f} more right ({low:.0f} to {high:.0f}) than on a backbone that never saw them.'
        )
    if len(leaking) > 1:
        leaking = sorted(leaking, key=lambda entry: -entry.figures.get('excess', (0,))[0])
        sentences.append(f'Leaks shown, the strongest first: {_names(leaking)}.')
    for words, found in (
        ('No leak found', kinds[NONE]),
        ('Not conclusive', kinds[OPEN]),
        ('Not conclusive, for a control failed', kinds[INVALID]),
        ('Failed, with the reason below', states['failed'] + states['bug']),
    ):
        if found:
            sentences.append(f'{words}: {_names(found)}.')
    return headline, tone, sentences


def _breakable(name):
    """The name as text that may be broken where its parts meet."""
    text = markupsafe.escape(name)
    for sign in '_-.':
        text = text.replace(sign, markupsafe.Markup(f'{sign}<wbr>'))
    return text


def _names(entries):
    names = ', '.join(entry.name for entry in entries[:_NAMED])
    return f'{names} and {len(entries) - _NAMED} more' if len(entries) > _NAMED else names


def _count(number, noun):
    return f'{number} {noun}{"s" if number != 1 else ""}'
