"""Native folders as earlier versions wrote them: the variables in an Orbax folder, schema 1."""

import json
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from fr_inference.weights import native_folders


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
    file = folder / name
    record = json.loads(file.read_text())
    del record['variables_sha256']
    file.write_text(json.dumps({**record, 'schema': 1}))
    return folder
