"""Pseudonyms by a keyed hash: only the owner of the key can find out who is meant.

Faces are renamed when they are opened, and sorted by the new names, because the order of a folder
reveals its names. All later measurements, computations and files have only the pseudonyms, so no
translation can be forgotten. The same key gives the same pseudonyms, so that results can be joined.

Source: HMAC-SHA-256, RFC 2104 and FIPS 198-1; pseudonyms in the sense of the GDPR, article 4 (5).
"""

import dataclasses
import functools
import hmac
import itertools
import os
import pathlib
import re
import secrets
from collections.abc import Mapping

from fr_inference import addresses, errors
from fr_inference.config import Reading
from fr_inference.data import sources, spellings
from fr_inference.data.faces import Faces
from fr_inference.formats.images import BadImageError

_BYTES = 32  # bytes of a new key
_LEAST_BYTES = 16
_MOST_BYTES = 4096
_DIGITS = 12
_DRAWN = 'procedural:'  # drawn images, which checks of photographs skip
# The start of a remark, without the examples, which name people and files.
_COUNTED = re.compile(r'[^(\d]*: \d+')


def of(name: str, key: bytes) -> str:
    """Returns the pseudonym of a person: p- and the first 12 hex digits of HMAC-SHA-256.

    All spellings of a name that count as one person (`spellings.key`) have one pseudonym.

    >>> of('Ann_Smith', b'a key of 16 byte') == of('ann smith', b'a key of 16 byte')
    True

    Args:
      name: of the person, as in the folder or manifest.
      key: of `read_key`.
    """
    return f'p-{_digits(spellings.key(name), key)}'


def who(pseudonym: str, key_file: str | os.PathLike, faces: str, **reading: str) -> str:
    """Returns the person for a pseudonym, or the path for that of an image (`p-.../...`).

    Args:
      pseudonym: as in a report.
      key_file: the key file of the report.
      faces: any source that has the person, for `sources.open_faces`.
      **reading: options of tfds sets, as of `sources.open_faces`.

    Raises:
      InputError: when nobody in the source has this pseudonym.
    """
    key = read_key(key_file, make=False)
    source = sources.open_faces(faces, reading=Reading(**reading))
    for name, path in zip(source.identities, source.paths, strict=True):
        person = of(name, key)
        if pseudonym == person:
            return name
        if person in pseudonym and pseudonym == _image(person, path, key):
            return path
    raise errors.InputError(
        'pseudonym', f'{pseudonym!r:.80}', f'one of a person or an image in {faces!s:.200}'
    )


def read_key(path: str | os.PathLike, *, make: bool = True) -> bytes:
    """Returns the key: the bytes of a file, without the final line break.

    Args:
      path: of a file on this machine.
      make: whether to create a missing file: 32 random bytes as hex, readable only by its owner.

    Raises:
      InputError: for a key of fewer than 16 bytes, or a file that cannot be read or created.
    """
    file = _local(path)
    try:
        if make and not os.path.lexists(file):
            return _made(file)
        if not file.is_file():
            raise errors.InputError(
                'pseudonyms',
                f'{str(path)!r:.200}, which is not a file' * os.path.lexists(file)
                or f'{str(path)!r:.200}, which does not exist',
                'a file with a key',
            )
        with open(file, 'rb') as opened:
            key = opened.read(_MOST_BYTES + 1).rstrip(b'\r\n')
    except OSError as error:
        raise errors.InputError(
            'pseudonyms',
            f'{str(path)!r:.200}, which cannot be read or created ({error.strerror})',
            'a file with a key',
        ) from error
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise errors.InputError(
            'pseudonyms',
            f'a key of {len(key) if len(key) <= _MOST_BYTES else f"more than {_MOST_BYTES}"} bytes',
            f'{_LEAST_BYTES} to {_MOST_BYTES}',
            'name a file that does not exist, to create a new key',
            inside=str(path),
        )
    return key


