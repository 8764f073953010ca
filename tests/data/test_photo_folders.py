"""Folders as systems and people leave them: what counts, and what is told."""

import pathlib
import unicodedata

import pytest
from PIL import Image

from fr_inference.data import photo_folders, sources
from fr_inference.errors import InputError


def fill(root, names):
    """Writes a small picture under every name that has the suffix of one, text under the others."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix.lower()
        if suffix in ('.jpg', '.png', '.tif', '.webp', '.gif', '.jp2', '.pgm', '.jfif', '.bmp'):
            kind = {'.jfif': 'JPEG', '.jpg': 'JPEG'}.get(suffix)
            Image.new('RGB', (8, 8), (number, 2, 3)).save(path, kind)
        else:
            path.write_text('text')
    return root


def opened(root):
    """Returns (person -> names of the files, remarks)."""
    faces = sources.open_faces(root)
    found = {}
    for person, path in zip(faces.identities, faces.paths, strict=True):
        found.setdefault(person, []).append(pathlib.Path(path).name)
    for index in range(len(faces)):
        faces.read(index)
    return found, faces.remarks


def test_what_systems_leave_is_no_person_and_no_image(tmp_path, caplog):
    own = ['ann/1.jpg', 'bob/1.jpg']
    left = [
        *(
            '.ipynb_checkpoints/1-checkpoint.jpg',
            '.thumbnails/a.png',
            '.Trash-1000/x.jpg',
            '.hidden',
        ),
        *('@eaDir/x.jpg', '__MACOSX/._1.jpg', 'lost+found/a.jpg', '$RECYCLE.BIN/a.jpg'),
        *('System Volume Information/a.jpg', 'Thumbs.db', 'desktop.ini'),
        *('ann/._1.jpg', 'ann/.DS_Store', 'ann/Thumbs.db', 'ann/@eaDir/1.jpg'),
    ]
    found, remarks = opened(fill(tmp_path, [*own, *left]))
    assert found == {'ann': ['1.jpg'], 'bob': ['1.jpg']}
    assert len(remarks) == 1
    assert f': {len(left)} (' in remarks[0]
    assert caplog.messages == [f'faces: {tmp_path}: {remarks[0]}']


def test_every_still_image_counts_and_the_rest_is_told(tmp_path):
    counted = ['1.tif', '2.webp', '3.BMP', '4.gif', '5.pgm', '6.jp2', '7.jfif', '8.png']
    others = ['notes.txt', 'a.heic', 'b.HEIC', 'x', 'c.mp4']
    root = fill(tmp_path, [f'ann/{name}' for name in (*counted, *others)])
    fill(root, ['bob/a.heic', 'cy/more/1.jpg', 'loose.jpg', 'list.csv'])
    found, remarks = opened(root)
    assert found == {'ann': counted}
    remarks = '\n'.join(remarks)
    for told in (
        'images beside the folders of people: 1 (loose.jpg)',
        'folders inside the folders of people: 1 (cy/more)',
        'folders without an image: 2 (bob, cy)',
        'without the suffix of an image: 7 (3 .heic, 1 .mp4, 1 .txt, 1 without one, 1 .csv)',
        'GIF files: 1 (4.gif)',
        'HEIC photographs are not read: 3; convert them to JPEG',
    ):
        assert told in remarks


def test_spellings_of_one_person_in_one_folder(tmp_path):
    composed, apart = (unicodedata.normalize(form, 'Zo\u00eb') for form in ('NFC', 'NFD'))
    root = fill(
        tmp_path, [f'{composed}/1.jpg', f'{apart}/2.jpg', 'John_Doe/1.jpg', 'john_doe/1.jpg']
    )
    found, remarks = opened(root)
    assert found == {'John_Doe': ['1.jpg', '1.jpg'], apart: ['2.jpg', '1.jpg']}
    assert len(remarks) == 1
    assert ': 2 (' in remarks[0]


@pytest.mark.parametrize(
    ('names', 'found', 'hint'),
    [
        (['train.rec', 'train.idx'], 'train.rec and no images', 'train.rec itself'),
        (['train/ann/1.jpg', 'test/bob/1.jpg'], 'folders inside sub-folders', 'test'),
        (['ann/a.heic'], 'no images in sub-folders, but 1 .heic', None),
        (['.ann/1.jpg'], 'no images in sub-folders', None),
    ],
)
def test_nothing_to_read(tmp_path, names, found, hint):
    with pytest.raises(InputError) as caught:
        photo_folders.read(fill(tmp_path, names))
    assert caught.value.field == str(tmp_path)
    assert caught.value.found.startswith(found)
    assert hint is None or caught.value.hint.endswith(hint)
