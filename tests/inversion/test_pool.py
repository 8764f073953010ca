"""Random latents depend on their number alone, and an interrupted draw goes on."""

import dataclasses

import numpy as np
import pytest

from fr_inference import errors
from fr_inference.inversion import pool
from fr_inference.inversion.objective import MEMBERSHIP
from tests.inversion.worlds import PLAN, world


def draw(plan=PLAN, **options):
    scene, constants, z_dim = world('w')
    return pool.draw(scene, plan, constants, z_dim, **options)


@pytest.fixture(scope='module')
def drawn():
    return draw()


def same(one, other):
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-5)
    for name, values in one.terms.items():
        np.testing.assert_allclose(values, other.terms[name], rtol=1e-3, atol=1e-4)


def test_terms_serve_every_objective(drawn):
    assert set(drawn.terms) == {*MEMBERSHIP, 'prior', 'identity'} - {'none'}
    assert drawn.embeddings.shape == (PLAN.draws, 16)
    assert (drawn.terms['capped'] <= drawn.terms['raw'] + 1e-6).all()


def test_neither_batches_nor_their_number_change_a_latent(drawn):
    same(draw(dataclasses.replace(PLAN, batch=5)), drawn)
    fewer = draw(dataclasses.replace(PLAN, draws=7, candidates=4))
    np.testing.assert_allclose(fewer.embeddings, drawn.embeddings[:7], atol=1e-5)


class Stop(Exception):
    """Stands for a kill."""


def test_goes_on_where_it_stopped(drawn, tmp_path):
    def stop(label, done, total):
        if done >= PLAN.draws // 2:
            raise Stop

    with pytest.raises(Stop):
        draw(workdir=tmp_path, progress=stop)
    left = np.load(tmp_path / 'embeddings.npy')
    assert np.isfinite(left).any(), 'what was drawn is kept'
    again = draw(workdir=tmp_path)
    for name, values in again.terms.items():
        np.testing.assert_array_equal(values, drawn.terms[name])
    np.testing.assert_array_equal(again.embeddings, drawn.embeddings)


def test_what_is_done_is_not_drawn_again(drawn, tmp_path):
    kept = draw(workdir=tmp_path)
    kept.terms['raw'][3] = 77.0
    kept.terms['raw'].flush()
    assert draw(workdir=tmp_path).terms['raw'][3] == 77.0


def test_another_draw_or_a_damaged_file(tmp_path):
    draw(workdir=tmp_path)
    with pytest.raises(errors.InputError, match='another run, which differs'):
        draw(dataclasses.replace(PLAN, seed=9), workdir=tmp_path)
    np.save(tmp_path / 'raw.npy', np.zeros(3))
    with pytest.raises(errors.InputError, match='expected float32'):
        draw(workdir=tmp_path)
    (tmp_path / 'raw.npy').write_bytes(b'nothing')
    with pytest.raises(errors.InputError, match='damaged'):
        draw(workdir=tmp_path)
