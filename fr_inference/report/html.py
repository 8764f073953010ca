"""The report: one HTML file, readable offline, in light and dark."""

import base64
import io
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fr_inference.data.loader import fit_image
from fr_inference.metrics import intervals
from fr_inference.report.verdict import verdict

_TITLES = {
    'partial': 'Images, some members known (partial)',
    'auxiliary': 'Images, no member known (auxiliary)',
    'identity_level': 'People with several images',
    'null': 'Null control (must contain 0.5)',
    'blind': 'Blind control (never saw the members)',
    'identity_null': 'People: null control',
    'identity_blind': 'People: blind control',
}
_RATES = np.geomspace(1e-3, 1, 121)


def render(audit: Any, *, thumbnails: bool = True) -> str:
    """Returns the report of an `auditing.Audit` as HTML without references to other files.

    Args:
      audit: the result.
      thumbnails: whether to show the faces of the most exposed people.
    """
    record = audit.record
    membership = record['membership']
    blocks = {
        **membership['settings'],
        **(
            {'identity_level': membership['identity_level']}
            if 'identity_level' in membership
            else {}
        ),
        **{name: block for name, block in membership['controls'].items() if 'members' in block},
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('fr_inference', 'report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    people = [
        {**person, 'faces': [_face(audit, row) for row in person['rows']] if thumbnails else []}
        for person in record['exposed']
    ]
    return environment.get_template('template.html').render(
        record=record,
        membership=membership,
        blocks=[(_TITLES[name], block) for name, block in blocks.items()],
        excesses=[
            (title, membership['controls'][name])
            for name, title in (('excess', 'Images'), ('identity_excess', 'People'))
            if name in membership['controls']
        ],
        rates=intervals.RATES,
        verdict=verdict(record),
        people=people,
        roc=_roc(audit),
        scores=_scores(audit),
        layers=_layers(membership.get('layers', [])),
    )


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({'svg.hashsalt': 'fr_inference'}):
        figure.savefig(buffer, format='svg', metadata={'Date': None}, bbox_inches='tight')
    encoded = base64.b64encode(buffer.getvalue().encode()).decode()
    return f'data:image/svg+xml;base64,{encoded}'


def _roc(audit):
    figure = Figure(figsize=(6, 4.5))
    axes = figure.subplots()
    seed = audit.record['provenance']['seed']
    for number, name in enumerate(('partial', 'auxiliary', 'identity_level', 'blind', 'null')):
        if name not in audit.evaluated:
            continue
        scored = audit.evaluated[name]
        rates = _RATES[_RATES * (~scored.member).sum() >= 1]
        value, ends = intervals.band(scored, rates, seed=seed, replicates=200)
        style = '--' if name in ('blind', 'null') else '-'
        axes.plot(rates, value, style, color=f'C{number}', label=_TITLES[name])
        axes.fill_between(rates, *ends, color=f'C{number}', alpha=0.12)
    axes.plot(_RATES, _RATES, ':', color='grey', label='guessing')
    axes.set(xscale='log', yscale='log', xlim=(1e-3, 1), ylim=(1e-3, 1.05))
    axes.set(xlabel='false positives (share of non-members)', ylabel='members found')
    axes.legend(fontsize=7)
    return _svg(figure)


def _scores(audit):
    if 'partial' not in audit.evaluated:
        return None
    scored = audit.evaluated['partial']
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    bins = np.histogram_bin_edges(scored.scores, 40).tolist()
    for side, label in ((scored.member, 'members'), (~scored.member, 'non-members')):
        axes.hist(scored.scores[side], bins, alpha=0.55, density=True, label=label)
    axes.axvline(0, color='grey', linestyle=':')
    axes.set(xlabel='membership logit', ylabel='density')
    axes.legend()
    return _svg(figure)


def _layers(layers):
    if not layers:
        return None
    figure = Figure(figsize=(7, 3))
    axes = figure.subplots()
    values = np.array([layer['auc'] for layer in layers])
    ends = np.array([layer['auc_ci95'] for layer in layers]).T
    axes.errorbar(
        range(len(values)), values, np.abs(ends - values), fmt='o', markersize=3, linewidth=1
    )
    axes.axhline(0.5, color='grey', linestyle=':')
    axes.set(xlabel='BatchNorm layer, from input to embedding', ylabel='AUC of one layer')
    return _svg(figure)


def _face(audit, row):
    buffer = io.BytesIO()
    Image.fromarray(fit_image(audit.faces.read(row), 64, 64)).save(buffer, format='PNG')
    return f'data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'
