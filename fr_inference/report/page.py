"""The report: one HTML file, readable offline, in light and dark."""

import base64
import dataclasses
import io
import json
from collections.abc import Mapping
from typing import Any

import jinja2
import markupsafe
import numpy as np
from PIL import Image

from fr_inference.formats.images import fit_image
from fr_inference.inversion import reconstructions
from fr_inference.inversion.outcome import Outcome
from fr_inference.membership.comparison import LEAK, decisive, first_of, weighed
from fr_inference.metrics import intervals
from fr_inference.models.target import InputSpec
from fr_inference.report import (
    citations,
    found_by,
    inversion_verdict,
    membership_figures,
    privacy_words,
    reach_figure,
    search_figures,
    slice_words,
    what_helps,
    who_learns,
    who_learns_figure,
    wording,
)
from fr_inference.report.glossary import Glossary
from fr_inference.report.membership_verdict import in_order
from fr_inference.report.ruling import capital
from fr_inference.report.verdict import LABELS, MEANS, no_answer, verdict

_FACE_PIXELS = 72
_SHOWN = 12  # reconstructions in the report; its folder holds all
_POPULATIONS = {
    'members_vs_nonmembers': (
        'Training images against strangers of the same source',
        'The leak itself, if both sides were collected in the same way.',
    ),
    'member_identities_vs_nonmembers': (
        "Other photographs of the members' people against strangers",
        'Above 0.5, the backbone gives away the person, not only the photograph.',
    ),
    'members_vs_same_identities': (
        'Training images against other photographs of the same people',
        'Above 0.5, the backbone gives away the individual photograph.',
    ),
    'nonmembers_vs_shift': (
        'Strangers of the same source against another source',
        'Never a leak: it shows how well the attack tells two collections apart.',
    ),
}


def render(audit: Any, *, thumbnails: bool = True, study: Mapping[str, Any] | None = None) -> str:
    """Returns the report of an audit as HTML without references to other files.

    Args:
      audit: an `auditing.Audit`: record, comparisons with their logits, columns, distances, faces,
        inversion.
      thumbnails: whether to show the faces of the most exposed people.
      study: a study of defences to quote, by `what_helps.read`.
    """
    record = audit.record
    membership = record.get('membership', {})
    said, glossary = verdict(record), Glossary()
    sentences = [labelled(sentence) for sentence in said.sentences]
    explained = glossary.explained  # in the order of the page: what it means comes first
    return template('page.html').render(
        record=record,
        verdict=said,
        meanings=[explained(text) for label, text in sentences if label == MEANS],
        sentences=[(label, explained(text)) for label, text in sentences if label != MEANS],
        reasons=_unsaid(said),
        glossary=glossary,
        trained=_trained(record['target']['recipe']),
        privacy=privacy_words.sentences(record['target']['recipe'], audit.comparisons),
        convention=convention(record['input']),
        fed=_fed(record['input']),
        thumbnails=thumbnails,
        membership=membership,
        inversion=record.get('inversion'),
        advice=study and what_helps.quoted(study, record),
        sources=citations.of(record, audit.comparisons),
        drawings={
            name: markupsafe.Markup(svg)  # our own drawings, with escaped labels
            for name, svg in _drawings(audit).items()
        },
        **(_membership(audit, thumbnails) if membership else {}),
        **(_inversion(audit, thumbnails) if audit.inversion is not None else {}),
    )


