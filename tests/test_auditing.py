"""The whole audit: what it records and saves, what it refuses, what it goes on from."""

import csv
import dataclasses
import hashlib
import json
import os

import jax
import numpy as np
import pytest

from fr_inference import auditing, config, opening, tables
from fr_inference.data import overlap
from fr_inference.data.faces import BadImageError, concat, from_arrays
from fr_inference.errors import InputError
from fr_inference.membership.comparison import Comparison
from fr_inference.membership.views import Shadow
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from fr_inference.training import recognizer
from tests.membership.backbones import SIZE, Plain, Small, noise_faces, target_of

SETTINGS = config.Settings(replicates=100, batch_size=16)


@pytest.fixture(scope='module')
def target():
    return target_of(Small())


@pytest.fixture(scope='module')
def members():
    return noise_faces(12, 2, seed=1, name='in')


@pytest.fixture(scope='module')
def nonmembers():
    return noise_faces(16, 2, seed=2, name='out')


@pytest.fixture(scope='module')
def auxiliary():
    return noise_faces(8, 2, seed=3, name='aux')


@pytest.fixture(scope='module')
def audit(target, members, nonmembers):
    """Audits the target on these faces; arguments are fields of `Opened`, and those of `run`."""
    of_run = ('membership', 'workdir', 'command', 'search')

    def run(settings=SETTINGS, **given):
        faces = {'members': members, 'nonmembers': nonmembers}
        faces |= {name: given.pop(name) for name in opening.FACES if name in given}
        how = {name: given.pop(name) for name in of_run if name in given}
        opened = auditing.Opened(**{'target': target, 'faces': faces} | given)
        return auditing.run(opened, settings, **how)

    return run


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
                'provenance',
                'target',
                'input',
                'data',
                'skipped',
                'membership',
                'exposed',
            ),
            'limits',
        ]
        assert {
            *('command', 'git_commit', 'versions', 'devices', 'seed', 'target_sha256', 'seconds'),
            *('date', 'settings', 'blind'),
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
            *('state', 'by', 'images', 'layer', 'conventions', 'trusted', 'remark'),
        }
        assert set(record['membership']) == {'comparisons', 'populations', 'layers', 'shadow'}

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
            *('logit_bn-distance/partial', 'logit_bn-distance/auxiliary'),
        ]
        rest = columns['evaluation'] == 1
        for comparison in audited.comparisons:
            if comparison.unit == 'image':
                logits = columns[f'logit_{comparison.key}'][rest]
                np.testing.assert_array_equal(logits, comparison.scored.scores)
        fitted, judged = (set(columns['identity'][rows]) for rows in (~rest, rest))
        assert not fitted & judged

    def test_faces_are_those_of_the_rows(self, audited):
        assert audited.record['exposed']
        for person in audited.record['exposed']:
            for row in person['rows']:
                assert audited.columns['identity'][row] == person['identity']
                assert audited.faces.identities[row] == person['identity']

    def test_small_sets_are_said_to_be_small(self, audited):
        limits = ' '.join(audited.record['limits'])
        assert 'With 16 non-members in the evaluation' in limits
        assert 'people on a side' in limits

    def test_is_shown_in_one_line(self, audited):
        assert repr(audited).startswith('<Audit of small: ')
        assert len(repr(audited)) < 200
        assert '\n' not in repr(audited)


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


class TestChosenAttacks:
    def test_people_alone(self, audit):
        found = audit(dataclasses.replace(SETTINGS, attacks=('people',)))
        (comparison,) = found.comparisons
        assert (comparison.attack, comparison.headline) == ('people', True)
        assert list(found.columns) == ['path', 'identity', 'member', 'evaluation']
        assert 'populations' not in found.record['membership']

    @pytest.mark.parametrize('field', ['auxiliary', 'member_identities', 'shift'])
    def test_faces_that_they_ignore(self, audit, field):
        """No shadow is trained for nothing."""
        settings = dataclasses.replace(SETTINGS, attacks=('people',))
        with pytest.raises(InputError) as caught:
            audit(settings, **{field: noise_faces(12, 2, seed=7, name='more')})
        assert (caught.value.field, caught.value.found) == (
            field,
            'faces that attacks=people ignores',
        )

    def test_in_the_order_of_the_report(self, audit):
        found = audit(dataclasses.replace(SETTINGS, attacks=('people', 'bn-distance')))
        assert [one.attack for one in found.comparisons] == ['bn-distance', 'people']
        assert [one.headline for one in found.comparisons] == [True, False]


