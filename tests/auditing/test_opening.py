"""What an audit works on, from names and from Python: arrays, folders, a module of one's own."""

import numpy as np
import pytest
from PIL import Image

import fr_inference
from fr_inference import auditing, config, opening
from fr_inference.errors import InputError
from fr_inference.models.target import InputSpec
from tests.auditing.conftest import SETTINGS
from tests.membership.backbones import SIZE, Small


def arrays(faces):
    return np.stack([faces.read(index) for index in range(len(faces))]), list(faces.identities)


def write_folder(root, faces):
    for index, identity in enumerate(faces.identities):
        (root / identity).mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces.read(index)).save(root / identity / f'{index}.png')
    return root


class TestAudit:
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
        keys = [comparison.key for comparison in found.comparisons]
        assert keys[0] == 'combined-file/partial'
        assert {'bn-distance/partial', 'people/partial', 'norm/strangers'} < set(keys)
        assert set(membership['populations']) == {'members_vs_nonmembers'}
        assert 'shadow' not in membership
        assert set(found.record['data']) == {'members', 'nonmembers'}
        # PNG keeps every pixel: the arrays give the same, in another order.
        same = fr_inference.audit(target, members=members, nonmembers=nonmembers, settings=SETTINGS)
        np.testing.assert_allclose(
            np.sort(found.distances[:24, 0]), np.sort(same.distances[:24, 0]), rtol=1e-5
        )

    def test_what_is_assumed_of_arrays_is_said(self, target, members, nonmembers, caplog):
        apply, variables = target.apply, target.variables
        found = opening.as_backbone(apply, variables, None, 'mine', arrays(members))
        assert (found.input.height, found.input.width) == (SIZE, SIZE)
        assert found.convention['origins']['height'] == 'given'
        assert found.convention['origins']['colour'] == 'assumed'
        (message,) = caplog.messages
        assert f'height {SIZE}, width {SIZE}, RGB, (v - 127.5) / 127.5' in message
        caplog.clear()
        opening.as_backbone(apply, variables, InputSpec(height=SIZE, width=SIZE), 'mine', None)
        assert not caplog.messages
        assert opening.as_backbone(apply, variables, None, 'mine', 'folder').input == InputSpec()
        assert 'height 112, width 112' in caplog.text

    @pytest.mark.parametrize(
        ('apply', 'variables', 'field', 'found'),
        [
            (lambda v, x: (x, x), {'params': {}}, 'apply', 'tuple for one image'),
            (lambda v, x: x.sum(), {'params': {}}, 'apply', 'for one image'),
            (lambda v, x: x, {'weights': {}}, 'variables', 'dict without params'),
            (Small().apply, None, 'variables', 'NoneType without params'),
            (Small(), {'params': {}}, 'target', 'the module Small'),
            (Small().apply, 'params', 'variables', 'without statistics'),
        ],
    )
    def test_a_function_that_does_not_fit(
        self, target, members, nonmembers, apply, variables, field, found
    ):
        with pytest.raises(InputError) as caught:
            fr_inference.audit(
                apply,
                {'params': target.variables['params']} if variables == 'params' else variables,
                members=members,
                nonmembers=nonmembers,
                input=target.input,
                settings=SETTINGS,
            )
        assert caught.value.field == field
        assert found in caught.value.found

    def test_any_function_of_arrays_will_do(self, members, nonmembers):
        """As with BatchNorm folded into the weights: no module, no statistics."""
        kernel = np.random.default_rng(0).normal(size=(SIZE * SIZE * 3, 6)).astype(np.float32)
        found = fr_inference.audit(
            lambda variables, images: images.reshape(len(images), -1) @ variables['params'],
            {'params': kernel},
            members=members,
            nonmembers=nonmembers,
            input=InputSpec(height=SIZE, width=SIZE),
            settings=SETTINGS,
        )
        assert {one.access for one in found.comparisons} == {'answers'}
        by_key = {one.key: one for one in found.comparisons}
        assert by_key['people/partial'].figures['members'] == 6
        assert by_key['combined-answers/partial'].headline

    @pytest.mark.parametrize('field', ['members', 'nonmembers', 'strangers', 'shift'])
    def test_arrays_are_never_resized(self, target, members, nonmembers, field):
        given = {'members': members, 'nonmembers': nonmembers}
        given |= {field: (np.zeros((4, 9, SIZE, 3), np.uint8), 'abcd')}
        with pytest.raises(InputError) as caught:
            fr_inference.audit(target, **given, settings=SETTINGS)
        assert (caught.value.field, caught.value.found) == (field, f'images of 9x{SIZE}')
        assert 'InputSpec(height=9, width=8)' in caught.value.hint

    def test_arrays_of_another_size_than_the_members_are_refused(self, target, members):
        with pytest.raises(InputError) as caught:
            fr_inference.audit(
                target.apply,
                target.variables,
                members=arrays(members),
                nonmembers=(np.zeros((16, 9, 9, 3), np.uint8), range(16)),
                settings=SETTINGS,
            )
        assert caught.value.field == 'nonmembers'
        assert caught.value.expected.startswith(f'{SIZE}x{SIZE}')

    @pytest.mark.parametrize('field', ['variables', 'input'])
    def test_nothing_is_ignored(self, target, members, field):
        given = {'variables': target.variables, 'input': target.input}
        with pytest.raises(InputError) as caught:
            fr_inference.audit(target, members=members, nonmembers=members, **{field: given[field]})
        assert caught.value.field == field

    @pytest.mark.parametrize('field', ['blind', 'shadow_init', 'evaluator'])
    def test_backbones_of_another_kind(self, target, members, field):
        with pytest.raises(InputError) as caught:
            fr_inference.audit(target, members=members, nonmembers=members, **{field: 7})
        assert (caught.value.field, caught.value.found) == (field, 'a int')


