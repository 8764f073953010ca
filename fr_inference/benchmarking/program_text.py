"""Reads the text of a compiled program: the bytes that its operations move, and its collectives.

The operands and results of every operation that runs are counted once and in full, even if an operation
reads only a part of an operand. Arrays that a TPU's compiler keeps in the chip's vector memory (128 MiB
on a v5e) do not pass through main memory and are not counted; XLA's own analysis (`bytes accessed`)
counts them.
"""

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping

# Name, type and operation; the operands and attributes follow.
_HEAD = re.compile(r'\s*(?:ROOT )?%?([\w.\-]+) = ')
# Element type, sides, layout.
_ARRAY = re.compile(r'([a-z]+[0-9]*(?:e[0-9]+m[0-9]+[a-z]*)?)\[([0-9,]*)\](\{[^}]*\})?')
# A layout's memory space: none for the chip's main memory, 1 for a TPU's vector memory.
_ELSEWHERE = re.compile(r'S\([1-9]\d*\)')
_BEGIN = re.compile(r'(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_COLLECTIVE = re.compile(
    r' (all-reduce|all-gather|all-to-all|ragged-all-to-all|collective-permute|collective-broadcast'
    r'|reduce-scatter)(?:-start)?\('
)
# Operations that move nothing, or whose bytes are counted where they start.
_FREE = {
    *(
        'parameter',
        'get-tuple-element',
        'tuple',
        'bitcast',
        'constant',
        'after-all',
        'partition-id',
    ),
    *('replica-id', 'opt-barrier', 'domain'),
}
# Workspaces of cuBLAS and cuDNN are among the results, but hold no content: 32 MiB for a small product.
_SCRATCH = re.compile(r'\b[su]8\[\d+\]')
_LIBRARY = 'custom_call_target="__cu'
_INSIDE = {'while': 'body', 'call': 'to_apply', 'async-start': 'calls'}


@dataclasses.dataclass(frozen=True)
class Line:
    """One operation.

    Attributes:
      name: of the result.
      size: bytes of main memory in the result.
      copied: bytes that an asynchronous copy begins to move to or from main memory; 0 for others.
      operation: such as 'fusion'.
      operands: names of the operands.
      rest: attributes.
    """

    name: str
    size: int
    copied: int
    operation: str
    operands: tuple[str, ...]
    rest: str


def size(type_text: str) -> int:
    """Returns the bytes of a type that are in main memory.

    >>> size('(bf16[2,3]{1,0:T(8,128)(2,1)}, f32[])'), size('pred[7]'), size('token[]')
    (16, 7, 0)
    >>> size('(bf16[2,3]{1,0:T(8,128)(2,1)S(1)}, f32[])')
    4
    """
    return sum(count for count, elsewhere in _arrays(type_text) if not elsewhere)


def _arrays(type_text):
    """(bytes, whether they are in another memory) of each array of a type."""
    for dtype, sides, layout in _ARRAY.findall(type_text):
        count = 1
        for side in filter(None, sides.split(',')):
            count *= int(side)
        yield -(-count * _bits(dtype) // 8), bool(_ELSEWHERE.search(layout))


def _copied(operation, type_text):
    """The bytes moved by `copy-start`, of type (to, from, ...), and `slice-start`: ((from), to, ...)."""
    if operation not in ('copy-start', 'slice-start'):
        return 0
    (first, first_away), (second, second_away) = list(_arrays(type_text))[:2]
    return (first if operation == 'copy-start' else second) * (2 - first_away - second_away)


def _bits(dtype):
    """Bits of one number by the name of its type, such as 8 for f8e4m3fn."""
    if dtype == 'pred':
        return 8
    found = re.match(r'(?:bf|[a-z])(\d+)', dtype)
    return int(found[1]) if found else 0


def computations(text: str) -> tuple[str, dict[str, list[Line]]]:
    """Parses a program's text: (name of the entry, computation -> its operations in order).

    Raises:
      ValueError: for a text without an entry.
    """
    found: dict[str, list[Line]] = {}
    entry, current = '', None
    for raw in text.splitlines():
        begin = _BEGIN.match(raw)
        if begin:
            current = found.setdefault(begin[2], [])
            entry = begin[2] if begin[1] else entry
        elif raw.startswith('}'):
            current = None
        elif current is not None and (line := _line(raw)):
            current.append(line)
    if not entry:
        raise ValueError('the text of a compiled program without an ENTRY')
    return entry, found


def _line(raw):
    head = _HEAD.match(raw)
    if not head:
        return None
    rest = raw[head.end() :]
    end = _closing(rest, 0) + 1 if rest.startswith('(') else rest.find(' ')
    type_text, rest = rest[:end], rest[end:].strip()
    operation, _, _ = rest.partition('(')
    inside = rest[len(operation) :]
    stop = _closing(inside, 0)
    operands = tuple(re.findall(r'%([\w.\-]+)', inside[:stop]))
    attributes = inside[stop + 1 :]
    if _LIBRARY in attributes and type_text.startswith('('):
        type_text = _SCRATCH.sub('', type_text)
    copied = _copied(operation, type_text)
    return Line(head[1], size(type_text), copied, operation, operands, attributes)


def _closing(text, start):
    """Position of the bracket that closes the one at `start`."""
    depth = 0
    for position in range(start, len(text)):
        depth += {'(': 1, ')': -1}.get(text[position], 0)
        if depth == 0:
            return position
    return len(text)


def bytes_moved(text: str) -> int:
    """Returns the bytes of main memory that a program reads and writes, with all rounds of its loops.

    A loop whose number of rounds is unknown to the compiler is counted once.
    """
    entry, found = computations(text)
    return _moved(entry, found)


def _moved(name, found):
    total, sizes = 0, {}
    for line in found.get(name, []):
        sizes[line.name] = line.size
        if line.operation in _FREE or line.operation.endswith(('-done', '-update')):
            continue
        if line.operation in _INSIDE:
            inner = re.search(rf'{_INSIDE[line.operation]}=%?([\w.\-]+)', line.rest)
            trips = _TRIPS.search(line.rest) if line.operation == 'while' else None
            total += (int(trips[1]) if trips else 1) * (_moved(inner[1], found) if inner else 0)
        elif line.operation == 'conditional':
            total += max((_moved(branch, found) for branch in _branches(line.rest)), default=0)
        elif line.operation in ('copy-start', 'slice-start'):
            total += line.copied
        else:
            total += line.size + sum(sizes.get(operand, 0) for operand in line.operands)
    return total


def _branches(rest) -> Iterator[str]:
    listed = re.search(r'branch_computations=\{([^}]*)\}', rest)
    if listed:
        yield from re.findall(r'%?([\w.\-]+)', listed[1])
    yield from re.findall(r'(?:true|false)_computation=%?([\w.\-]+)', rest)


def collectives(text: str) -> Mapping[str, int]:
    """Returns kind -> number of collective operations in the text, without zeros.

    >>> collectives('  %a = f32[] all-reduce-start(%b), to_apply=%add')
    {'all-reduce': 1}
    """
    return dict(collections.Counter(_COLLECTIVE.findall(text)))
