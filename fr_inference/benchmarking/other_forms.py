"""Makes a platform compute operations in a form that `kernels/seam.py` does not choose for it.

This serves to measure whether the form would be faster. Programs never do this.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import jax

from fr_inference.kernels import folded_filter, phases, seam, shifted_depthwise
from fr_inference.kernels.seam import Form
from fr_inference.models import stylegan2_ops as ops

_RESAMPLING = (ops.upsample, ops.downsample, ops.upsample_conv, ops.downsample_conv)
# Name -> operation -> how it is computed.
FORMS = {
    'plain': {one.__name__: Form(cast(Any, one).__wrapped__) for one in _RESAMPLING},
    'phases': {
        'upsample': Form(phases.upsample),
        'downsample': Form(phases.downsample),
        'upsample_conv': Form(phases.upsample_conv),
        'downsample_conv': Form(phases.downsample_conv),
    },
    'folded': {
        'upsample': Form(phases.upsample),
        'downsample': Form(phases.downsample),
        'upsample_conv': Form(folded_filter.upsample_conv),
        'downsample_conv': Form(folded_filter.downsample_conv),
    },
    'shifts': {'depthwise': Form(shifted_depthwise.depthwise, shifted_depthwise.pays)},
}
_GPUS = ('cuda', 'rocm')  # JAX calls all of them 'gpu', but they are different compiler targets


@contextlib.contextmanager
def taken(name: str, platform: str) -> Iterator[None]:
    """Makes everything that is traced inside use the forms `FORMS[name]` on `platform`."""
    rows = {operation: cast(dict[str, Any], seam.FORMS[operation]) for operation in FORMS[name]}
    before = {operation: dict(row) for operation, row in rows.items()}
    for operation, row in rows.items():
        for target in _GPUS if platform == 'gpu' else (platform,):
            row[target] = FORMS[name][operation]
    jax.clear_caches()  # earlier traces hold other forms
    try:
        yield
    finally:
        for operation, row in rows.items():
            row.clear()
            row.update(before[operation])
        jax.clear_caches()
