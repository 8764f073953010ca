"""The whole audit from Python: a user's own module, arrays and folders, every part and its record."""

import csv
import dataclasses
import hashlib
import json
import os

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import stats

import fr_inference
from fr_inference import Settings, Shadow, auditing, tables
from fr_inference.data import overlap
from fr_inference.data.faces import BadImageError, concat
from fr_inference.errors import InputError
from fr_inference.metrics import intervals, roc
from fr_inference.models import registry
from fr_inference.training import recognizer
from tests.membership.backbones import SIZE, Plain, Small, noise_faces, target_of

FIGURES = {
    *('auc', 'auc_ci95', 'accuracy', 'accuracy_ci95', 'tpr_at_fpr', 'tpr_at_fpr_ci95'),
    *('members', 'nonmembers', 'identities'),
}
SETTINGS = Settings(replicates=100, batch_size=16)


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
def audited(target, members, nonmembers):
    """Everything there is: a shadow that was trained on half of the auxiliary people, populations."""
    auxiliary = noise_faces(12, 2, seed=3, name='aux')
    shadow = Shadow(
        target=target_of(Small(), seed=5, apply=target.apply, name='my shadow'),
        digests=overlap.content_digests(auxiliary)[:12],
    )
    return auditing.audit_target(
        target,
        members,
        nonmembers,
        settings=SETTINGS,
        auxiliary=auxiliary,
        shadow=shadow,
        member_identities=noise_faces(12, 3, seed=4, name='in'),
        shift=noise_faces(5, 2, seed=6, name='far'),
        command='the command',
    )


def arrays(faces):
    return np.stack([faces.read(index) for index in range(len(faces))]), list(faces.identities)