class TestWithoutBatchNorm:
    def test_people_can_still_be_attacked(self, audit, tmp_path):
        found = audit(target=target_of(Plain(), name='plain'))
        assert set(found.record['membership']) == {'comparisons'}
        (comparison,) = found.comparisons
        assert (comparison.attack, comparison.access) == ('people', 'answers')
        assert comparison.headline
        assert None not in (comparison.null, comparison.blind, comparison.excess)
        assert found.record['target']['norm_layers'] == []
        assert found.distances.shape == (56, 0)
        limits = found.record['limits']
        assert len([line for line in limits if line.startswith('plain has no BatchNorm')]) == 1
        assert any(line.startswith('BatchNorm distances: not run') for line in limits)
        found.save(tmp_path)

    def test_a_blind_backbone_shows_no_more_than_the_target(self, audit):
        found = audit(target=target_of(Plain(), name='plain'), blind=target_of(Small(), seed=8))
        (comparison,) = found.comparisons
        assert comparison.blind is not None
        assert comparison.access == 'answers'

    def test_nothing_left_is_an_error(self, audit):
        with pytest.raises(InputError) as caught:
            audit(
                target=target_of(Plain()),
                members=noise_faces(12, 1, seed=1, name='in'),
                nonmembers=noise_faces(12, 1, seed=2, name='out'),
            )
        assert caught.value.field == 'attacks'
        for name in ('bn-distance', 'people'):
            assert name in caught.value.expected

    def test_an_auxiliary_set_does_not_train_a_shadow_in_vain(self, audit, auxiliary):
        found = audit(target=target_of(Plain()), auxiliary=auxiliary)
        assert 'shadow' not in found.record['membership']

    def test_a_blind_backbone_without_statistics(self, audit):
        with pytest.raises(InputError) as caught:
            audit(blind=target_of(Plain()))
        assert caught.value.field == 'blind'


class TestOverlap:
    def test_people_on_both_sides(self, audit, nonmembers):
        shared = concat([nonmembers, noise_faces(2, 1, seed=9, name='in')], 'out')
        with pytest.raises(InputError, match=r'2 identities on both sides \(in0, in1\)'):
            audit(nonmembers=shared)
        found = audit(dataclasses.replace(SETTINGS, allow_overlap=True), nonmembers=shared)
        said = [line for line in found.record['limits'] if 'on both sides' in line]
        assert len(said) == 1
        assert 'allow_overlap was given' in said[0]
        # Nor is somebody who is on both sides fitted on and judged.
        halves = {}
        for name, rest in zip(found.columns['identity'], found.columns['evaluation'], strict=True):
            assert halves.setdefault(name, rest) == rest

    def test_the_same_image_on_both_sides(self, audit, members, nonmembers):
        twin = dataclasses.replace(members.select([3]), identities=('nobody',))
        with pytest.raises(InputError, match=r'1 images with the same content .*\(in#3 = in#3\)'):
            audit(nonmembers=concat([nonmembers, twin]))

    @pytest.mark.parametrize('name', ['auxiliary', 'shift', 'member_identities'])
    def test_every_part_is_compared(self, audit, nonmembers, name):
        with pytest.raises(InputError, match=f'nonmembers and {name}'):
            audit(**{name: nonmembers})

    def test_the_targets_own_list(self, audit, members, nonmembers):
        known = overlap.content_digests(members)
        found = audit(trained_on={'target': known[:20]})
        assert any(line.startswith('4 of 24 images given as') for line in found.record['limits'])
        with pytest.raises(InputError, match='nonmembers: found 32 images'):
            audit(trained_on={'target': overlap.content_digests(nonmembers)})

    @pytest.mark.parametrize('part', ['members', 'nonmembers'])
    @pytest.mark.parametrize('field', ['blind', 'evaluator'])
    def test_a_backbone_that_saw_them(self, audit, members, nonmembers, part, field):
        seen = overlap.content_digests({'members': members, 'nonmembers': nonmembers}[part])
        with pytest.raises(InputError) as caught:
            audit(trained_on={field: seen[:1]})
        assert caught.value.field == field
        assert f'1 images of {part} (as ' in caught.value.found
        found = audit(
            dataclasses.replace(SETTINGS, allow_overlap=True), trained_on={field: seen[:1]}
        )
        assert any(line.startswith(f'{field}: 1 images') for line in found.record['limits'])

    def test_unreadable_images_are_not_all_the_same(self, audit, members, nonmembers):
        """Images that could not be read do not count as those that another list could not read."""
        gone = [broken(faces, [1]) for faces in (members, nonmembers)]
        found = audit(
            dataclasses.replace(SETTINGS, skip_bad=True),
            members=gone[0],
            nonmembers=gone[1],
            trained_on={'blind': ['', 'f' * 64]},
        )
        assert [entry['path'] for entry in found.record['skipped']] == ['in#1', 'out#1']


def broken(faces, which):
    """Returns faces of which some cannot be read."""

    def attempt(function):
        def guarded(index):
            if index in which:
                raise BadImageError(f'{faces.paths[index]}: not found')
            return function(index)

        return guarded

    return dataclasses.replace(faces, read=attempt(faces.read), digest=attempt(faces.digest))


