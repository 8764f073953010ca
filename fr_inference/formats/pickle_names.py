"""Which names a pickle may mention.

This check does not protect the machine: `unpickler` imports and calls nothing, whatever the name. But a
checkpoint that names a function that runs programs or code is an attack, and the user should be told.
Names of the standard library, which has such functions, are therefore refused, except for classes of
plain values. Classes and functions of other packages are common in checkpoints, and stay inert.
"""

import sys

from fr_inference import errors
from fr_inference.formats.pickled import Global

# Modules whose classes hold plain values.
_MODULES = frozenset(
    (
        *('argparse', 'collections', 'collections.abc', 'datetime', 'decimal', '_decimal', 'enum'),
        *('fractions', 'ipaddress', 'math', 'numbers', 'pathlib', 'pathlib._local', 'typing'),
        *('uuid', 'zoneinfo'),
    )
)
_BUILTINS = (
    *('Ellipsis', 'bool', 'bytearray', 'bytes', 'complex', 'dict', 'float', 'frozenset', 'int'),
    *(
        'list',
        'object',
        'range',
        'set',
        'slice',
        'str',
        'tuple',
        'type',
        'long',
        'unicode',
        'xrange',
    ),
    # An Enum's member in Python 3.11, a bound method.
    'getattr',
)
_NAMES = frozenset(
    (
        *(f'{module}.{name}' for module in ('builtins', '__builtin__') for name in _BUILTINS),
        *(
            f'{module}.{name}'
            for module in ('copyreg', 'copy_reg')
            for name in ('_reconstructor', '__newobj__', '__newobj_ex__')
        ),
        *('_codecs.encode', 'array.array', 'array._array_reconstructor', 'functools.partial'),
        *('logging.getLogger', 'random.Random', 're._compile', 'time.struct_time'),
        *('types.MappingProxyType', 'types.SimpleNamespace'),
    )
)
# Modules of the standard library that older Pythons had.
_FORMER = frozenset(
    (
        *('__builtin__', 'cPickle', 'commands', 'copy_reg', 'distutils', 'exceptions', 'imp'),
        *('pipes', 'popen2'),
    )
)
_LIBRARY = sys.stdlib_module_names | _FORMER
# Names that run programs or code, whatever the package.
_RUNS = frozenset(
    (
        *('Popen', 'call', 'check_output', 'eval', 'exec', 'execfile', 'import_module', 'load'),
        *('loads', 'popen', 'read_pickle', 'run', 'runstring', 'spawn', 'system', 'unsafe_load'),
    )
)


def check(name: Global, source: str) -> None:
    """Raises `InputError` for a name that a checkpoint does not need.

    Args:
      name: the name in the pickle.
      source: the file, as errors call it.
    """
    if not name.module or not name.name:
        raise ValueError('a global without a name')
    if str(name) in _NAMES:
        return
    library = name.module.partition('.')[0] in _LIBRARY
    parts = name.name.split('.')
    hidden = any(part.startswith('__') and part.endswith('__') for part in parts)
    if hidden or parts[-1] in _RUNS or (library and name.module not in _MODULES):
        raise errors.InputError(
            source,
            f'a pickle that names {errors.shown(str(name))[:80]!r}',
            'weights, and plain values beside them',
            'nothing was run; weights need no such name, so check where the file comes from',
        )