def write_folder(root, faces):
    for index, identity in enumerate(faces.identities):
        (root / identity).mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces.read(index)).save(root / identity / f'{index}.png')
    return root


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
        assert record['schema'] == 1
        assert {
            *('command', 'git_commit', 'versions', 'devices', 'seed', 'target_sha256', 'seconds'),
            *('date', 'settings', 'blind'),
        } == set(record['provenance'])
        assert record['provenance']['blind']['name'] == 'small (random weights)'
        assert len(record['provenance']['blind']['sha256']) == 64
        assert {'architecture', 'parameters', 'norm_layers'} <= set(record['target'])
        membership = record['membership']
        assert set(membership) == {
            *('settings', 'identity_level', 'controls', 'populations', 'layers', 'shadow'),
        }
        assert set(membership['settings']) == {'partial', 'auxiliary'}
        assert {'null', 'blind', 'excess'} <= set(membership['controls'])
        assert set(membership['populations']) == {
            'members_vs_nonmembers',
            'member_identities_vs_nonmembers',
            'members_vs_same_identities',
            'nonmembers_vs_shift',
        }
        blocks = [
            *membership['settings'].values(),
            *membership['populations'].values(),
            membership['identity_level'],
            *(
                block
                for name, block in membership['controls'].items()
                if not name.endswith('excess')
            ),
        ]
        for block in blocks:
            assert set(block) == FIGURES
            assert set(block['tpr_at_fpr']) == {'0.1', '0.01', '0.001'}
            low, high = block['auc_ci95']
            assert 0 <= low <= block['auc'] <= high <= 1
        for name in ('excess', 'auxiliary_excess', 'identity_excess'):
            excess = membership['controls'][name]
            assert excess['auc_ci95'][0] <= excess['auc'] <= excess['auc_ci95'][1]
        for layer in membership['layers']:
            assert {'name', 'auc'} <= set(layer)
        assert [layer['name'] for layer in membership['layers']] == record['target']['norm_layers']

    def test_target_and_provenance(self, audited, target):
        record = audited.record
        assert record['target']['norm_layers'] == ['bn', 'features']
        count = sum(leaf.size for leaf in jax.tree.leaves(target.variables['params']))
        assert record['target']['parameters'] == count
        assert record['target']['architecture'] == 'custom'
        assert record['provenance']['command'] == 'the command'
        assert record['provenance']['settings'] == dataclasses.asdict(SETTINGS)
        assert len(record['provenance']['target_sha256']) == 64
        assert record['data']['members'] == {'source': 'in', 'images': 24, 'people': 12}
        assert record['data']['shift'] == {'source': 'far', 'images': 10, 'people': 5}
        assert record['membership']['shadow']['name'] == 'my shadow'
        assert record['membership']['shadow']['members'] == 12

    def test_figures_are_those_of_the_scores(self, audited):
        """Every figure again from the columns, the halves and the names."""
        columns = {name: np.array(values) for name, values in audited.columns.items()}
        rest = columns['evaluation'] == 1
        for name in ('partial', 'auxiliary'):
            scores, member = columns[f'logit_{name}'][rest], columns['member'][rest] == 1
            figures = audited.record['membership']['settings'][name]
            assert figures['auc'] == pytest.approx(roc.auc(scores, member), abs=1e-12)
            balanced = 0.5 * ((scores[member] > 0).mean() + (scores[~member] <= 0).mean())
            assert figures['accuracy'] == pytest.approx(balanced, abs=1e-12)
            assert (figures['members'], figures['nonmembers']) == (12, 16)
            assert figures['identities'] == 14
        fitted, judged = (set(columns['identity'][rows]) for rows in (~rest, rest))
        assert not fitted & judged

    def test_excess_is_the_paired_difference(self, audited):
        controls = audited.record['membership']['controls']
        for ours, theirs, excess in (
            ('partial', 'blind', 'excess'),
            ('auxiliary', 'auxiliary_blind', 'auxiliary_excess'),
            ('identity_level', 'identity_blind', 'identity_excess'),
        ):
            first, second = audited.evaluated[ours], audited.evaluated[theirs]
            assert first.identities == second.identities
            np.testing.assert_array_equal(first.member, second.member)
            values, sampled = intervals.aucs(
                np.stack([first.scores, second.scores]),
                first.member,
                first.identities,
                seed=0,
                replicates=100,
            )
            assert controls[excess]['auc'] == pytest.approx(values[0] - values[1], abs=1e-12)
            # Percentiles as far out as Student's quantile for the people of the smaller side.
            sides = (first.member, ~first.member)
            people = min(len(set(np.array(first.identities)[side])) for side in sides)
            reach = np.sqrt(people / (people - 1)) * stats.t.ppf(0.975, people - 1)
            ends = stats.norm.cdf([-reach, reach])
            expected = np.quantile(sampled[:, 0] - sampled[:, 1], ends)
            np.testing.assert_allclose(controls[excess]['auc_ci95'], expected, atol=2e-3)

    def test_other_images_are_of_people_that_are_judged(self, audited):
        """The attack has not seen the people whose other images it scores."""
        columns = audited.columns
        fitted = {
            name
            for name, rest in zip(columns['identity'], columns['evaluation'], strict=True)
            if not rest
        }
        for name in ('member_identities_vs_nonmembers', 'members_vs_same_identities'):
            assert not fitted & set(audited.evaluated[name].identities)
        figures = audited.record['membership']['populations']
        assert figures['member_identities_vs_nonmembers']['members'] == 6 * 3
        assert figures['members_vs_same_identities']['identities'] == 6
        assert figures['nonmembers_vs_shift']['nonmembers'] == 10

    def test_exposed_are_judged_members(self, audited):
        assert audited.record['exposed']
        for person in audited.record['exposed']:
            for row in person['rows']:
                assert audited.columns['identity'][row] == person['identity']
                assert audited.columns['member'][row] == 1
                assert audited.columns['evaluation'][row] == 1
                assert audited.faces.identities[row] == person['identity']
        logits = [person['person_logit'] for person in audited.record['exposed']]
        assert logits == sorted(logits, reverse=True)

    def test_saved(self, audited, tmp_path):
        audited.save(tmp_path / 'new' / 'folder')
        saved = tmp_path / 'new' / 'folder'
        assert {path.name for path in saved.iterdir()} == {
            *('audit.json', 'scores.csv', 'distances.npz', 'report.html'),
        }
        assert strict((saved / 'audit.json').read_text()) == json.loads(json.dumps(audited.record))
        with open(saved / 'scores.csv', newline='') as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 12 * 2 + 16 * 2
        assert list(rows[0]) == [
            *('path', 'identity', 'member', 'evaluation', 'logit_partial', 'logit_auxiliary'),
        ]
        assert [float(row['logit_partial']) for row in rows] == audited.columns['logit_partial']
        stored = np.load(saved / 'distances.npz')
        np.testing.assert_array_equal(stored['distances'], audited.distances)
        assert stored['layers'].tolist() == ['bn', 'features']
        assert stored['paths'].tolist() == audited.columns['path']


