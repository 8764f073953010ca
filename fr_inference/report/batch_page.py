"""Many audits side by side: one page, readable offline, in light and dark, and a CSV file."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe

from fr_inference import files, runs, tables
from fr_inference.inversion.outcome import Outcome
from fr_inference.membership.comparison import CLEAR, INVALID, LEAK, OPEN, Comparison, decisive
from fr_inference.report import batch_figure, page, wording
from fr_inference.report.glossary import Glossary
from fr_inference.report.verdict import comparisons, verdict

FILES = ('comparison.html', 'comparison.csv')
STATES = ('waiting', 'running', 'done', 'failed', 'bug')
# Figures of the decisive attack and of the search; each has three columns in the CSV.
INTERVALS = ('auc', 'blind', 'null', 'excess', 'tpr_at_1_percent', 'hit_rate')
_PLAIN = ('architecture', 'images', 'people')
# Verdicts, the worst first.
_KINDS = (LEAK, INVALID, OPEN, CLEAR)
_CALLED = {
    **{kind: kind for kind in _KINDS},
    'failed': 'failed',
    'bug': 'failed: bug',
}
_NAMED = 6  # names in one sentence
_PAPER = f'{wording.PAPER}/partial'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One audit.

    Attributes:
      name: its name on the page; letters, digits and ._- only.
      target: the backbone that was asked for.
      status: one of `STATES`; 'failed' for bad input, 'bug' for an error of the program.
      error: one line, if it failed.
      report: its report, relative to the page.
      kind: the word of the verdict, once it is done.
      headline: the headline of the verdict.
      figures: name -> text or number; 'hit_rate' -> (value, low, high). Values that were not
        measured are absent.
      comparisons: every attack with its controls.
    """

    name: str
    target: str
    status: str = 'waiting'
    error: str = ''
    report: str = ''
    kind: str = ''
    headline: str = ''
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()

    @property
    def shown(self) -> list[Comparison]:
        """The comparisons on the page: those chosen beforehand, the decisive one and the paper's."""
        return [
            one
            for one in self.comparisons
            if not one.further or one is self.decisive or one.key == _PAPER
        ]

    @property
    def decisive(self) -> Comparison | None:
        """The comparison that the verdict rests on."""
        return decisive(self.comparisons) if self.comparisons else None

    def void(self, one: Comparison | None = None) -> str:
        """Returns why the figure of an attack or of the search is not counted; '' if it is."""
        if one is not None and not one.valid:
            return wording.not_counted(one, short=True)
        return wording.NO_FIGURE if self.kind == INVALID else ''

    @property
    def measured(self) -> dict[str, tuple[float, float, float]]:
        """Returns name -> (value, low, high) for the measured ones of `INTERVALS`."""
        found = {}
        if (one := self.decisive) is not None:
            blocks = {
                'auc': one.figures,
                'blind': one.blind,
                'null': one.null,
                'excess': one.excess,
            }
            found = {name: _interval(block) for name, block in blocks.items() if block is not None}
            if (rate := one.figures['tpr_at_fpr'].get('0.01')) is not None:
                found['tpr_at_1_percent'] = (rate, *one.figures['tpr_at_fpr_ci95']['0.01'])
        if 'hit_rate' in self.figures:
            found['hit_rate'] = self.figures['hit_rate']
        return found

    @property
    def brief(self) -> str:
        """The main figure and the seconds, for a progress line."""
        parts = [f'{self.figures["seconds"]:.0f} s']
        one = self.decisive
        if one is not None and not one.valid:
            parts.insert(0, wording.not_counted(one))
        elif not self.void():
            for name, called in (('auc', 'AUC'), ('hit_rate', 'hit rate')):
                if name in self.measured:
                    value, low, high = self.measured[name]
                    parts.insert(0, f'{called} {value:.3f}, {low:.3f} to {high:.3f}')
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
    if 'inversion' in record:
        search = Outcome.from_json(record['inversion']).figures
        figures['hit_rate'] = (search['hit_rate'], *search['hit_rate_ci95'])
    return Entry(
        name=name,
        target=target,
        status='done',
        report=report,
        kind=said.kind,
        headline=said.headline,
        figures=figures,
        comparisons=tuple(comparisons(record)),
    )


