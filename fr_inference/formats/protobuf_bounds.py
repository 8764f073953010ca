"""Limits of a protobuf message, checked before the library that parses it takes memory.

An empty message takes two bytes in the file and a hundred or more in memory, so the size of a file
does not bound the memory that parsing takes. Source of the encoding:
https://protobuf.dev/programming-guides/encoding.
"""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from fr_inference import errors
from fr_inference.formats import bounds

MAX_FIELDS = 400_000  # of a whole file; each takes a few hundred bytes of memory at most
MAX_DEPTH = 32  # the library itself allows 100

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_PACKED = 128  # numbers of a packed list that count as one field


def check(content: memoryview, message: Descriptor, source: str) -> None:
    """Counts the fields of a message and of all messages inside it, without parsing any.

    Args:
      content: the encoded message.
      message: its type.
      source: the file, as errors call it.

    Raises:
      InputError: for too many fields, too deep a nesting, or bytes that are not such a message.
    """
    waiting = [(0, len(content), message, 0)]
    count = 0
    while waiting:
        position, end, kind, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _refused(source, f'messages nested more than {MAX_DEPTH} deep')
        while position < end:
            tag, position = _varint(content, position, end, source)
            field = kind.fields_by_number.get(tag >> 3)
            start, position = _skipped(content, position, end, tag & 7, source)
            count += 1
            if field is not None and tag & 7 == _BYTES:
                if field.type == FieldDescriptor.TYPE_MESSAGE:
                    waiting.append((start, position, field.message_type, depth + 1))
                elif field.type == FieldDescriptor.TYPE_STRING:
                    _check_text(content[start:position], source)
                elif field.type != FieldDescriptor.TYPE_BYTES:
                    count += _packed(position - start, field)
            if count > MAX_FIELDS:
                raise _refused(source, f'more than {MAX_FIELDS} fields')


def _check_text(content, source):
    """Raises for text fields that the library would return as bytes."""
    try:
        str(content, 'utf-8')
    except UnicodeDecodeError as error:
        raise _refused(source, 'a damaged file, with a text that is not UTF-8') from error


def _packed(length, field):
    """Returns what a packed list counts as: floats take no more memory than they do in the file."""
    plain = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
    return 0 if field.type in plain else length // _PACKED


def _skipped(content, position, end, wire, source):
    """Returns the start and end of the value after a tag."""
    if wire == _VARINT:
        return position, _varint(content, position, end, source)[1]
    length = {_EIGHT: 8, _FOUR: 4}.get(wire)
    if wire == _BYTES:
        length, position = _varint(content, position, end, source)
    if length is None or position + length > end:
        raise _refused(
            source, 'a truncated file, or one of another kind', 'copy or download it again'
        )
    return position, position + length


def _varint(content, position, end, source):
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _refused(source, 'a truncated file, or one of another kind', 'copy or download it again')


def _refused(source, found, hint=None):
    return errors.InputError(
        source, found, f'an ONNX model of at most {bounds.MAX_TENSORS} tensors', hint
    )