def test_names_that_are_not_utf8(target, members, nonmembers, tmp_path):
    name = os.fsdecode(b'Zo\xeb')
    strange = [path.replace('in#', f'{name}#') for path in members.paths]
    found = auditing.audit_target(
        target,
        dataclasses.replace(members, paths=tuple(strange), name=name),
        nonmembers,
        settings=SETTINGS,
    )
    found.save(tmp_path)
    rows = list(tables.rows(tmp_path / 'scores.csv', ['path'], 'scores'))
    assert [path for _, (path,) in rows][:24] == strange
    assert strict((tmp_path / 'audit.json').read_text())['data']['members']['source'] == name
    assert r'Zo\udceb' in (tmp_path / 'report.html').read_text(encoding='utf-8')


class TestRepeated:
    def test_two_runs_are_equal_but_for_date_and_seconds(self, target, members, nonmembers):
        first, second = (
            auditing.audit_target(target, members, nonmembers, settings=SETTINGS) for _ in range(2)
        )
        assert comparable(first.record) == comparable(second.record)
        assert first.columns == second.columns
        assert first.distances.tobytes() == second.distances.tobytes()

    def test_another_seed_halves_otherwise(self, target, members, nonmembers):
        first, second = (
            auditing.audit_target(
                target, members, nonmembers, settings=dataclasses.replace(SETTINGS, seed=seed)
            )
            for seed in (0, 1)
        )
        assert first.columns['evaluation'] != second.columns['evaluation']
        assert first.distances.tobytes() == second.distances.tobytes()


class TestSources:
    def test_arrays_and_folders_of_a_users_own_module(self, target, members, nonmembers, tmp_path):
        module = Small()
        folder = write_folder(tmp_path / 'members', members)
        found = fr_inference.audit(
            lambda variables, images: module.apply(variables, images),
            target.variables,
            members=str(folder),
            nonmembers=arrays(nonmembers),
            input=fr_inference.InputSpec(height=SIZE, width=SIZE),
            name='mine',
            settings=SETTINGS,
        )
        assert found.record['target']['name'] == 'mine'
        assert found.record['data']['members']['source'] == str(folder)
        assert sorted(found.columns['path'])[-1] == 'nonmembers#9'
        # Nobody is compared but members and non-members, and so nothing else is in the record.
        membership = found.record['membership']
        assert set(membership['settings']) == {'partial'}
        assert set(membership['populations']) == {'members_vs_nonmembers'}
        assert 'shadow' not in membership
        assert 'auxiliary_excess' not in membership['controls']
        assert 'logit_auxiliary' not in found.columns
        assert set(found.record['data']) == {'members', 'nonmembers'}
        # PNG keeps every pixel: the arrays would have given the same, in another order.
        same = auditing.audit_target(target, members, nonmembers, settings=SETTINGS)
        key = dict(zip(members.paths, arrays(members)[0], strict=True))
        assert len(key) == 24
        np.testing.assert_allclose(
            np.sort(found.distances[:24, 0]), np.sort(same.distances[:24, 0]), rtol=1e-5
        )

    @pytest.mark.parametrize(
        ('apply', 'variables', 'message'),
        [
            (lambda v, x: (x, x), {'params': {}}, r'apply: found tuple for one image, expected'),
            (lambda v, x: x.sum(), {'params': {}}, r'apply: found .* for one image'),
            (lambda v, x: x, {'weights': {}}, r'variables: found dict without params'),
            (Small().apply, None, r'variables: found NoneType without params'),
            (Small().apply, 'params', r'bn: BatchNorm without statistics; .* under batch_stats'),
        ],
    )
    def test_a_function_that_does_not_fit(
        self, target, members, nonmembers, apply, variables, message
    ):
        with pytest.raises(InputError, match=message):
            fr_inference.audit(
                apply,
                {'params': target.variables['params']} if variables == 'params' else variables,
                members=members,
                nonmembers=nonmembers,
                input=target.input,
                settings=SETTINGS,
            )

    def test_procedural(self, target, members):
        faces = auditing.as_faces('procedural:hard,people=2,images=1,size=16', 'members')
        assert len(faces) == 2
        assert auditing.as_faces(members, 'members') is members

    @pytest.mark.parametrize(
        ('source', 'message'),
        [
            (7, r'members: found a int, expected a path, Faces or \(images, identities\)'),
            ((1, 2, 3), r'members: expected the pair \(images, identities\)'),
            (
                (np.zeros((2, 8, 8, 3)), 'ab'),
                r'members: found images float64\[2, 8, 8, 3\], .*uint8',
            ),
            ((np.zeros((2, 8, 8, 3), np.uint8), 'a'), 'members: found 2 images and 1 identities'),
            ('no/such/folder', "members: 'no/such/folder' not found"),
        ],
    )
    def test_wrong_sources(self, source, message):
        with pytest.raises(InputError, match=message):
            auditing.as_faces(source, 'members')


