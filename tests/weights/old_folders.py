"""Native folders that somebody changed, and those of earlier versions, with an Orbax folder."""

import json
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from fr_inference.weights import native_folders


def change(file: pathlib.Path, **values: Any) -> None:
    """Changes entries of a description by hand, and removes its digest, as its error advises."""
    record = {**json.loads(file.read_text()), **values}
    record.pop('sha256', None)
    file.write_text(json.dumps(record))


def age(folder: pathlib.Path, name: str, variables: Any) -> pathlib.Path:
    """Makes today's native folder one of earlier versions, of the same network.

    Args:
      folder: what `native_targets.save_target` or `generators.save_generator` wrote.
      name: of its description.
      variables: what it holds.
    """
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.resolve() / 'variables', jax.device_get(variables), force=True)
    (folder / native_folders.VARIABLES).unlink()
    record = json.loads((folder / name).read_text())
    for digest in ('sha256', 'variables_sha256', 'files_sha256'):
        record.pop(digest, None)
    (folder / name).write_text(json.dumps({**record, 'schema': 1}))
    return folder
