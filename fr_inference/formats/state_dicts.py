"""Reads tensors from untrusted checkpoint files: nothing is executed, and sizes are bounded.

Formats: PyTorch's zip archive and its older sequence of pickles (`.pt`, `.pth`, `.ckpt`, without
torch installed), with a state dict or a module pickled whole, TorchScript's archives, plain pickles of
tensors or NumPy arrays, NVIDIA's pickles of generators, `.safetensors` and `.npz`.
"""

import os
import pathlib

from fr_inference import errors
from fr_inference.formats import (
    bounds,
    kinds,
    legacy_torch,
    regular_files,
    safetensors_file,
    torch_zip,
    unpickler,
)
from fr_inference.formats.named_tensors import StateDict, state_dict
from fr_inference.formats.opcodes import Stream

_PICKLES = (b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')  # PROTO and the protocol


def read_tensors(path: str | os.PathLike) -> StateDict:
    """Reads all named tensors of a checkpoint file.

    Args:
      path: any of the formats; recognised by content, not by name.

    Returns:
      The tensors as read-only arrays of the file's own shapes and dtypes, by names from the top.

    Raises:
      InputError: for a file without readable tensors; its field is the path.
    """
    path = pathlib.Path(path)
    source = str(path)
    try:
        size = regular_files.size_of(path, 'a checkpoint file')
        with open(path, 'rb') as file:
            start = file.read(kinds.START)
            if start[:4] == b'PK\x03\x04':
                return torch_zip.read(file, size, source)
            if start[:2] in _PICKLES:
                return _read_pickle(file, source)
        other = kinds.of_bytes(start)
        if other is None and (start[8:9] == b'{' or path.suffix == '.safetensors'):
            return StateDict(safetensors_file.read(path))
    except OSError as error:
        words = error.strerror or bounds.brief(error)
        raise errors.InputError(source, f'a file that cannot be read: {words}') from error
    unknown = 'a file of another kind, not a checkpoint', kinds.of_suffix(path.suffix)
    kind, hint = other or unknown
    raise errors.InputError(
        source,
        kind,
        'a PyTorch .pt/.pth/.ckpt, an .onnx, .safetensors or .npz file, '
        "NVIDIA's .pkl or a native folder",
        hint,
    )


def _read_pickle(file, source):
    content = regular_files.mapped(file)
    stream = Stream(content)
    first = unpickler.loads(stream, source)
    if first != legacy_torch.MAGIC:
        return state_dict(first, lambda _storage: content[:0], stream.allowance, source)
    value, blocks = legacy_torch.read(stream, content, source)

    def data(storage):
        return blocks.get(storage.key, content[:0])

    return state_dict(value, data, stream.allowance, source)
