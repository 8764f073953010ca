"""The report: one HTML file, readable offline, in light and dark."""

import base64
import io
import json
from typing import Any

import jinja2
import markupsafe
import numpy as np
from PIL import Image

from fr_inference.formats.images import fit_image
from fr_inference.inversion import reconstructions
from fr_inference.metrics import intervals
from fr_inference.report import figures, search_figures
from fr_inference.report.verdict import CONTROLS, verdict

_FACE_PIXELS = 72
_SHOWN = 12  # reconstructions in the report; all are beside it

_TEMPLATE_CONTROLS = CONTROLS | {'nonmembers': 'templates of people who are no members'}
# Attack -> (title, its blind control, excess and null control in `audit.json`).
_ATTACKS = {
    'partial': ('Images, some members known', 'blind', 'excess', 'null'),
    'auxiliary': ('Images, no member known', 'auxiliary_blind', 'auxiliary_excess', None),
    'identity_level': (
        'People with several images',
        'identity_blind',
        'identity_excess',
        'identity_null',
    ),
}
_POPULATIONS = {
    'members_vs_nonmembers': (
        'Training images against strangers of the same source',
        'The leak itself: both sides were collected alike.',
    ),
    'member_identities_vs_nonmembers': (
        "Other photographs of the members' people against strangers",
        'Above 0.5, the person is given away and not only the photograph.',
    ),
    'members_vs_same_identities': (
        'Training images against other photographs of the same people',
        'Above 0.5, the very photograph is given away.',
    ),
    'nonmembers_vs_shift': (
        'Strangers of the same source against another source',
        'No leak, whatever it says: how well the attack tells two collections apart.',
    ),
}


def render(audit: Any, *, thumbnails: bool = True) -> str:
    """Returns the report of an `auditing.Audit` as HTML without references to other files.

    Args:
      audit: the result.
      thumbnails: whether to show the faces of the most exposed people.
    """
    record = audit.record
    membership = record.get('membership', {})
    rows = _rows(membership) if membership else []
    populations = membership.get('populations', {})
    return template('template.html').render(
        record=record,
        verdict=verdict(record),
        rows=rows,
        trained=_trained(record['target']['recipe']),
        rates=intervals.RATES,
        populations=[(*_POPULATIONS[name], block) for name, block in populations.items()],
        people=[
            {**person, 'faces': [_face(audit, row) for row in person['rows']] if thumbnails else []}
            for person in record.get('exposed', ())
        ],
        inversion=record.get('inversion'),
        **(_inversion(audit, thumbnails) if audit.inversion is not None else {}),
        thumbnails=thumbnails,
        drawings={
            name: markupsafe.Markup(svg)  # drawn here, labels escaped
            for name, svg in _drawings(audit, rows).items()
        },
    )


def template(name: str) -> jinja2.Template:
    """Returns a template of this folder; whatever is put into it is text, never markup."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('fr_inference', 'report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters['number'] = lambda value: f'{value:,}'
    return environment.get_template(name)


def _trained(recipe):
    """How the target was trained, in one sentence where the recipe is one of ours."""
    if not recipe:
        return ''
    counts = [recipe.get(key) for key in ('trained_epochs', 'epochs', 'images', 'identities')]
    if not all(type(count) is int for count in counts):
        return json.dumps(recipe)[:1000]
    done, epochs, images, people = counts
    faces = recipe.get('faces')
    return f'{done} of {epochs} epochs on {images:,} images of {people:,} people ({faces})'


def _rows(membership):
    """One row for each attack that was run, its controls beside it."""
    blocks = {
        **membership['settings'],
        **membership['controls'],
        'identity_level': membership.get('identity_level'),
        'auxiliary_blind': membership.get('shadow', {}).get('on_blind'),
    }
    return [
        {
            'title': title,
            'found': blocks[name],
            'blind': blocks.get(blind),
            'excess': blocks.get(excess),
            'null': blocks.get(null),
        }
        for name, (title, blind, excess, null) in _ATTACKS.items()
        if blocks.get(name)
    ]


def _inversion(audit, thumbnails):
    """What the template shows of the second stage."""
    record, result = audit.record['inversion'], audit.inversion
    table = reconstructions.rows(result)
    sheet = []
    for number in _first(result.found.group):
        member, other = result.alike[number]
        pictures = {
            'reconstruction': result.found.images[number],
            'member': audit.faces.read(int(member)),
            'stranger': audit.faces.read(int(other)),
        }
        row = {name: values[number] for name, values in table.items()}
        sheet.append(row | {'faces': _cells(pictures) if thumbnails else []})
    searches = [('the search', record)]
    searches += [(CONTROLS[name], found) for name, found in record['controls'].items()]
    shown: dict[str, Any] = {'sheet': sheet, 'searches': searches}
    if result.targeted is not None:
        targeted = result.targeted
        attacks = [('the search', record['targeted'])]
        attacks += [
            (_TEMPLATE_CONTROLS[name], found)
            for name, found in record['targeted']['controls'].items()
        ]
        shown |= {
            'template_attacks': attacks,
            'template_sheet': [
                {
                    'identity': audit.columns['identity'][row],
                    'similarity': targeted.similarity[number],
                    'rank': int(targeted.rank[number]) + 1,
                    'faces': _cells(
                        {
                            'photograph': audit.faces.read(int(row)),
                            'reconstruction': targeted.found.images[number],
                        }
                    )
                    if thumbnails
                    else [],
                }
                for number, row in enumerate(targeted.photographs[:_SHOWN])
            ],
        }
    return shown


def _first(group):
    """Returns which reconstructions are shown: the best of every centre, then the second best."""
    place = np.array([(group[:row] == group[row]).sum() for row in range(len(group))])
    return np.argsort(place, kind='stable')[:_SHOWN]


def _drawings(audit, rows):
    drawings = _membership_drawings(audit, rows) if rows else {}
    record = audit.record.get('inversion')
    if record is not None:
        drawings['success'] = search_figures.success(record)
        level = record['members_median_logit']
        if any(len(curve) for curve in audit.inversion.curves.values()):
            drawings['curves'] = search_figures.curves(audit.inversion.curves, level)
        if 'sweep' in record:
            drawings['sweep'] = search_figures.sweep(record)
    return drawings


def _membership_drawings(audit, rows):
    membership = audit.record['membership']
    points = []
    for row in rows:
        points.append((row['title'], row['found'], False))
        points += [
            (label, row[name], True)
            for name, label in (('blind', 'blind control'), ('null', 'null control'))
            if row[name]
        ]
    drawings = {
        'overview': figures.overview(points),
        'roc': figures.roc(audit.evaluated, audit.record['provenance']['seed']),
    }
    if 'partial' in audit.evaluated:
        judged = np.array(audit.columns['evaluation'], bool)
        member = np.array(audit.columns['member'], bool)[judged]
        drawings |= {
            'logits': figures.logits(audit.evaluated['partial']),
            'distances': figures.distances(audit.distances[judged], member, membership['layers']),
            'layers': figures.layers(membership['layers']),
        }
    return drawings


def _cells(pictures):
    return [(_encoded(picture), label) for label, picture in pictures.items()]


def _face(audit, row):
    return _encoded(audit.faces.read(row))


def _encoded(picture):
    buffer = io.BytesIO()
    face = fit_image(picture, _FACE_PIXELS, _FACE_PIXELS)
    Image.fromarray(face).save(buffer, format='JPEG', quality=85)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'
