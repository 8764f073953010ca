"""The markers of a JPEG file: how many scans it has, and whether its end is there.

Nothing is decoded. Each scan of a progressive file adds detail to the whole picture, so a decoder goes
over all pixels once per scan.

Source: ITU-T T.81 (1992), annexes B and G.
"""

import dataclasses
import re

_MARK = re.compile(rb'\xff([^\x00\xff\xd0-\xd7])')  # not restarts: a scan may have thousands
_START, _END, _SCAN, _PROGRESSIVE = 0xD8, 0xD9, 0xDA, 0xC2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # these three are tables
_ALONE = {*range(0x01, 0xC0), _START}  # without a length
_MOST_MARKS = 10_000  # a colour profile and previews may take some hundred
_COEFFICIENTS = 64  # of a block of 8 x 8 pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Marks:
    """The markers in a file of one picture.

    Attributes:
      scans: how many begin.
      ended: whether the end marker follows.
      whole: number of usable bytes of a file without an end, which excludes a truncated header.
      coarse: whether a progressive file ends before it has every coefficient of its first component
        (the luminance), except for the last bit. That takes about half of the file's bytes.
    """

    scans: int
    ended: bool
    whole: int
    coarse: bool


def is_jpeg(content: bytes | memoryview) -> bool:
    """Returns whether a file begins as a JPEG."""
    return bytes(content[:3]) == b'\xff\xd8\xff'


def read(content: bytes | memoryview) -> Marks:
    """Returns the markers of a JPEG.

    Raises:
      ValueError: for more than 10,000 markers before its end.
    """
    position, scans, ended, progressive = 2, 0, False, False
    whole = len(content)
    first, known, running = None, set[int](), set[int]()  # coefficients of component `first`
    for _ in range(_MOST_MARKS):
        found = _MARK.search(content, position)
        if found is None or found[1][0] == _END:
            ended = found is not None
            break
        mark, position = found[1][0], found.end()
        if mark in _ALONE:
            continue
        length = int.from_bytes(content[position : position + 2], 'big')
        segment = bytes(content[position + 2 : position + max(length, 2)])
        position += max(length, 2)
        if position > whole:
            whole = found.start()
            known |= running
            break
        if mark in _FRAMES:
            progressive, first = mark == _PROGRESSIVE, segment[6:7]
        elif mark == _SCAN:
            scans += 1
            known |= running
            running = _coefficients(segment, first)
    else:
        raise ValueError(f'more than {_MOST_MARKS:,} markers')
    known |= running if ended else set()
    coarse = progressive and len(known) < _COEFFICIENTS
    return Marks(scans=scans, ended=ended, whole=whole, coarse=coarse)


def _coefficients(segment, first):
    """Returns the coefficients of component `first` that a scan completes, except for their last bit."""
    count = segment[0] if segment else 0
    if first not in [segment[place : place + 1] for place in range(1, 1 + 2 * count, 2)]:
        return set()
    limits = segment[
        1 + 2 * count : 4 + 2 * count
    ]  # first, last, and bits that came before and are missing
    if len(limits) < 3 or limits[2] & 15 > 1:
        return set()
    return {*range(limits[0], min(limits[1], 63) + 1)}
