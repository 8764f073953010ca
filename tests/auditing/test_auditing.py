"""The whole audit: what it records and saves, and that it does so again."""

import csv
import dataclasses
import json
import os

import jax
import numpy as np
import pytest

from fr_inference import tables
from fr_inference.data import overlap
from fr_inference.data.faces import from_arrays
from fr_inference.membership.comparison import Comparison
from fr_inference.membership.views import Shadow
from tests.auditing.conftest import SETTINGS
from tests.membership.backbones import Plain, Small, noise_faces, target_of


@pytest.fixture(scope='module')
def audited(audit, target):
    """Everything there is: a shadow that was trained on half of the auxiliary people, populations."""
    auxiliary = noise_faces(12, 2, seed=3, name='aux')
    shadow = Shadow(
        target=target_of(Small(), seed=5, apply=target.apply, name='my shadow'),
        digests=overlap.content_digests(auxiliary)[:12],
    )
    return audit(
        auxiliary=auxiliary,
        shadow=shadow,
        member_identities=noise_faces(12, 3, seed=4, name='in'),
        shift=noise_faces(5, 2, seed=6, name='far'),
        command='the command',
    )


def strict(text):
    def no_constant(name):
        raise AssertionError(f'{name} is not JSON')

    return json.loads(text, parse_constant=no_constant)


def comparable(record):
    """The record without what differs between two runs."""
    record = json.loads(json.dumps(record))
    for name in ('date', 'seconds', 'git_commit'):
        del record['provenance'][name]
    return record


class TestRecord:
    def test_has_the_keys_of_the_contract(self, audited):
        record = audited.record
        assert record['schema'] == 2
        assert list(record) == [
            *(
                'schema',
                'verdict',
                'headline',
                'reasons',
                'provenance',
                'target',
                'data',
                'skipped',
            ),
            *('input', 'misfits', 'membership', 'limits'),
        ]
        # Statistics drawn at random: no images fit them, nor those of the shadow.
        assert list(record['misfits']) == ['shadow']
        assert record['verdict'] == audited.verdict.kind == 'invalid'
        assert {
            *('command', 'git_commit', 'versions', 'devices', 'seed', 'target_sha256', 'seconds'),
            *('date', 'settings', 'blind', 'references'),
        } == set(record['provenance'])
        assert record['provenance']['blind']['name'] == 'small (random weights)'
        assert len(record['provenance']['blind']['sha256']) == 64
        assert set(record['target']) == {
            *('name', 'architecture', 'parameters', 'norm_layers', 'recipe', 'notes'),
        }
        assert set(record['input']) == {
            *('height', 'width', 'mean', 'std', 'colour', 'mirror', 'origins'),
            *('check', 'verification'),
        }
        assert set(record['input']['check']) == {
            *('state', 'by', 'images', 'layer', 'trained', 'conventions', 'trusted', 'remark'),
        }
        assert set(record['membership']) == {
            *('comparisons', 'populations', 'slices', 'layers', 'shadow'),
        }

    def test_comparisons_are_those_of_the_record(self, audited):
        read = [Comparison.from_json(one) for one in audited.record['membership']['comparisons']]
        assert read == list(audited.comparisons)

    def test_target_and_provenance(self, audited, target):
        record = audited.record
        assert record['target']['norm_layers'] == ['bn', 'features']
        count = sum(leaf.size for leaf in jax.tree.leaves(target.variables['params']))
        assert record['target']['parameters'] == count
        assert record['target']['architecture'] == 'custom'
        spec = dataclasses.asdict(target.input)
        assert {name: record['input'][name] for name in spec} == spec
        assert record['input']['origins'] == dict.fromkeys(spec, 'assumed')
        assert record['provenance']['command'] == 'the command'
        assert record['provenance']['settings'] == dataclasses.asdict(SETTINGS)
        assert len(record['provenance']['target_sha256']) == 64
        assert record['data']['members'] == {'source': 'in', 'images': 24, 'people': 12}
        assert record['data']['shift'] == {'source': 'far', 'images': 10, 'people': 5}
        assert record['membership']['shadow']['name'] == 'my shadow'
        assert record['membership']['shadow']['members'] == 12

    def test_columns(self, audited):
        columns = {name: np.array(values) for name, values in audited.columns.items()}
        assert list(columns) == [
            *('path', 'identity', 'member', 'evaluation'),
            *(f'logit_{one.key}' for one in audited.comparisons if one.unit == 'image'),
        ]
        assert 'logit_bn-distance/auxiliary' in columns
        rest = columns['evaluation'] == 1
        for comparison in audited.comparisons:
            if comparison.unit == 'image':
                logits = columns[f'logit_{comparison.key}'][rest]
                np.testing.assert_array_equal(logits, comparison.scored.scores)
        fitted, judged = (set(columns['identity'][rows]) for rows in (~rest, rest))
        assert not fitted & judged

    def test_small_sets_are_said_to_be_small(self, audited):
        limits = ' '.join(audited.record['limits'])
        assert 'With 16 non-members in the evaluation' in limits
        assert 'people on a side' in limits

    def test_is_shown_as_its_verdict(self, audited):
        assert repr(audited) == f'Audit of small. {audited.verdict}'
        assert repr(audited).startswith('Audit of small. Verdict: invalid. ')
        assert len(repr(audited)) < 4000