def check_apart(path: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Checks that a key is not inside the folder of the results, with which it might be passed on.

    Raises:
      InputError: for a file inside the folder.
    """
    file, out = (pathlib.Path(os.path.realpath(one)) for one in (_local(path), folder))
    if file.is_relative_to(out):
        raise errors.InputError(
            'pseudonyms',
            f'{str(path)!r:.200}, inside the folder of the results',
            'a file elsewhere',
        )


def renamed(given: Mapping[str, Faces], key: bytes) -> dict[str, Faces]:
    """Returns the sources under pseudonyms, each sorted by them.

    A path becomes the person's pseudonym and the keyed hash of the original path. Remarks on files
    keep only their counts. An unreadable image is named by its new path. Further columns of a
    manifest stay unchanged, unless they contain somebody's name.

    Args:
      given: name -> faces.
      key: of `read_key`.

    Raises:
      InputError: when two people, or two images of one person, have the same pseudonym.
    """
    people: dict[str, str] = {}
    found = {}
    sides = {side: dict.fromkeys(faces.identities) for side, faces in given.items()}
    spelled = {_words(name) for names in sides.values() for name in names if not name.isdecimal()}
    for side, faces in given.items():
        names = {name: of(name, key) for name in sides[side]}
        for name, pseudonym in names.items():
            same = spellings.key(name)
            if people.setdefault(pseudonym, same) != same:
                raise _twice(pseudonym)
        columns = {
            column: _without_names(values, spelled, key) for column, values in faces.columns.items()
        }
        found[side] = _renamed(dataclasses.replace(faces, columns=columns), names, key)
    return found


def _words(text):
    return tuple(re.findall(r'\w+', spellings.key(text)))


def _without_names(values, names, key):
    """Further columns of a manifest; a value that contains somebody's name becomes a pseudonym."""
    longest = max(map(len, names), default=0)

    def shown(value):
        words = _words(value)
        return any(
            words[start : start + count] in names
            for start in range(len(words))
            for count in range(1, min(longest, len(words) - start) + 1)
        )

    changed = {value: of(value, key) if shown(value) else value for value in dict.fromkeys(values)}
    return [changed[value] for value in values]


def _renamed(faces, names, key):
    paths = [
        _image(names[name], path, key)
        for name, path in zip(faces.identities, faces.paths, strict=True)
    ]
    order = sorted(range(len(paths)), key=paths.__getitem__)
    paths = [paths[row] for row in order]
    for path, other in itertools.pairwise(paths):
        if path == other:
            raise _twice(path)
    ordered = faces.select(order)
    calls = {
        name: functools.partial(_unnamed, getattr(ordered, name), tuple(paths))
        for name in ('read', 'digest', 'encoded')
    }
    return dataclasses.replace(
        ordered,
        identities=tuple(names[name] for name in ordered.identities),
        paths=tuple(paths),
        remarks=tuple(_without_examples(remark) for remark in faces.remarks),
        **calls,
    )


def _image(person, path, key):
    return f'{_DRAWN if path.startswith(_DRAWN) else ""}{person}/{_digits(path, key)}'


def _digits(text, key):
    return hmac.digest(key, text.encode(errors='surrogatepass'), 'sha256').hex()[:_DIGITS]


def _unnamed(call, paths, index):
    """Returns the result of `call`; hides the file's name and quotations of it from errors."""
    try:
        return call(index)
    except BadImageError:
        raise BadImageError(
            paths[index], 'an image that cannot be read', 'one that can'
        ) from None  # a traceback would show it


def _without_examples(remark):
    counted = _COUNTED.match(remark)
    return counted[0] if counted else 'a remark that was shown when the faces were opened'


def _twice(pseudonym):
    return errors.InputError(
        'pseudonyms', f'{pseudonym} for two', 'one each', 'name another key file'
    )


def _local(path):
    if addresses.is_address(path):
        raise errors.InputError('pseudonyms', f'{path!s:.200}', 'a file of this machine')
    return pathlib.Path(path)


def _made(file):
    key = secrets.token_hex(_BYTES).encode()
    # Never overwrite a key that another run created meanwhile: its pseudonyms could not be resolved
    # again.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, 'wb') as opened:
        opened.write(key + b'\n')
    return key
