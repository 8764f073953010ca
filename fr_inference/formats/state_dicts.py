"""Reads tensors from the checkpoint files of strangers: no byte is executed, sizes are bounded.

Formats: PyTorch's zip archive and its older sequence of pickles (`.pt`, `.pth`, `.ckpt`, without
torch installed), `.safetensors`, and the pickled modules of NVIDIA's generators (`.pkl`, as
stylegan2-ada-pytorch's `persistence` writes them).
"""

import os
import pathlib

from fr_inference import errors
from fr_inference.formats import (
    bounds,
    legacy_torch,
    regular_files,
    safetensors_file,
    torch_zip,
    unpickler,
)
from fr_inference.formats.named_tensors import StateDict, state_dict
from fr_inference.formats.opcodes import Stream
from fr_inference.formats.pickled import Module

_PICKLES = (b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')  # PROTO and the protocol


def read_tensors(path: str | os.PathLike, *, nested: bool = False) -> StateDict:
    """Reads the state dict of a checkpoint file.

    Args:
      path: `.pt`, `.pth`, `.ckpt` in either PyTorch format, or `.safetensors`; recognised by content.
      nested: all tensors under string keys, named from the top ('g_ema.style.1.weight'), in place of
        the largest state dict; NVIDIA's `.pkl` is read too ('G_ema.mapping.fc0.weight').

    Returns:
      The tensors as read-only arrays of the file's own shapes and dtypes.

    Raises:
      InputError: whose field is the path, for whatever is not a readable state dict.
    """
    path = pathlib.Path(path)
    source = str(path)
    try:
        size = regular_files.size_of(path, 'a checkpoint file')
        with open(path, 'rb') as file:
            start = file.read(16)
            if start[:4] == b'PK\x03\x04':
                return torch_zip.read(file, size, source, nested)
            if start[:2] in _PICKLES:
                return _read_pickle(file, source, nested)
        if start[8:9] == b'{' or path.suffix == '.safetensors':
            return StateDict(safetensors_file.read(path))
    except OSError as error:
        words = error.strerror or bounds.brief(error)
        raise errors.InputError(source, f'a file that cannot be read: {words}') from error
    files = "NVIDIA's .pkl, a PyTorch .pt" if nested else 'a PyTorch .pt/.pth/.ckpt'
    raise errors.InputError(
        source,
        'a file of another kind, not a checkpoint',
        f'{files}, a .safetensors file or a native folder',
    )


def _read_pickle(file, source, nested):
    content = regular_files.mapped(file)
    stream = Stream(content)
    first = unpickler.loads(stream, source)
    if first != legacy_torch.MAGIC:
        modules = nested and any(isinstance(item, Module) for item in legacy_torch.items(first))
        if not modules:
            raise errors.InputError(
                source,
                'a plain pickle, '
                + ('without a network' if nested else 'not a PyTorch checkpoint'),
                hint='nothing was run',
            )
        return state_dict(first, lambda _storage: content[:0], stream.allowance, source, nested)
    value, blocks = legacy_torch.read(stream, content, source)

    def data(storage):
        return blocks.get(storage.key, content[:0])

    return state_dict(value, data, stream.allowance, source, nested)