class TestWithoutBatchNorm:
    def test_people_can_still_be_attacked(self, members, nonmembers, tmp_path):
        plain = target_of(Plain(), name='plain')
        found = auditing.audit_target(plain, members, nonmembers, settings=SETTINGS)
        membership = found.record['membership']
        assert set(membership) == {'settings', 'identity_level', 'controls'}
        assert membership['settings'] == {}
        assert set(membership['controls']) == {
            *('identity_null', 'identity_blind', 'identity_excess'),
        }
        assert found.record['target']['norm_layers'] == []
        assert found.distances.shape == (56, 0)
        said = [line for line in found.record['limits'] if 'BatchNorm' in line]
        assert len(said) == 1
        assert said[0].startswith('plain has no BatchNorm statistics')
        assert 'the attack on people with several images needs embeddings only, and can' in said[0]
        found.save(tmp_path)

    def test_any_function_of_arrays_will_do(self, members, nonmembers):
        """As with BatchNorm folded into the weights: no module, no statistics."""
        kernel = np.random.default_rng(0).normal(size=(SIZE * SIZE * 3, 6)).astype(np.float32)
        found = fr_inference.audit(
            lambda variables, images: images.reshape(len(images), -1) @ variables['params'],
            {'params': kernel},
            members=members,
            nonmembers=nonmembers,
            input=fr_inference.InputSpec(height=SIZE, width=SIZE),
            settings=SETTINGS,
        )
        assert found.record['membership']['identity_level']['members'] == 6

    def test_nothing_left_is_an_error(self):
        with pytest.raises(InputError, match='without BatchNorm statistics and without people'):
            auditing.audit_target(
                target_of(Plain()),
                noise_faces(12, 1, seed=1, name='in'),
                noise_faces(12, 1, seed=2, name='out'),
                settings=SETTINGS,
            )

    def test_an_auxiliary_set_does_not_train_a_shadow_in_vain(self, members, nonmembers):
        found = auditing.audit_target(
            target_of(Plain()),
            members,
            nonmembers,
            settings=SETTINGS,
            auxiliary=noise_faces(8, 2, seed=3, name='aux'),
        )
        assert 'shadow' not in found.record['membership']


