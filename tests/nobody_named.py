"""Looks for names in everything that lies in a folder, whatever it is packed in."""

import gzip
import io
import json
import pathlib
import zipfile
import zlib
from collections.abc import Collection, Iterator

import numpy as np


def named_in(folder: pathlib.Path, names: Collection[str]) -> list[tuple[str, str]]:
    """Returns (file, name) for each name that a file's bytes or its path hold, in any usual encoding."""
    wanted = {
        name: {form for text in _spellings(name) for form in _encoded(text)} for name in names
    }
    found = []
    for path in sorted(folder.rglob('*')):
        where = path.relative_to(folder).as_posix()
        contents = [where.encode(errors='surrogateescape')]
        if path.is_file():
            contents += _contents(path.read_bytes())
        found += [
            (where, name)
            for name, forms in wanted.items()
            if any(form in content.lower() for content in contents for form in forms)
        ]
    return found


def _spellings(name):
    return {name, name.replace('_', ' '), name.replace(' ', '_')}


def _encoded(text):
    text = text.lower()
    yield from (text.encode('utf-8', errors='surrogatepass'), text.encode('utf-32-le'))
    yield json.dumps(text)[1:-1].encode()
    yield text.encode('utf-16-le', errors='surrogatepass')


def _contents(data: bytes) -> Iterator[bytes]:
    """Yields the bytes, and those of what is packed in them."""
    yield data
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                part = archive.read(name)
                yield part
                if name.endswith('.npy'):
                    yield '\n'.join(map(str, np.load(io.BytesIO(part)).ravel()[:9999])).encode(
                        errors='surrogatepass'
                    )
    for unpack in (gzip.decompress, zlib.decompress):
        try:
            yield unpack(data)
        except (OSError, EOFError, zlib.error):
            continue
