"""An audit of people or images on both sides, and of images that cannot be read."""

import dataclasses

import pytest

from fr_inference.data import overlap
from fr_inference.data.faces import BadImageError, concat
from fr_inference.errors import InputError
from tests.auditing.conftest import SETTINGS
from tests.membership.backbones import noise_faces


class TestOverlap:
    def test_people_on_both_sides(self, audit, nonmembers):
        shared = concat([nonmembers, noise_faces(2, 1, seed=9, name='in')], 'out')
        with pytest.raises(InputError) as caught:
            audit(nonmembers=shared)
        assert caught.value.field == 'nonmembers'
        assert caught.value.found == '2 identities on both sides (in0, in1)'
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
        with pytest.raises(InputError) as caught:
            audit(nonmembers=concat([nonmembers, twin]))
        assert caught.value.field == 'nonmembers'
        assert caught.value.found.startswith('1 images ')
        assert caught.value.found.endswith('(in#3 = in#3)')

    @pytest.mark.parametrize('name', ['auxiliary', 'shift', 'member_identities'])
    def test_every_part_is_compared(self, audit, nonmembers, name):
        with pytest.raises(InputError) as caught:
            audit(**{name: nonmembers})
        assert caught.value.field == name
        assert '(out0, out1, out10, ...)' in caught.value.found  # of the non-members

    def test_the_targets_own_list(self, audit, members, nonmembers):
        known = overlap.content_digests(members)
        found = audit(trained_on={'target': known[:20]})
        assert any(line.startswith('4 of 24 images given as') for line in found.record['limits'])
        with pytest.raises(InputError) as caught:
            audit(trained_on={'target': overlap.content_digests(nonmembers)})
        assert caught.value.field == 'nonmembers'
        assert caught.value.found.startswith('32 images ')

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