def _interval(block):
    return block['auc'], *block['auc_ci95']


@runs.first_only
def write(folder: str | os.PathLike, entries: Sequence[Entry]) -> None:
    """Writes comparison.html and comparison.csv, each atomically; only process 0 writes.

    Args:
      folder: an existing folder.
      entries: in the order of the page.
    """
    folder = pathlib.Path(folder)
    report, table = (folder / name for name in FILES)
    files.write_text(report, render(entries), errors='backslashreplace')
    keys = _labels(entry.comparisons for entry in entries)
    columns = ['name', 'target', 'status', 'error', 'verdict', *_PLAIN, 'decided_by', 'not_counted']
    names = [*INTERVALS, *(f'auc {key}' for key in keys)]
    columns += [f'{name}{end}' for name in names for end in ('', '_low', '_high')]
    columns += ['seconds', 'target_sha256', 'report']
    tables.write(table, columns, (_line(entry, keys) for entry in entries))


def _line(entry, keys):
    figures, first, measured = entry.figures, entry.decisive, entry.measured
    line = [entry.name, entry.target, entry.status, entry.error, entry.kind]
    line += [figures.get(name, '') for name in _PLAIN]
    line.append(first.key if first is not None else '')
    line.append(' '.join(one.key for one in entry.comparisons if entry.void(one)))
    for name in INTERVALS:
        line += measured.get(name, ('', '', ''))
    found = {one.key: one for one in entry.comparisons}
    for key in keys:
        line += _interval(found[key].figures) if key in found else ('', '', '')
    return [*line, figures.get('seconds', ''), figures.get('target_sha256', ''), entry.report]


def _labels(several):
    """Returns key -> label of every comparison that occurs, in the order of the audits."""
    found: dict[str, tuple[int, str]] = {}
    for found_in_one in several:
        for place, one in enumerate(found_in_one):
            before, _ = found.get(one.key, (place, ''))
            found[one.key] = min(place, before), wording.label(one)
    return {key: label for key, (_, label) in sorted(found.items(), key=lambda item: item[1][0])}


def render(entries: Sequence[Entry]) -> str:
    """Returns the page; it links only to the reports beside it."""
    headline, tone, sentences = summary(entries)
    invalid = [entry for entry in entries if entry.kind == INVALID]
    labels = _labels(entry.shown for entry in entries)
    drawn = batch_figure.targets(entries, labels) if labels else []
    return page.template('batch_page.html').render(
        entries=entries,
        called=_CALLED,
        glossary=Glossary(),
        breakable=_breakable,
        labels=labels,
        not_counted=wording.not_counted,
        label=wording.label,
        badges=_badges(entries),
        headline=headline,
        tone=tone,
        sentences=[_labelled(sentence) for sentence in sentences],
        interval=_interval,
        # If all attacks of an invalid audit failed their controls, the list of attacks names it already.
        void_audits=[entry for entry in invalid if any(one.valid for one in entry.shown)],
        void_ones=[(entry, one) for entry in entries for one in entry.shown if not one.valid],
        unshown=max((len(entry.comparisons) - len(entry.shown) for entry in entries), default=0),
        inverted=any('hit_rate' in entry.figures for entry in entries),
        unfinished=any(entry.status in ('waiting', 'running') for entry in entries),
        failed=[entry for entry in entries if entry.error],
        drawings=[markupsafe.Markup(figure) for figure in drawn],
    )


def _badges(entries):
    """[(class, text)] of the verdicts, the worst first, then of audits without one."""
    found = collections.Counter(entry.kind or entry.status for entry in entries)
    if len(entries) == 1:
        return [(kind, _CALLED.get(kind, kind)) for kind in found]
    order = [*_KINDS, *STATES]
    return [(kind, f'{found[kind]} {_CALLED.get(kind, kind)}') for kind in order if found[kind] > 0]


