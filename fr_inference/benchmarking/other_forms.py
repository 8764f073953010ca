"""Lets a platform compute operations in the forms that `kernels/seam.py` keeps for another one.

To measure whether they would pay there. Programs themselves never do this.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import jax

from fr_inference.kernels import seam

# Name -> (operations, the platform whose forms they take).
FORMS = {
    'phases': (('upsample', 'downsample', 'upsample_conv', 'downsample_conv'), 'cpu'),
    'shifts': (('depthwise',), 'cpu'),
}


@contextlib.contextmanager
def taken(name: str, platform: str) -> Iterator[None]:
    """Lets everything that is traced inside take the forms of `name`, in `FORMS`, on `platform`."""
    operations, owner = FORMS[name]
    rows = {operation: cast(dict[str, Any], seam.FORMS[operation]) for operation in operations}
    before = {operation: dict(row) for operation, row in rows.items()}
    for row in rows.values():
        row[platform] = row[owner]
    jax.clear_caches()  # what was traced before holds the forms of before
    try:
        yield
    finally:
        for operation, row in rows.items():
            row.clear()
            row.update(before[operation])
        jax.clear_caches()
