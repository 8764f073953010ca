"""Photographs as faces: cropped when read, still the user's own files to everything else."""

import numpy as np
import pytest
from PIL import Image

from fr_inference import config, program_config
from fr_inference.data import align, aligned, detector, loader, overlap, prepare, sources
from fr_inference.data.faces import BadImageError, concat
from fr_inference.formats import images
from fr_inference.measuring import measurements
from fr_inference.training import training_images
from tests.data.detectors import LANDMARKS, Planted
from tests.experiments import targets


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two people, a black picture in which nobody is, and a manifest of them."""
    folder = tmp_path_factory.mktemp('photographs')
    draw = np.random.default_rng(0)
    for name in ('al/1.png', 'al/2.png', 'bea/1.png', 'nobody/1.png'):
        (folder / name).parent.mkdir(exist_ok=True)
        pixels = draw.integers(0, 256, (90, 80, 3), np.uint8) * (name[0] != 'n')
        Image.fromarray(pixels).save(folder / name)
    (folder / 'manifest.csv').write_text('path,identity\nal/2.png,al\nbea/1.png,bea\n')
    return folder


@pytest.fixture
def photographs(folder, monkeypatch):
    """Opens them as programs do with --align, by a planted detector."""
    monkeypatch.setattr(detector, 'open_detector', Planted)
    return lambda name='', align=True: sources.open_faces(
        folder / name, reading=config.Aligning(align=align)
    )


def test_cropped_when_read(folder, photographs):
    faces, plain = photographs(), photographs(align=False)
    assert (faces.paths, faces.identities) == (plain.paths, plain.identities)
    for index in range(3):
        np.testing.assert_array_equal(faces.read(index), align.align(plain.read(index), LANDMARKS))


def test_a_manifest_is_aligned_once(photographs):
    found, expected = photographs('manifest.csv'), photographs()
    np.testing.assert_array_equal(found.read(0), expected.read(1))
    np.testing.assert_array_equal(found.read(1), expected.read(2))


def test_digests_are_those_of_the_files(photographs):
    found = overlap.content_digests(photographs())
    assert found == overlap.content_digests(photographs(align=False))


def test_a_set_that_is_prepared_of_them_holds_the_crops(photographs, tmp_path, monkeypatch):
    faces = photographs('manifest.csv')
    monkeypatch.setattr(prepare, '_open', lambda options: faces)
    prepare.prepare(program_config.Preparation(faces='', out=str(tmp_path), name='crops'))
    after = sources.open_faces('tfds:crops:train', data_dir=str(tmp_path))
    for row in range(2):
        np.testing.assert_array_equal(after.read(row), faces.read(row))


def test_a_jpeg_that_ends_early_is_told_of(photographs, tmp_path):
    """The remark is on the file, whatever is made of it."""
    (tmp_path / 'al').mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    for name in ('1.jpg', '2.jpg'):
        Image.fromarray(pixels).save(tmp_path / 'al' / name)
    short = tmp_path / 'al' / '2.jpg'
    short.write_bytes(short.read_bytes()[:-100])
    found = {}
    for how in (True, False):
        overlap.content_digests(photographs(tmp_path, align=how), mended=found.setdefault(how, []))
    assert found == {True: [str(short)], False: [str(short)]}


def test_nobody_in_the_picture(photographs):
    faces = photographs()
    with pytest.raises(BadImageError) as caught:
        faces.read(3)
    assert caught.value.field == faces.paths[3]
    skipped = []
    batches = loader.batches(faces, height=8, width=8, batch_size=4, skip_bad=True, skipped=skipped)
    assert [batch.mask.sum() for batch in batches] == [3]
    assert [path for path, _ in skipped] == [faces.paths[3]]


def test_points_of_no_face(photographs):
    class Far(Planted):
        def __call__(self, image):
            boxes, landmarks = super().__call__(image)
            return boxes, landmarks * 1e6

    with pytest.raises(BadImageError):
        aligned.aligned(photographs(align=False), Far()).read(0)


def test_of_several_faces_the_main_one(photographs):
    plain = photographs(align=False)
    located = aligned.locate(plain.read(0), Planted(faces=3), 'here')
    assert located.faces == 3
    np.testing.assert_array_equal(located.landmarks, LANDMARKS)


def test_other_processes_read_the_same(photographs):
    faces = photographs()
    with loader.Decoders(faces, processes=1) as decoders:
        assert decoders.separate
        (found,) = decoders.submit([1], align.SIZE, align.SIZE).result()
    np.testing.assert_array_equal(found, faces.read(1))


def test_measurements_of_aligned_images_are_others(photographs, tmp_path):
    """The cache knows an image by its file; aligned, the same file is another image."""
    target = targets.target_of(0)
    measurements_of = {}
    for kept in (True, False):
        for align_them in (False, True):
            measured = measurements.measure(
                target,
                photographs('manifest.csv', align_them),
                batch_size=4,
                scores=tmp_path if kept else None,
            )
            measurements_of[kept, align_them] = measured.distances
    for align_them in (False, True):
        np.testing.assert_allclose(
            measurements_of[True, align_them], measurements_of[False, align_them], rtol=1e-5
        )
    assert not np.allclose(measurements_of[True, True], measurements_of[True, False])


def test_how_images_were_changed_goes_with_them(photographs):
    both = concat([photographs(align=False), photographs()])
    assert [bool(both.select([3, 7, 0]).changed(index)) for index in range(3)] == [0, 1, 0]
    different = {training_images.digest(photographs(align=how)) for how in (True, False)}
    assert len(different) == 2


def test_upright_before_it_is_aligned(photographs, tmp_path):
    """A camera that lay on its side says so in EXIF."""
    upright = photographs(align=False).read(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / 'turned.png', exif=exif)
    np.testing.assert_array_equal(images.read_image(tmp_path / 'turned.png'), upright)