class TestUnreadable:
    def test_stops(self, audit, nonmembers):
        with pytest.raises(BadImageError, match='out#5: not found'):
            audit(nonmembers=broken(nonmembers, [5]))

    def test_skipped_counted_and_listed(self, audit, members, nonmembers, tmp_path):
        found = audit(
            dataclasses.replace(SETTINGS, skip_bad=True),
            members=broken(members, [0]),
            nonmembers=broken(nonmembers, [5, 6]),
        )
        assert found.record['skipped'] == [
            {'path': path, 'reason': f'{path}: not found'} for path in ('in#0', 'out#5', 'out#6')
        ]
        assert len(found.columns['path']) == len(found.distances) == len(found.faces) == 53
        assert not {'in#0', 'out#5'} & set(found.columns['path'])
        assert found.columns['member'] == [1] * 23 + [0] * 30
        found.save(tmp_path)


class TestShadow:
    def test_trained_on_the_way(self, audit, auxiliary, tmp_path, monkeypatch):
        spec = InputSpec(height=SIZE, width=SIZE)
        monkeypatch.setitem(registry.VARIANTS, 'small', registry.Variant(Small, spec, 146))
        target = dataclasses.replace(
            recognizer.fresh_target('small', {}, spec, 0),
            recipe={'epochs': 1, 'batch_size': 8, 'learning_rate': 0.01},
        )
        found = audit(target=target, auxiliary=auxiliary, workdir=tmp_path)
        shadow = found.record['membership']['shadow']
        assert (shadow['members'], shadow['nonmembers']) == (8, 8)
        assert shadow['recipe']['epochs'] == 1
        assert shadow['recipe']['images'] == 8
        by_key = {one.key: one for one in found.comparisons}
        assert list(by_key) == [
            *('bn-distance/partial', 'bn-distance/auxiliary', 'people/partial'),
        ]
        moved = by_key['bn-distance/auxiliary']
        assert None not in (moved.blind, moved.null, moved.excess)
        assert set(shadow['on_itself']) == set(moved.figures)
        assert any("target's own recipe" in line for line in found.record['limits'])
        assert (tmp_path / 'shadow' / 'run.json').exists()

    def test_a_custom_architecture_needs_a_shadow_given(self, audit, auxiliary):
        with pytest.raises(InputError, match='auxiliary'):
            audit(auxiliary=auxiliary)

    @pytest.mark.parametrize('field', ['shadow', 'shadow_init'])
    def test_without_auxiliary(self, audit, target, field):
        given = {'shadow': Shadow(target=target, digests=[]), 'shadow_init': target}
        with pytest.raises(InputError) as caught:
            audit(**{field: given[field]})
        assert (caught.value.field, caught.value.found) == (field, 'no auxiliary faces')
        assert 'also give auxiliary' in (caught.value.hint or '')

    def test_two_beginnings(self, audit, target, auxiliary):
        with pytest.raises(InputError) as caught:
            audit(
                auxiliary=auxiliary,
                shadow=Shadow(target=target, digests=[]),
                shadow_init=target,
            )
        assert caught.value.field == 'shadow_init'

    def test_that_learned_nobody_of_them(self, audit, target, auxiliary):
        with pytest.raises(InputError) as caught:
            audit(
                auxiliary=auxiliary,
                shadow=Shadow(target=target, digests=[hashlib.sha256().hexdigest()]),
            )
        assert caught.value.field == 'shadow'
        assert caught.value.found.startswith('0 of 16 auxiliary images')

    def test_of_another_architecture(self, audit, auxiliary):
        shadow = target_of(Plain())
        with pytest.raises(InputError) as caught:
            audit(
                auxiliary=auxiliary,
                shadow=Shadow(target=shadow, digests=overlap.content_digests(auxiliary)[:8]),
            )
        assert (caught.value.field, caught.value.found) == ('shadow', '0 BatchNorm layers')


class TestWhatIsAskedFor:
    @pytest.mark.parametrize('given', [{'membership': False}, {'search': config.Search()}])
    def test_a_search_without_generator(self, audit, given):
        with pytest.raises(InputError) as caught:
            audit(**given)
        assert caught.value.field == 'generator'

    def test_a_generator_without_judge(self, audit):
        with pytest.raises(InputError) as caught:
            audit(generator='one')
        assert caught.value.field == 'evaluator'

    def test_strangers_without_centres(self, audit, members):
        with pytest.raises(InputError) as caught:
            audit(generator='one', evaluator='another', strangers=members)
        assert caught.value.field == 'strangers'


@pytest.mark.parametrize(
    ('people', 'others', 'field', 'found'),
    [
        ((3, 12), 'in', 'members', '3 people'),
        ((12, 3), 'in', 'nonmembers', '3 people'),
        ((12, 7), 'in', 'nonmembers', '7 people'),
        ((12, 12), 'other', 'member_identities', 'nobody who is a member in the evaluated half'),
    ],
)
def test_what_names_tell_is_told_before_anything_is_scored(audit, people, others, field, found):
    def unread(count, name):
        seed = len(name)  # different people look different
        return dataclasses.replace(noise_faces(count, 2, seed=seed, name=name), read=None)

    with pytest.raises(InputError) as caught:
        audit(
            members=unread(people[0], 'in'),
            nonmembers=unread(people[1], 'out'),
            member_identities=dataclasses.replace(
                unread(12, others), digest=lambda index: f'{index}'
            ),
        )
    assert (caught.value.field, caught.value.found) == (field, found)


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
