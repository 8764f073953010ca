"""Do images look aligned? A face drawn here, with its features where the test puts them; real ones."""

import dataclasses
import logging

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fr_inference.data import align, placement, sources
from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.formats.images import fit_image
from fr_inference.models.target import InputSpec

ARCFACE = InputSpec(height=112, width=112)


def face(shift=(0, 0), skin=(210, 160, 130), dark=(60, 40, 30), scale=1.0):
    """Skin with eyes and a mouth as ellipses, nostrils as a line, at the template's points."""
    picture = Image.new('RGB', (112, 112), (90, 90, 100))
    draw = ImageDraw.Draw(picture)
    middle = np.array((56, 64))

    def ellipse(point, size, colour):
        x, y = (np.array(point) - middle) * scale + middle + shift
        draw.ellipse(
            (x - size[0] * scale, y - size[1] * scale, x + size[0] * scale, y + size[1] * scale),
            colour,
        )

    ellipse((56, 62), (46, 60), skin)
    left, right, (x, y), mouth_left, mouth_right = align.TEMPLATE
    for eye in (left, right):
        ellipse(eye, (9, 4), dark)
    ellipse((x, y + 5), (8, 2), dark)
    ellipse((mouth_left + mouth_right) / 2, (13, 4), dark)
    return np.asarray(picture)


def score(image):
    return placement.scores(image[None])[0]


def test_a_face_in_its_place():
    assert score(face()) > 0.6


@pytest.mark.parametrize('shift', [(10, 0), (-10, 0), (0, 10), (0, -10), (30, 20)])
def test_a_face_elsewhere(shift):
    assert score(face(shift)) < placement.LEAST


@pytest.mark.parametrize('scale', [0.6, 1.6])
def test_a_face_of_another_size(scale):
    assert score(face(scale=scale)) < placement.LEAST


@pytest.mark.parametrize('skin', [(240, 220, 210), (110, 75, 60), (60, 42, 35)])
def test_any_skin(skin):
    dark = tuple(part // 3 for part in skin)
    assert score(face(skin=skin, dark=dark)) > 0.6


def test_brightness_and_contrast_do_not_count():
    expected = score(face())
    darker = (face() * 0.4 + 20).astype(np.uint8)
    assert score(darker) == pytest.approx(expected, abs=0.1)
    assert score(255 - face()) == pytest.approx(-expected, abs=0.02)


def test_no_face():
    assert score(np.full((112, 112, 3), 128, np.uint8)) == pytest.approx(0, abs=1e-3)
    noise = np.random.default_rng(0).integers(0, 256, (100, 112, 112, 3), np.uint8)
    assert np.abs(placement.scores(noise).mean()) < 0.05


def sides(**images):
    return {
        name: from_arrays(np.stack(many), range(len(many)), name) for name, many in images.items()
    }


@pytest.mark.parametrize('width', [112, 96])
def test_the_side_that_is_not_aligned_is_named(width, caplog):
    given = sides(members=[face()] * 3, nonmembers=[face((12, 12))] * 3)
    with caplog.at_level(logging.WARNING):
        record, said = placement.check(given, InputSpec(height=112, width=width))
    assert record['least'] == placement.LEAST
    assert record['scores']['members'] > 0.6
    assert record['scores']['nonmembers'] < placement.LEAST
    assert len(said) == 1
    assert 'nonmembers' in said[0]
    assert said[0] in caplog.text


@pytest.mark.parametrize(('height', 'width'), [(32, 32), (160, 160), (112, 128)])
def test_networks_of_another_template_are_not_judged(height, width):
    record, said = placement.check(
        sides(members=[face((12, 12))]), InputSpec(height=height, width=width)
    )
    assert not record
    assert not said


def test_drawn_and_unreadable_images_are_not_judged():
    def unreadable(index):
        raise BadImageError('somewhere', 'no image')

    given = {
        'members': sources.open_faces('procedural:easy,people=2,images=1,size=112'),
        'nonmembers': dataclasses.replace(sides(a=[face()])['a'], read=unreadable),
    }
    assert placement.check(given, ARCFACE) == ({}, [])


def test_images_aligned_here_are_remarked():
    (faces,) = sides(members=[face()]).values()
    record, said = placement.check(
        {'members': dataclasses.replace(faces, changed=lambda index: 'aligned')}, ARCFACE
    )
    assert record['aligned_here'] == {'members': 'aligned'}
    assert len(said) == 1


def test_real_faces(shared):
    """A set of aligned ones scores 0.54, the photographs they were cut from 0.07."""
    aligned = sources.open_faces(shared / 'data' / 'lfw112')
    loose = sources.open_faces(shared / 'data' / 'lfw_raw')
    record, said = placement.check({'members': aligned, 'nonmembers': loose}, ARCFACE)
    assert 0.48 < record['scores']['members'] < 0.6
    assert record['scores']['nonmembers'] < 0.2
    assert len(said) == 1
    assert 'nonmembers' in said[0]
    # One image of each of some people: most single ones are told apart as well.
    single = placement.scores(
        np.stack([fit_image(aligned.read(n), 112, 112) for n in range(0, 9000, 90)])
    )
    photographs = placement.scores(
        np.stack([fit_image(loose.read(n), 112, 112) for n in range(len(loose))])
    )
    assert (single[:, None] > photographs).mean() > 0.97
