"""The demo's three audits as something to render: their records, with scores and pictures made up.

`records/` holds what the demo wrote (schema 2): real figures, among them an attack whose control failed.
"""

import dataclasses
import html
import json
import pathlib
import re
import types

import numpy as np

from fr_inference.data.faces import from_arrays
from fr_inference.membership.comparison import Comparison
from fr_inference.metrics.intervals import Scored

NAMES = ('leaky', 'easy', 'few')
_FOLDER = pathlib.Path(__file__).with_name('records')


def record_of(name):
    """The record of one of `NAMES`; who can be named is of a later rule than the rest."""
    record = json.loads((_FOLDER / f'{name}.json').read_text(encoding='utf-8'))
    if exposed := record.get('exposed'):
        exposed |= {'named': exposed['above'], 'false_discovery_rate': 0.1}
        del exposed['above'], exposed['error_rate_ci95']
        for person in exposed['people']:
            person['p_value'] = 1 / (1 + exposed['strangers'])
    return record


def audit_of(record, *, inversion=None, size=16):
    """What `page.render` takes: the record, with scores that have the AUCs of its figures."""
    generator = np.random.default_rng(5)
    comparisons = [
        dataclasses.replace(
            one,
            scored=_scored(one.figures, generator),
            blind_scored=one.blind and _scored(one.blind, generator),
            null_scored=one.null and _scored(one.null, generator),
        )
        for one in map(Comparison.from_json, record.get('membership', {}).get('comparisons', ()))
    ]
    data = record['data']
    counts = [data[side]['images'] for side in ('members', 'nonmembers')]
    people = [
        f'{side}-{row * data[side]["people"] // count}'
        for side, count in zip(('members', 'nonmembers'), counts, strict=True)
        for row in range(count)
    ]
    images = generator.integers(0, 256, (sum(counts), size, size, 3), np.uint8)
    faces = from_arrays(images, people, 'drawn')
    member = np.arange(len(people)) < counts[0]
    layers = record['target']['norm_layers']
    return types.SimpleNamespace(
        record=record,
        comparisons=comparisons,
        columns={
            'path': list(faces.paths),
            'identity': people,
            'member': member.astype(int).tolist(),
            'evaluation': (np.arange(len(people)) % 2).tolist(),
        },
        distances=generator.lognormal(member[:, None], 1.0, (len(people), len(layers))),
        faces=faces,
        inversion=inversion if inversion is not None else _found(record, generator, size),
    )


def with_comparisons(name, *found):
    """The audit of a record with other attacks."""
    record = record_of(name)
    record['membership']['comparisons'] = [one.to_json() for one in found]
    return audit_of(record)


def words_of_figure(text, name):
    """All words of one figure, in the order of its SVG."""
    start = text.index(f'id="{name}-')
    drawn = text[text.rindex('<svg', 0, start) : text.index('</svg>', start)]
    return html.unescape(' '.join(re.findall(r'<text[^>]*>([^<]*)</text>', drawn)))


def _scored(figures, generator):
    """Normal scores of two sides, two images a person, whose AUC is about that of the figures."""
    shift = 2 * float(np.clip(figures['auc'] - 0.5, -0.45, 0.45)) * 1.8
    counts = figures['members'], figures['nonmembers']
    member = np.arange(sum(counts)) < counts[0]
    scores = generator.normal(size=len(member)) + shift * member
    return Scored(
        scores=scores,
        member=member,
        identities=tuple(f'{side}-{row // 2}' for row, side in enumerate(member)),
    )


def _found(record, generator, size):
    """Reconstructions for the model inversion of a record, None without one."""
    if 'inversion' not in record:
        return None
    stage = record['inversion']
    count, people = stage['reconstructions'], stage['gallery']['members']

    def cosines():
        return generator.uniform(0.8, 1, count)

    def pictures(number):
        return generator.integers(0, 256, (number, size, size, 3), np.uint8)

    objective = -np.sort(-generator.normal(size=count))
    from_templates = None
    if 'targeted' in stage:
        asked = stage['targeted']['people']
        from_templates = types.SimpleNamespace(
            similarity=generator.uniform(0.8, 1, asked),
            rank=np.arange(asked) % 2,
            photographs=np.arange(asked),
            found=types.SimpleNamespace(images=pictures(asked)),
        )
    return types.SimpleNamespace(
        found=types.SimpleNamespace(
            group=np.repeat(np.arange(max(1, count // 4)), 4)[:count],
            images=pictures(count),
            objective=objective,
            scores=objective,
            logits=generator.normal(size=count),
        ),
        judged=types.SimpleNamespace(
            matched=generator.uniform(size=count) < 0.5,
            nearest=generator.integers(0, 2 * people, count),
            similarity=cosines(),
            nearest_member=generator.integers(0, people, count),
            member_similarity=cosines(),
            nearest_other=generator.integers(people, 2 * people, count),
            other_similarity=cosines(),
            rank=generator.integers(0, 5, count),
        ),
        gallery=types.SimpleNamespace(
            names=tuple(f'person-{number}' for number in range(2 * people)),
            member=np.arange(2 * people) < people,
        ),
        alike=generator.integers(0, 10, (count, 2)),
        curves={'search': generator.normal(size=(30, 2)).cumsum(0)},
        from_templates=from_templates,
    )