def template(name: str) -> jinja2.Template:
    """Returns a template of this folder; all values are escaped, so none can be markup."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('fr_inference', 'report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters['number'] = lambda value: f'{value:,}'
    return environment.get_template(name)


def _unsaid(said):
    """Returns the reasons for a verdict that its sentences do not give already; none for a leak."""
    if said.kind == LEAK:
        return []
    text = ' '.join([said.headline, *said.sentences])
    reasons = (reason.text for reason in said.reasons)
    return [reason for reason in reasons if reason not in text]


def _trained(recipe):
    """How the target was trained, in one sentence if the recipe is one of ours."""
    if not recipe:
        return ''
    counts = [recipe.get(key) for key in ('trained_epochs', 'epochs', 'images', 'identities')]
    if not all(type(count) is int for count in counts):
        return json.dumps(recipe)[:1000]
    done, epochs, images, people = counts
    faces = recipe.get('faces')
    return f'{done} of {epochs} epochs on {images:,} images of {people:,} people ({faces})'


def labelled(sentence: str) -> tuple[str, str]:
    """Returns (label, text) of a sentence of a verdict; the label may be ''.

    >>> labelled('Asked: does it leak?')
    ('Asked', 'does it leak?')
    >>> labelled('It leaks: much.')
    ('', 'It leaks: much.')
    """
    label, colon, text = sentence.partition(': ')
    known = bool(colon) and label in LABELS
    return (label if known else ''), (text if known else sentence).replace(' %', '\u00a0%')


def convention(input: Mapping[str, Any]) -> str:
    """Returns the input that a backbone expects, in one line.

    >>> convention({'height': 112, 'width': 96, 'mean': [127.5] * 3, 'std': [128.0] * 3})
    '112 × 96 pixels (height × width), RGB, each value v of 0 to 255 as (v − 127.5) / 128'
    """

    held = {field.name for field in dataclasses.fields(InputSpec)} & input.keys()
    spec = InputSpec(**{name: input[name] for name in held})
    order, _, values = spec.pixels.partition(', ')
    said = (
        f'{spec.height} × {spec.width} pixels (height × width), {order}, each value v of 0 to 255 as '
        f'{values.replace(" - ", " − ")}'
    )
    if 'origins' not in input:  # a record of an earlier version
        return said
    parts = {'size': 'height', 'order': 'colour', 'range': 'mean', 'mirror images': 'mirror'}
    known = {part: input['origins'][name] for part, name in parts.items()}
    return f'{said} ({", ".join(f"{part} {how}" for part, how in known.items())})'


def _fed(input):
    """How well the images fit that, in sentences; '' for a record of an earlier version."""
    sentences = [input['check']['remark']] if 'check' in input else []
    if (found := input.get('verification')) is not None:
        low, high = found['accuracy_ci95']
        sentences.append(
            'With this input, the backbone tells correctly whether two photographs of strangers show '
            f'the same person in {100 * found["accuracy"]:.1f} % of {found["pairs"]:,} pairs of '
            f'{found["people"]:,} people (95 % interval {100 * low:.1f} to '
            f'{100 * high:.1f}; 50 is guessing).'
        )
    return ' '.join(sentences)


def _membership(audit, thumbnails):
    """What the template shows of membership inference."""
    record = audit.record
    populations = record['membership'].get('populations', {})
    found = audit.comparisons
    shown = _scored(found)
    resolved = [
        rate
        for rate in intervals.RATES
        if any(one.figures['tpr_at_fpr'].get(rate) is not None for one in found)
    ]
    return {
        'groups': _groups(found),
        'best': who_learns.best_further(found),
        'further': sum(one.further for one in found),
        'undrawn': len(found) - len(who_learns.main(found)),
        # All attacks on a unit share this control.
        'pictured': {wording.judged(one.unit): one.pictures for one in found if one.pictures},
        'name': wording.name,
        'knows': wording.knows,
        'word': wording.word,
        'source': wording.source,
        'not_counted': wording.not_counted,
        'overlap': found_by.overlap(found),
        'reach': _reach(record['membership'].get('reach'), found),
        'shown_label': wording.label(shown) if shown is not None else '',
        'rates': resolved,
        'unresolved': [rate for rate in intervals.RATES if rate not in resolved],
        'plain_auc': wording.auc,
        'populations_by': first_of(audit.comparisons, 'image'),
        'populations': [
            (*_POPULATIONS.get(name, (name.replace('_', ' '), '')), block)
            for name, block in populations.items()
        ],
        **_slices(record['membership'].get('slices'), populations),
        'no_answer': no_answer(record),
        'exposed': record.get('exposed'),
        'least_p': _least_p(record.get('exposed')),
        'people': [
            {**person, 'faces': [_face(audit, row) for row in person['rows']] if thumbnails else []}
            for person in record.get('exposed', {}).get('people', ())
        ],
    }


def _least_p(exposed):
    """Whether every person shown scores higher than all strangers."""
    shown = [person.get('p_value') for person in exposed['people']] if exposed else []
    return bool(shown) and all(p and p * (1 + exposed['strangers']) < 1.5 for p in shown)


def _reach(entries, found):
    """(what it says, the attack, images and people of the copies); None if no leak was followed."""
    if not entries:
        return None
    first = entries[0]
    by = next(one for one in found if one.key == first['by'])
    return reach_figure.in_words(entries), by, first


def _slices(sliced, populations):
    """What the template shows of slices."""
    if sliced is None:
        return {'slices': None}
    return {
        'slices': sliced,
        'slice_groups': slice_words.groups(sliced),
        'slices_said': slice_words.sentence(sliced, populations['members_vs_nonmembers']['auc']),
    }


def _groups(found):
    """[(the attacker with this access, the attacks that need it)], from the least access."""
    return [
        (capital(wording.somebody(*column)), alike)
        for column in who_learns.COLUMNS
        if (alike := [one for one in found if (one.access, one.references) == column])
    ]


def _scored(comparisons):
    """Returns the attack on photographs whose logits are drawn, None if none is counted."""
    found = weighed(
        [one for one in comparisons if one.unit == 'image' and one.valid and one.scored]
    )
    return decisive(found) if found else None


def _inversion(audit, thumbnails):
    """What the template shows of model inversion."""
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
    searches = wording.searches(Outcome.from_json(record), wording.SEARCH_CONTROLS)
    shown: dict[str, Any] = {
        'found_nobody': inversion_verdict.of(record).kind != LEAK,
        'sheet': sheet,
        'searches': searches,
        'knowing': wording.knowing(record['setting']),
    }
    if result.from_templates is not None:
        targeted = result.from_templates
        attack = Outcome.from_json(record['targeted'])
        shown |= {
            'template_attacks': wording.searches(attack, wording.TEMPLATE_CONTROLS),
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
    """Returns which reconstructions are shown: the best for every centre, then the second best."""
    place = np.array([(group[:row] == group[row]).sum() for row in range(len(group))])
    return np.argsort(place, kind='stable')[:_SHOWN]


def _drawings(audit):
    drawings = _membership_drawings(audit) if 'membership' in audit.record else {}
    record = audit.record.get('inversion')
    if record is not None:
        search = Outcome.from_json(record)
        drawings['success'] = search_figures.success(search)
        level = record.get('members_median_logit')
        if any(len(curve) for curve in audit.inversion.curves.values()):
            drawings['curves'] = search_figures.curves(audit.inversion.curves, level)
        if 'sweep' in record:
            drawings['sweep'] = search_figures.sweep(record['sweep'], search)
    return drawings


def _membership_drawings(audit):
    membership = audit.record['membership']
    found = in_order(who_learns.main(audit.comparisons))
    rows = who_learns.cells(
        audit.comparisons,
        references=bool(audit.record['provenance'].get('references')),
        shadow='shadow' in membership,
        chosen=bool(audit.record['provenance']['settings'].get('attacks')),
    )
    drawings = {'overview': membership_figures.overview(found)}
    if any(cell.comparison or cell.people for row in rows for cell in row):
        drawings['who_learns'] = who_learns_figure.matrix(rows)
    if (shared := found_by.overlap(audit.comparisons)) is not None:
        drawings['found_by'] = found_by.draw(shared)
    if membership.get('reach'):
        drawings['reach'] = reach_figure.draw(membership['reach'])
    if any(one.scored is not None for one in found):
        drawings['roc'] = membership_figures.roc(found, audit.record['provenance']['seed'])
    if (shown := _scored(audit.comparisons)) is not None:
        drawings['scores'] = membership_figures.scores(shown.scored)
    if membership.get('layers'):
        judged = np.array(audit.columns['evaluation'], bool)
        member = np.array(audit.columns['member'], bool)[judged]
        drawings |= {
            'distances': membership_figures.distances(
                audit.distances[judged], member, membership['layers']
            ),
            'layers': membership_figures.layers(membership['layers']),
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
