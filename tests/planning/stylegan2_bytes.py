"""Bytes that StyleGAN2's synthesis moves, forward and backward with respect to w.

bash launch/plan.sh --module=tests.planning.stylegan2_bytes v5e-1 256 8     machine, resolution, images
"""

import sys

import jax
import jax.numpy as jnp

from fr_inference import devices
from fr_inference.models import stylegan2
from fr_inference.planning import compiling, stand_ins, topologies


def main(topology: str, resolution: str, count: str) -> None:
    """Compiles it and prints a line."""
    generator = stand_ins.generator(resolution)
    module = generator.module.clone(low_precision_from=max(4, int(resolution) // 8))

    def gradient(variables, w):
        def loss(w):
            noise = stylegan2.constant_noise(variables)
            return jnp.square(module.apply(variables, w[None], noise, method='synthesis')).sum()

        return jax.grad(loss)(w)

    opened = topologies.open_topology(topology)
    run, _, devices_ = devices.per_example(gradient, opened.local)
    shape = (int(count) * devices_, stylegan2.style_count(int(resolution)), module.w_dim)
    lowered = run.program.lower(generator.variables, jax.ShapeDtypeStruct(shape, jnp.float32))
    found = compiling.figures(lowered, opened)
    print(
        f'StyleGAN2-{resolution}, {count} images on {topology}: {found.bytes / 1e9:.2f} GB through main '
        f'memory ({(found.accessed or 0) / 1e9:.2f} by XLA), '
        f'compiled in {found.compile_seconds:.0f} s'
    )


if __name__ == '__main__':
    main(*sys.argv[1:])