def summary(entries: Sequence[Entry]) -> tuple[str, str, list[str]]:
    """Returns (headline, tone, sentences): which backbones leak most, which do not, which audits failed.

    The tone is the colour of a verdict, '' if nothing was audited: that of a leak if any backbone
    leaks, that of an all-clear if every requested audit is done and clear.
    """
    kinds = {kind: [entry for entry in entries if entry.kind == kind] for kind in _KINDS}
    states = {state: [entry for entry in entries if entry.status == state] for state in STATES}
    done, leaking = len(states['done']), kinds[LEAK]
    lost = len(states['failed']) + len(states['bug'])
    pending = len(entries) - done - lost
    counts = [(len(kinds[kind]), kind) for kind in _KINDS[1:]]
    rest = [(lost, 'failed'), (pending, 'not done')]
    if not leaking and len(kinds[CLEAR]) == done:
        counts = []
    others = ', '.join(f'{number} {word}' for number, word in (*counts, *rest) if number)
    if leaking:
        gives = 'gives' if len(leaking) == 1 else 'give'
        headline = f'{len(leaking)} of {_count(done, "backbone")} {gives} away training data'
        tone, headline = LEAK, f'{headline}; {others}' if others else headline
    elif not done:
        tone, headline = '', 'Nothing audited yet'
    elif len(kinds[CLEAR]) == done:
        headline = f'No leak found in {_count(done, "backbone")}'
        tone, headline = (OPEN, f'{headline}; {others}') if others else (CLEAR, headline)
    else:
        tone = INVALID if len(kinds[INVALID]) == done else OPEN
        audited, left = (
            ', '.join(f'{number} {word}' for number, word in found if number)
            for found in (counts, rest)
        )
        headline = f'No leak is shown in {_count(done, "backbone")}: {audited}'
        headline += f'; {left}' if left else ''
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
    if shown := [(entry, one) for entry in leaking if (one := _shown(entry)) is not None]:
        most, one = max(shown, key=lambda pair: pair[1].excess['auc'])
        low, high = (100 * end for end in one.excess['auc_ci95'])
        who = f'the attack on {wording.judged(one.unit)}'
        if wording.combines(one):
            who = wording.combination(one)
        sentences.append(
            f'Largest finding: {most.name}. Of 100 pairs of a member and a stranger, {who} gets '
            f'{100 * one.excess["auc"]:.0f} more right ({low:.0f} to {high:.0f}) than on a backbone '
            'that never saw them.'
        )
    if len(leaking) > 1:
        excess = {entry.name: one.excess['auc'] for entry, one in shown}
        ranked = sorted((entry for entry, _ in shown), key=lambda entry: -excess[entry.name])
        searched = [entry for entry in leaking if entry.name not in excess]
        parts = [f'{_names(ranked)} (largest excess first)'] if len(ranked) > 1 else []
        parts += [_names(ranked)] if len(ranked) == 1 else []
        parts += [f'{_names(searched)} (by reconstructed faces alone)'] if searched else []
        sentences.append(f'Leak: {"; ".join(parts)}.')
    for words, found in (
        *((kind.capitalize(), kinds[kind]) for kind in _KINDS[1:]),
        ('Failed', states['failed'] + states['bug']),
    ):
        if found:
            sentences.append(f'{words}: {_names(found)}.')
    return headline, tone, sentences


def _shown(entry):
    """Returns the comparison that shows a leak; None if only a search shows one."""
    one = entry.decisive
    return one if one is not None and one.kind == LEAK else None


def _labelled(sentence):
    label, _, text = sentence.partition(': ')
    return label, text  # every sentence of a summary begins with a label


def _breakable(name):
    """The name as HTML that may be broken between its parts."""
    text = markupsafe.escape(name)
    for sign in '_-.':
        text = text.replace(sign, markupsafe.Markup(f'{sign}<wbr>'))
    return text


def _names(entries):
    names = ', '.join(entry.name for entry in entries[:_NAMED])
    return f'{names} and {len(entries) - _NAMED} more' if len(entries) > _NAMED else names


def _count(number, noun):
    return f'{number} {noun}{"s" if number != 1 else ""}'
