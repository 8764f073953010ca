"""Reconstructions as files: one of each, and a sheet of eight in a row on white."""

import numpy as np
import pytest
from PIL import Image

from fr_inference.errors import InputError
from fr_inference.inversion import pictures

IMAGES = np.random.default_rng(0).integers(0, 255, (11, 4, 4, 3), np.uint8)


def test_eight_in_a_row():
    sheet = pictures.sheet(IMAGES)
    assert sheet.shape == (8, 32, 3)
    np.testing.assert_array_equal(sheet[:4, 28:], IMAGES[7])
    np.testing.assert_array_equal(sheet[4:, 8:12], IMAGES[10])
    assert (sheet[4:, 12:] == 255).all()


def test_files(tmp_path):
    pictures.save(IMAGES, tmp_path)
    for number in (0, 10):
        with Image.open(tmp_path / 'reconstructions' / f'{number:04d}.png') as image:
            np.testing.assert_array_equal(np.asarray(image), IMAGES[number])
    with Image.open(tmp_path / 'reconstructions.png') as image:
        np.testing.assert_array_equal(np.asarray(image), pictures.sheet(IMAGES))


def test_a_file_in_the_way(tmp_path):
    (tmp_path / 'reconstructions').write_text('a file')
    with pytest.raises(InputError) as caught:
        pictures.save(IMAGES, tmp_path)
    assert caught.value.field == str(tmp_path / 'reconstructions')