class TestSaved:
    def test_files(self, audited, tmp_path):
        saved = tmp_path / 'new' / 'folder'
        audited.save(saved)
        assert {path.name for path in saved.iterdir()} == {
            *('audit.json', 'scores.csv', 'distances.npz', 'report.html'),
        }
        assert strict((saved / 'audit.json').read_text()) == json.loads(json.dumps(audited.record))
        with open(saved / 'scores.csv', newline='') as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 12 * 2 + 16 * 2
        assert list(rows[0]) == list(audited.columns)
        logits = 'logit_bn-distance/partial'
        assert [float(row[logits]) for row in rows] == audited.columns[logits]
        stored = np.load(saved / 'distances.npz')
        np.testing.assert_array_equal(stored['distances'], audited.distances)
        assert stored['layers'].tolist() == ['bn', 'features']
        assert stored['paths'].tolist() == audited.columns['path']

    def test_names_that_are_not_utf8(self, audit, members, tmp_path):
        name = os.fsdecode(b'Zo\xeb')
        strange = [path.replace('in#', f'{name}#') for path in members.paths]
        found = audit(members=dataclasses.replace(members, paths=tuple(strange), name=name))
        found.save(tmp_path)
        rows = list(tables.rows(tmp_path / 'scores.csv', ['path'], 'scores'))
        assert [path for _, (path,) in rows][:24] == strange
        assert strict((tmp_path / 'audit.json').read_text())['data']['members']['source'] == name
        assert r'Zo\udceb' in (tmp_path / 'report.html').read_text(encoding='utf-8')


class TestRepeated:
    def test_two_runs_are_equal_but_for_date_and_seconds(self, audit):
        first, second = (audit() for _ in range(2))
        assert comparable(first.record) == comparable(second.record)
        assert first.columns == second.columns
        assert first.distances.tobytes() == second.distances.tobytes()

    def test_another_seed_halves_otherwise(self, audit):
        first, second = (audit(dataclasses.replace(SETTINGS, seed=seed)) for seed in (0, 1))
        assert first.columns['evaluation'] != second.columns['evaluation']
        assert first.distances.tobytes() == second.distances.tobytes()


def test_images_that_do_not_look_aligned(audit):
    """Noise is no face: the audit says so in the limits and keeps the scores."""
    draw = np.random.default_rng(0)

    def noise(people, name):
        images = draw.integers(0, 256, (2 * people, 112, 112, 3), np.uint8)
        return from_arrays(images, [f'{name}-{n // 2}' for n in range(2 * people)], name)

    found = audit(
        target=target_of(Plain(), size=112),
        members=noise(8, 'in'),
        nonmembers=noise(8, 'out'),
    ).record
    assert set(found['input']['alignment']['scores']) == {'members', 'nonmembers'}
    limits = str(found['limits'])
    assert all(f'of {side} do not look aligned' in limits for side in ('members', 'nonmembers'))
