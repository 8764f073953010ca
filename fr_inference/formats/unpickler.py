"""Interprets the pickles of checkpoints: builds tensors, plain containers and inert objects.

Python's own unpickler calls what a file names. This one never looks anything up: a global stays an
inert name, and only the handful of names in `_BUILDERS` has a meaning, given here. A call of any other
name gives an `Ignored`, which holds what the file says of the object. What a file can make it do is
bounded: opcodes outside the table, huge numbers and forward memo references are errors, and time and
memory grow no faster than the file. (A file needs only two bytes to mention a memoised value again, so
nothing here may walk, print or hash a value each time it is mentioned.) The source code in NVIDIA's
pickles is text, and too long to be decoded.

Source: the opcode descriptions of the standard library's `pickletools`.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from fr_inference import errors
from fr_inference.formats import bounds, pickle_names
from fr_inference.formats.opcodes import BLOCKS, MAX_OPERATIONS, TEXTS, Stream, operations
from fr_inference.formats.pickled import DTYPES, Global, Ignored, Module, Packed, Storage, TensorRef

_MAX_ARGUMENTS = 16
_MARK = object()


def loads(data: Stream, source: str) -> Any:
    """Interprets one pickle from the current position of `data`.

    Args:
      data: positioned at the start of a pickle, and after its end on return.
      source: the file, as errors call it.

    Returns:
      Dicts, lists, tuples, strings, numbers, None, memoryviews (bytes, and strings of over 4 KiB),
      `TensorRef`, `Storage`, `Packed`, `Module`, `Global`, `Ignored`. Every storage that is mentioned is
      added to `data.storages`.

    Raises:
      InputError: for a damaged pickle, or one that names what runs code; its field is `source`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about invalid escapes in names of the file
            return _interpret(data, source)
    except errors.InputError:
        raise
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, EOFError) as error:
        raise errors.InputError(
            source, f'a damaged pickle, or not a pickle ({bounds.brief(error)})'
        ) from error


def _interpret(data, source):
    stack: list[Any] = []
    memo: dict[str, Any] = {}  # keys are text: a file could choose integers whose hashes collide
    for name, argument in operations(data):
        data.allowance.operations -= 1
        if data.allowance.operations < 0:
            raise errors.InputError(
                source,
                'a pickle with too many operations',
                f'at most {MAX_OPERATIONS}, 40 per tensor',
            )
        if name == 'STOP':
            return stack.pop()
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            stack.append(argument)
        elif name in ('PUT', 'BINPUT', 'LONG_BINPUT'):
            memo[str(argument)] = stack[-1]
        elif name == 'MEMOIZE':
            memo[str(len(memo))] = stack[-1]
        elif name in ('GET', 'BINGET', 'LONG_BINGET'):
            stack.append(memo[str(argument)])
        elif name == 'GLOBAL':
            stack.append(_known(Global(*str(argument).split(' ', 1)), source))
        elif name == 'STACK_GLOBAL':
            second, first = stack.pop(), stack.pop()
            stack.append(_known(Global(_name(first), _name(second)), source))
        elif name == 'BINPERSID':
            stack.append(_persistent(stack.pop(), data.storages, source))
        elif name in _ACTIONS:
            _ACTIONS[name](stack, source)
        elif name not in ('PROTO', 'FRAME'):
            raise errors.InputError(
                source,
                f'pickle operation {name}, which no state dict needs',
                'tensors and plain containers only',
            )
    raise errors.InputError(source, 'a damaged or truncated pickle')


def _name(value: Any) -> str:
    if len(_typed(value, str)) > bounds.MAX_NAME:
        raise ValueError(f'a name of {len(value)} characters')
    return value


def _known(name, source):
    pickle_names.check(name, source)
    return name


def _storage_dtype(name):
    return DTYPES.get(name.name) if name.module in _STORAGE_MODULES else None


def _since_mark(stack):
    for index in range(len(stack) - 1, -1, -1):
        if stack[index] is _MARK:
            items = stack[index + 1 :]
            del stack[index:]
            return items
    raise ValueError('no mark on the stack')


def _tuple(size):
    def act(stack, _source):
        if len(stack) < size:
            raise ValueError('stack too short')
        items = stack[-size:]
        del stack[-size:]
        stack.append(tuple(items))

    return act


