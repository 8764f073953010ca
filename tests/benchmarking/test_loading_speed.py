"""The loading benchmark: threads and processes, and the cores that feed a device."""

import numpy as np
import pytest
from PIL import Image

from fr_inference.benchmarking import loading_speed, suite, timing
from fr_inference.data.drawn import procedural
from tests.benchmarking.settings import quick


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(timing, '_PAUSE', 0)


def test_loading_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(loading_speed, '_IMAGES', 12)
    person = tmp_path / 'faces' / 'somebody'
    person.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(5):
        picture = Image.fromarray(draw.integers(0, 256, (40, 40, 3), np.uint8))
        picture.save(person / f'{number}.jpg')
    settings = {'what': 'loading', 'faces': str(tmp_path / 'faces'), 'feed': 1e6}
    said = []
    found = suite.run(quick(**settings), say=said.append)['loading']
    assert (found['images'], found['height'], found['width']) == (12, 32, 32)
    threads, processes = np.split(np.array(found['rows']), 2)
    for kind, rows in (('threads', threads), ('processes', processes)):
        assert {row['kind'] for row in rows} == {kind}
        assert rows[0]['workers'] == 1
        assert rows[-1]['workers'] == found['cores'] == loading_speed.cores()
    each = threads[-1]['images_per_core_second']['median']
    assert found['cores_to_feed'] == -(-1e6 // each)
    assert 'cores feed a device' in said[0]


def test_drawings_are_loaded_by_threads_alone(monkeypatch):
    monkeypatch.setattr(loading_speed, '_IMAGES', 4)
    faces = procedural.faces('easy,people=2,images=2,size=8')
    found = loading_speed.measure(faces, height=8, width=8, batch_size=2, rounds=1)
    assert {row['kind'] for row in found['rows']} == {'threads'}


def test_loading_draws_its_own_faces():
    with loading_speed.opened(None, 16) as faces:
        assert faces.paths[0].endswith('.jpg')
        assert faces.read(len(faces) - 1).shape == (16, 16, 3)