class TestOverlap:
    def test_people_on_both_sides(self, target, members, nonmembers):
        shared = concat([nonmembers, noise_faces(2, 1, seed=9, name='in')], 'out')
        with pytest.raises(InputError, match=r'2 identities on both sides \(in0, in1\)'):
            auditing.audit_target(target, members, shared, settings=SETTINGS)
        found = auditing.audit_target(
            target, members, shared, settings=dataclasses.replace(SETTINGS, allow_overlap=True)
        )
        said = [line for line in found.record['limits'] if 'on both sides' in line]
        assert len(said) == 1
        assert 'allow_overlap was given' in said[0]
        # Nor is somebody who is on both sides fitted on and judged.
        halves = {}
        for name, rest in zip(found.columns['identity'], found.columns['evaluation'], strict=True):
            assert halves.setdefault(name, rest) == rest

    def test_the_same_image_on_both_sides(self, target, members, nonmembers):
        twin = dataclasses.replace(members.select([3]), identities=('nobody',))
        with pytest.raises(InputError, match=r'1 images with the same content .*\(in#3 = in#3\)'):
            auditing.audit_target(target, members, concat([nonmembers, twin]), settings=SETTINGS)

    def test_every_part_is_compared(self, target, members, nonmembers):
        for name in ('auxiliary', 'shift', 'member_identities'):
            with pytest.raises(InputError, match=rf'nonmembers and {name} overlap'):
                auditing.audit_target(
                    target, members, nonmembers, settings=SETTINGS, **{name: nonmembers}
                )

    def test_the_targets_own_list(self, target, members, nonmembers):
        known = overlap.content_digests(members)
        found = auditing.audit_target(
            target, members, nonmembers, settings=SETTINGS, training_digests=known[:20]
        )
        assert any(line.startswith('4 of 24 images given as') for line in found.record['limits'])
        with pytest.raises(
            InputError, match="nonmembers: found 32 images of the target's own list"
        ):
            auditing.audit_target(
                target,
                members,
                nonmembers,
                settings=SETTINGS,
                training_digests=overlap.content_digests(nonmembers),
            )

    @pytest.mark.parametrize('part', ['members', 'nonmembers'])
    def test_a_blind_backbone_that_saw_them(self, target, members, nonmembers, part):
        seen = overlap.content_digests({'members': members, 'nonmembers': nonmembers}[part])
        with pytest.raises(InputError, match=rf'blind: 1 images of {part} \(as .*#0\)'):
            auditing.audit_target(
                target,
                members,
                nonmembers,
                settings=SETTINGS,
                blind=target_of(Small(), seed=8, apply=target.apply),
                blind_digests=seen[:1],
            )

    def test_a_shadow_that_saw_them(self, target, members, nonmembers):
        auxiliary = noise_faces(12, 2, seed=3, name='aux')
        shadow = Shadow(target=target, digests=overlap.content_digests(members))
        with pytest.raises(InputError, match='shadow: 24 images of members'):
            auditing.audit_target(
                target,
                members,
                nonmembers,
                settings=SETTINGS,
                auxiliary=auxiliary,
                shadow=shadow,
            )

    def test_missing_files_are_no_overlap(self, target, members, nonmembers):
        """What can't be read has no content, and so not the same content."""
        gone = [broken(faces, [1]) for faces in (members, nonmembers)]
        found = auditing.audit_target(
            target,
            *gone,
            settings=dataclasses.replace(SETTINGS, skip_bad=True),
            blind=target_of(Small(), seed=8, apply=target.apply),
            blind_digests=['', 'f' * 64],
        )
        assert [entry['path'] for entry in found.record['skipped']] == ['in#1', 'out#1']


def broken(faces, which):
    """Returns faces of which some can't be read."""

    def attempt(function):
        def guarded(index):
            if index in which:
                raise BadImageError(f'{faces.paths[index]}: not found')
            return function(index)

        return guarded

    return dataclasses.replace(faces, read=attempt(faces.read), digest=attempt(faces.digest))


class TestUnreadable:
    def test_stops(self, target, members, nonmembers):
        with pytest.raises(BadImageError, match='out#5: not found'):
            auditing.audit_target(target, members, broken(nonmembers, [5]), settings=SETTINGS)

    def test_skipped_counted_and_listed(self, target, members, nonmembers, tmp_path):
        settings = dataclasses.replace(SETTINGS, skip_bad=True)
        found = auditing.audit_target(
            target, broken(members, [0]), broken(nonmembers, [5, 6]), settings=settings
        )
        assert found.record['skipped'] == [
            {'path': path, 'reason': f'{path}: not found'} for path in ('in#0', 'out#5', 'out#6')
        ]
        assert len(found.columns['path']) == len(found.distances) == len(found.faces) == 53
        assert not {'in#0', 'out#5'} & set(found.columns['path'])
        assert found.columns['member'] == [1] * 23 + [0] * 30
        found.save(tmp_path)