def _append(stack, _source):
    value = stack.pop()
    _listed(stack[-1]).append(value)


def _appends(stack, _source):
    values = _since_mark(stack)
    _listed(stack[-1]).extend(values)


def _listed(value):
    return value.items if isinstance(value, Ignored) else _typed(value, list)


def _set_item(stack, _source):
    value, key = stack.pop(), stack.pop()
    _mapped(stack[-1])[_key(key)] = value


def _set_items(stack, _source):
    items = _since_mark(stack)
    target = _mapped(stack[-1])
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_key(key)] = value


def _mapped(value):
    return value.entries if isinstance(value, Ignored) else _typed(value, dict)


def _add_items(stack, _source):
    values = _since_mark(stack)
    _typed(stack[-1], Ignored).items.extend(values)


def _frozen_set(stack, _source):
    values = _since_mark(stack)
    stack.append(Ignored())
    stack[-1].items.extend(values)


def _typed(value, kind):
    if not isinstance(value, kind):
        raise TypeError(f'found {type(value).__name__}, expected {getattr(kind, "__name__", kind)}')
    return value


def _key(key):
    """Returns a dict's key: short texts unchanged, because only they name tensors.

    Any other key is replaced by a new object, and never hashed: hashing nested tuples that share parts
    takes time exponential in the file's size, and a file can choose integers that collide in a dict.
    """
    return key if isinstance(key, str) and len(key) <= bounds.MAX_NAME else object()


def _dict_from_mark(stack, source):
    items = _since_mark(stack)
    stack.append({})
    stack.extend((_MARK, *items))
    _set_items(stack, source)


def _build(stack, _source):
    state = stack.pop()
    # Attributes of containers (an OrderedDict's _metadata) and of tensors hold no weights.
    if isinstance(_typed(stack[-1], dict | Ignored | TensorRef), Ignored):
        stack[-1].state = state


def _reduce(stack, _source):
    arguments, function = stack.pop(), stack.pop()
    name = function.name if isinstance(function, Ignored) else str(_typed(function, Global))
    if name not in _BUILDERS:
        stack.append(Ignored(name, arguments))
        return
    if len(_typed(arguments, tuple)) > _MAX_ARGUMENTS:
        raise ValueError(f'{name} called with {len(arguments)} arguments')
    stack.append(_BUILDERS[name](*arguments))


def _reduce_with_names(stack, source):
    named = stack.pop()
    _reduce(stack, source)
    if isinstance(stack[-1], Ignored):
        stack[-1].arguments = (stack[-1].arguments, named)


def _persistent(saved, storages, source):
    if len(_typed(saved, tuple)) == 4 and saved[0] == 'module' and isinstance(saved[1], Global):
        return saved[1]  # the class of a module, beside whose name the older format keeps its code
    if len(saved) < 5 or saved[0] != 'storage' or not isinstance(saved[1], Global):
        raise errors.InputError(source, 'an unknown reference to stored data')
    dtype = _storage_dtype(saved[1])
    if dtype is None:
        raise errors.InputError(source, f'unknown storage type {saved[1]}')
    if len(saved) > 5 and saved[5] is not None:
        raise errors.InputError(
            source,
            'a storage that is a view of another, which only torch before 0.4 wrote',
            hint='save it again with a newer torch',
        )
    stored = Storage(_name(saved[2]), dtype, _size(saved[4]))
    storages[stored.key] = stored
    return stored


def rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> TensorRef:
    """Returns a view of a storage.

    Raises:
      ValueError, TypeError: when it exceeds its storage. (The size of a `Packed` one is unknown here.)
    """
    _typed(storage, Storage | Packed)
    if len(_typed(shape, tuple)) != len(_typed(strides, tuple)) or len(shape) > 8:
        raise ValueError(f'tensor with {len(shape)} sizes and {len(strides)} strides')
    elements, last = 1, _size(offset)
    for number in (*shape, *strides):
        _size(number)
    for size, stride in zip(shape, strides, strict=True):
        elements *= size
        last += (size - 1) * stride
    count = storage.count if isinstance(storage, Storage) else len(storage.content)
    if elements > count or (elements and last >= count):
        raise ValueError(
            f'a tensor of shape {list(shape)} does not fit its storage of {count} numbers'
        )
    return TensorRef(storage, offset, shape, strides)


