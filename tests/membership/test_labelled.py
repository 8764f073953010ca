"""Nobody is on both sides of a split, and labels stay with their images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_inference.errors import InputError
from fr_inference.membership import labelled
from tests.membership.backbones import labelled_of


class TestLabelled:
    def test_selects_images_with_their_labels(self, images):
        for rows in ([0, 50], images.member, ~images.member):
            few = images.select(rows)
            np.testing.assert_array_equal(few.member, images.member[rows])
            np.testing.assert_array_equal(few.distances, images.distances[rows])
            np.testing.assert_array_equal(few.embeddings, images.embeddings[rows])
            assert few.identities == tuple(np.array(images.identities)[rows])

    def test_log_distances(self, images):
        expected = np.log(images.distances.astype(np.float64) + 1e-12)
        np.testing.assert_allclose(images.log_distances, expected, rtol=1e-4, atol=1e-6)
        assert labelled_of(np.ones((2, 0)), [True, False], 'ab').log_distances.shape == (2, 0)


class TestFitHalf:
    @given(
        st.lists(st.integers(1, 4), min_size=4, max_size=15),
        st.lists(st.integers(1, 4), min_size=4, max_size=15),
        st.integers(0, 3),
        st.integers(0, 1000),
    )
    def test_nobody_on_both_sides_and_halves_of_either(self, members, others, both, seed):
        rows = [(f'm{i}', True) for i, count in enumerate(members) for _ in range(count)]
        rows += [(f'n{i}', False) for i, count in enumerate(others) for _ in range(count)]
        rows += [(f'b{i}', side) for i in range(both) for side in (True, False)]
        order = np.random.default_rng(seed).permutation(len(rows))
        names = [rows[position][0] for position in order]
        member = np.array([rows[position][1] for position in order])
        fit = labelled.fit_half(names, member, seed)
        inside = {name for name, side in zip(names, fit, strict=True) if side}
        outside = {name for name, side in zip(names, fit, strict=True) if not side}
        assert not inside & outside
        for letter, count in (('m', len(members)), ('n', len(others)), ('b', both)):
            assert sum(name[0] == letter for name in inside) == (count + 1) // 2
        assert (fit == labelled.fit_half(names, member, seed)).all()

    def test_the_order_of_images_does_not_matter(self, images, fit):
        names = np.array(images.identities)
        order = np.random.default_rng(1).permutation(len(names))
        again = labelled.fit_half(names[order].tolist(), images.member[order], 0)
        np.testing.assert_array_equal(again, fit[order])

    def test_every_person_comes_into_either_half(self, images):
        drawn = np.mean(
            [labelled.fit_half(images.identities, images.member, seed) for seed in range(400)],
            axis=0,
        )
        np.testing.assert_allclose(drawn, 0.5, atol=0.1)

    @pytest.mark.parametrize(
        ('members', 'others', 'field'), [(3, 9, 'members'), (9, 3, 'nonmembers')]
    )
    def test_too_few(self, members, others, field):
        names = [f'p{number}' for number in range(members + others)]
        with pytest.raises(InputError) as caught:
            labelled.fit_half(names, np.arange(len(names)) < members, 0)
        assert (caught.value.field, caught.value.found) == (field, '3 people')
        assert caught.value.expected.startswith('4 or more')