class TestShadow:
    def test_trained_on_the_way(self, members, nonmembers, tmp_path, monkeypatch):
        spec = fr_inference.InputSpec(height=SIZE, width=SIZE)
        monkeypatch.setitem(registry.VARIANTS, 'small', registry.Variant(Small, spec, 146))
        target = dataclasses.replace(
            recognizer.fresh_target('small', {}, spec, 0),
            recipe={'epochs': 1, 'batch_size': 8, 'learning_rate': 0.01},
        )
        auxiliary = noise_faces(8, 2, seed=3, name='aux')
        found = auditing.audit_target(
            target, members, nonmembers, settings=SETTINGS, auxiliary=auxiliary, workdir=tmp_path
        )
        shadow = found.record['membership']['shadow']
        assert (shadow['members'], shadow['nonmembers']) == (8, 8)
        assert shadow['recipe']['epochs'] == 1
        assert shadow['recipe']['images'] == 8
        assert set(found.record['membership']['settings']) == {'partial', 'auxiliary'}
        assert set(shadow['on_itself']) == set(shadow['on_blind']) == FIGURES
        assert any("target's own recipe" in line for line in found.record['limits'])
        assert (tmp_path / 'shadow' / 'run.json').exists()

    def test_a_custom_architecture_needs_a_shadow_given(self, target, members, nonmembers):
        with pytest.raises(InputError, match=r'auxiliary: small is not of a registered architect'):
            auditing.audit_target(
                target,
                members,
                nonmembers,
                settings=SETTINGS,
                auxiliary=noise_faces(8, 2, seed=3, name='aux'),
            )

    def test_without_auxiliary(self, target, members, nonmembers):
        shadow = Shadow(target=target, digests=[])
        with pytest.raises(InputError, match='shadow: found one without auxiliary'):
            auditing.audit_target(target, members, nonmembers, settings=SETTINGS, shadow=shadow)

    def test_that_learned_nobody_of_them(self, target, members, nonmembers):
        with pytest.raises(InputError, match=r'shadow: 0 of 16 auxiliary images'):
            auditing.audit_target(
                target,
                members,
                nonmembers,
                settings=SETTINGS,
                auxiliary=noise_faces(8, 2, seed=3, name='aux'),
                shadow=Shadow(target=target, digests=[hashlib.sha256().hexdigest()]),
            )


@pytest.mark.parametrize(
    ('people', 'others', 'message'),
    [
        ((3, 12), 'in', 'members: found 3 people, expected 4 or more'),
        ((12, 3), 'in', 'non-members: found 3'),
        ((12, 7), 'in', 'null control: found 7 people'),
        ((12, 12), 'other', 'member_identities: none of these people is a member'),
    ],
)
def test_what_names_tell_is_told_before_anything_is_scored(target, people, others, message):
    def unread(count, name):
        seed = len(name)  # different people look different
        return dataclasses.replace(noise_faces(count, 2, seed=seed, name=name), read=None)

    with pytest.raises(InputError, match=message):
        auditing.audit_target(
            target,
            unread(people[0], 'in'),
            unread(people[1], 'out'),
            member_identities=dataclasses.replace(
                unread(12, others), digest=lambda index: f'{index}'
            ),
            settings=SETTINGS,
        )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'scaling': 'std'}, "scaling: found 'std'"),
        ({'hidden': -1}, 'hidden: found -1'),
        ({'l2': 0.0}, r'l2: found 0\.0'),
        ({'seed': -1}, 'seed: found -1'),
        ({'seed': 2**31}, 'seed: found 2147483648'),
        ({'replicates': 10}, 'replicates: found 10, expected 100 to 100000'),
        ({'batch_size': 0}, 'batch_size: found 0'),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        Settings(**options)


def test_small_sets_are_said_to_be_small(audited):
    limits = ' '.join(audited.record['limits'])
    assert 'With 16 non-members in the evaluation' in limits
    assert 'people on a side' in limits