def _size(number):
    if type(number) is not int or not 0 <= number < bounds.MAX_NUMBER:
        found = f'of {number.bit_length()} bits' if type(number) is int else type(number).__name__
        raise ValueError(f'found a number {found}, expected a size from 0 to 2**48')
    return number


def _rebuild_tensor(storage, offset, shape, strides, _gradient=False, _hooks=None, metadata=None):
    if metadata:  # marks a view of the negative or conjugate numbers
        return Ignored(_REBUILD, (storage, metadata))
    return rebuild_tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *_rest):
    return _typed(tensor, TensorRef | Ignored)


def _rebuild_of_type(function, kind, arguments, _state):
    if str(function) == _REBUILD and str(kind) in _PLAIN_TENSORS:
        return _rebuild_tensor(*_typed(arguments, tuple)[:_MAX_ARGUMENTS])
    return Ignored(f'{kind}'[: bounds.MAX_NAME] if isinstance(kind, Global) else '', arguments)


def _object(kind, _base=None, value=None, *_rest):
    made = Ignored(str(_typed(kind, Global)), ())
    if isinstance(value, dict):
        made.entries = value
    return made


def _packed(content):
    if isinstance(content, memoryview):
        return Packed(content)
    return _typed(content, Packed)


def _encode(text, encoding='utf-8'):
    if encoding != 'latin1' or not isinstance(text, str | memoryview):
        return Ignored('_codecs.encode')
    return Packed(text, text=True)


def _module(meta):
    return Module(_typed(_typed(meta, dict).get('state'), dict))


def _ordered_dict(items=None):
    if items is None:
        return {}
    built = {_key(key): value for key, value in _typed(items, list)}
    items.clear()  # so that a second mention of it costs nothing
    return built


_STORAGE_MODULES = ('torch', 'torch.cuda', 'torch.storage')
_REBUILD = 'torch._utils._rebuild_tensor_v2'
_PLAIN_TENSORS = ('torch.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer')

_BUILDERS: Mapping[str, Callable[..., Any]] = {
    _REBUILD: _rebuild_tensor,
    'torch._utils._rebuild_tensor': rebuild_tensor,
    'torch._utils._rebuild_parameter': _rebuild_parameter,
    'torch._utils._rebuild_parameter_with_state': _rebuild_parameter,
    'torch._tensor._rebuild_from_type_v2': _rebuild_of_type,
    'torch.storage._load_from_bytes': _packed,
    'torch_utils.persistence._reconstruct_persistent_obj': _module,
    'collections.OrderedDict': _ordered_dict,
    'collections.defaultdict': lambda *_default: {},
    'copyreg._reconstructor': _object,
    'copy_reg._reconstructor': _object,
    'dnnlib.util.EasyDict': lambda: {},
    '_codecs.encode': _encode,
}

_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    'NONE': lambda: None,
    'NEWTRUE': lambda: True,
    'NEWFALSE': lambda: False,
    'EMPTY_DICT': dict,
    'EMPTY_LIST': list,
    'EMPTY_TUPLE': tuple,
    'EMPTY_SET': Ignored,
    'MARK': lambda: _MARK,
}

_LITERALS = frozenset(
    (
        *('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT'),
        *('UNICODE', 'STRING', 'BINSTRING', 'SHORT_BINSTRING', *TEXTS, *BLOCKS),
    )
)

_ACTIONS: Mapping[str, Callable[[list[Any], str], None]] = {
    'POP': lambda stack, _source: stack.pop() and None,
    'TUPLE': lambda stack, _source: stack.append(tuple(_since_mark(stack))),
    'LIST': lambda stack, _source: stack.append(_since_mark(stack)),
    'DICT': _dict_from_mark,
    'TUPLE1': _tuple(1),
    'TUPLE2': _tuple(2),
    'TUPLE3': _tuple(3),
    'APPEND': _append,
    'APPENDS': _appends,
    'SETITEM': _set_item,
    'SETITEMS': _set_items,
    'ADDITEMS': _add_items,
    'FROZENSET': _frozen_set,
    'BUILD': _build,
    'REDUCE': _reduce,
    'NEWOBJ': _reduce,
    'NEWOBJ_EX': _reduce_with_names,
}
