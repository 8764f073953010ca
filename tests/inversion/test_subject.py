"""Random latents depend on their number alone, and an interrupted draw goes on."""

import numpy as np
import pytest

from fr_inference import config, devices
from fr_inference.inversion import guidance, subject
from tests.inversion import worlds
from tests.inversion.worlds import HOW, subject_of


def draw(how=HOW, seed=worlds.SEED, **options):
    made = subject_of(seed=seed)
    return subject.draw(made.scene, made.constants, how, **options)


@pytest.fixture(scope='module')
def drawn():
    return subject_of().pool


def same(one, other):
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-5)
    for name, values in one.terms.items():
        np.testing.assert_allclose(values, other.terms[name], rtol=1e-3, atol=1e-4)


def equal(one, other):
    assert one.terms.keys() == other.terms.keys()
    for name, values in one.terms.items():
        np.testing.assert_array_equal(values, other.terms[name])


def test_terms_serve_every_goal(drawn):
    assert set(drawn.terms) == {*guidance.KINDS, 'prior', 'embedding'}
    assert drawn.embeddings.shape == (HOW.draws, worlds.WIDTH)
    assert (drawn.terms['capped'] <= drawn.terms['raw'] + 1e-6).all()


def test_without_an_attack_there_is_no_membership(drawn):
    alone = subject_of(guided=False).pool
    assert set(alone.terms) == {'prior', 'embedding'}
    np.testing.assert_allclose(alone.embeddings, drawn.embeddings, atol=1e-5)


def test_neither_batches_nor_their_number_change_a_latent(drawn):
    same(draw(config.replace(HOW, search_batch=5)), drawn)
    fewer = draw(config.replace(HOW, draws=7, candidates=4))
    np.testing.assert_allclose(fewer.embeddings, drawn.embeddings[:7], atol=1e-5)


class Stop(Exception):
    """Stands for a kill."""


LONG = config.replace(HOW, draws=40, search_batch=1)  # of several blocks


def test_goes_on_where_it_stopped(tmp_path):
    def stop(label, done, total, **_):
        if done >= LONG.draws // 2:
            raise Stop

    with pytest.raises(Stop):
        draw(LONG, workdir=tmp_path, progress=stop)
    told = []
    again = draw(LONG, workdir=tmp_path, progress=lambda *_, **more: told.append(more))
    assert 0 < told[0]['stored'] < LONG.draws, 'what was drawn is kept'
    equal(again, draw(LONG))


def computed(monkeypatch):
    """Returns the list of how many latents each later call computes."""
    counts: list[int] = []
    here = devices.Mapped.here

    def counted(self, examples):
        counts.append(len(np.atleast_1d(examples)))
        return here(self, examples)

    monkeypatch.setattr(devices.Mapped, 'here', counted)
    return counts


def test_what_is_done_is_not_drawn_again(drawn, tmp_path, monkeypatch):
    counts = computed(monkeypatch)
    equal(draw(workdir=tmp_path), drawn)
    assert sum(counts) == HOW.draws
    equal(draw(workdir=tmp_path), drawn)
    assert sum(counts) == HOW.draws
    more = draw(config.replace(HOW, draws=16), workdir=tmp_path)
    assert sum(counts) == 16
    np.testing.assert_array_equal(more.embeddings[:12], drawn.embeddings)


def test_another_draw_has_rows_of_its_own(drawn, tmp_path):
    draw(workdir=tmp_path)
    other = draw(seed=9, workdir=tmp_path)
    assert not np.allclose(other.embeddings, drawn.embeddings, atol=1e-2)
    equal(draw(workdir=tmp_path), drawn)


@pytest.mark.parametrize('keep', [0.0, 0.5, 0.99, None])
def test_a_damaged_file_changes_no_row(drawn, tmp_path, keep):
    """Cut short (to nothing, too), or with bytes flipped all through it."""
    draw(workdir=tmp_path)
    (path,) = tmp_path.glob('*.sqlite')
    whole = path.read_bytes()
    if keep is None:
        damaged = bytearray(whole)
        for place in range(4096, len(damaged), 97):
            damaged[place] ^= 0x80
        path.write_bytes(bytes(damaged))
    else:
        path.write_bytes(whole[: int(keep * len(whole))])
    equal(draw(workdir=tmp_path), drawn)