class TestAsFaces:
    def test_procedural(self, members):
        faces = opening.as_faces('procedural:hard,people=2,images=1,size=16', 'members')
        assert len(faces) == 2
        assert opening.as_faces(members, 'members') is members

    @pytest.mark.parametrize(
        ('source', 'found'),
        [
            (7, 'a int'),
            ((1, 2, 3), 'a tuple of 3'),
            ((np.zeros((2, 8, 8, 3)), 'ab'), 'float64'),
            ((np.zeros((2, 8, 8, 3), np.uint8), 'a'), '2 images'),
            ('no/such/folder', 'no/such/folder'),
        ],
    )
    def test_wrong_sources(self, source, found):
        with pytest.raises(InputError) as caught:
            opening.as_faces(source, 'members')
        assert caught.value.field == 'members'
        assert found in caught.value.found


class TestOpenInputs:
    def test_opens_what_is_named(self):
        opened = auditing.open_inputs(
            config.Inputs(
                target='demo_few',
                members='procedural:easy,images=1,people=2',
                nonmembers='procedural:easy,images=1,people=3,first=2',
                shift='procedural:hard,images=1,people=4',
                blind='demo_easy',
            )
        )
        assert opened.target.name == 'demo_few'
        assert opened.blind.name == 'demo_easy'
        sizes = {name: len(faces) for name, faces in opened.faces.items()}
        assert sizes == {'members': 2, 'nonmembers': 3, 'shift': 4}
        assert set(opened.trained_on) == {'target', 'blind'}
        assert opened.generator is opened.shadow is opened.strangers is None

    @pytest.mark.parametrize(
        ('field', 'value'),
        [
            ('target', 'no_such_target'),
            ('members', 'no/such/folder'),
            ('blind', 'no_such_target'),
            ('shadow', 'demo_generator'),
        ],
    )
    def test_what_cannot_be_opened(self, field, value):
        faces = 'procedural:easy,images=1,people=2'
        given = {'target': 'demo_few', 'members': faces, 'nonmembers': faces, 'auxiliary': faces}
        with pytest.raises(InputError) as caught:
            auditing.open_inputs(config.Inputs(**given | {field: value}))
        assert caught.value.field == field
