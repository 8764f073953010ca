"""What is known of devices and programs: peaks from data sheets, operations by XLA's count."""

import jax
import jax.numpy as jnp
import pytest

from fr_inference.benchmarking import chips


def test_work_is_counted_of_what_has_no_loop():
    """XLA counts a loop's body once; so one item's program is counted, and multiplied here."""
    weights = jnp.ones((32, 32))

    def program(steps):
        def step(x, _):
            return x @ weights, None

        return jax.jit(lambda x: jax.lax.scan(step, x, length=steps)[0])

    x = jnp.ones((4, 32))
    product = chips.flops(jax.jit(lambda x: x @ weights), x)
    assert product == 2 * 4 * 32 * 32
    assert chips.flops(program(1), x) == pytest.approx(product, rel=0.01)
    assert chips.flops(program(50), x) == pytest.approx(product, rel=0.01)


@pytest.mark.parametrize(
    ('kind', 'teraflops'),
    [
        ('NVIDIA H100 80GB HBM3', 989.5),
        ('NVIDIA H100 PCIe', 756.5),
        ('NVIDIA H200', 989.5),
        ('NVIDIA H200 NVL', 835.5),
        ('NVIDIA A100-SXM4-80GB', 312),
        ('TPU v4', 275),
        ('TPU v5 lite', 197),
        ('TPU v5p', 459),
        ('TPU v6 lite', 918),
        ('TPU v4 lite', None),
        ('NVIDIA GeForce RTX 4090', None),
        ('cpu', None),
    ],
)
def test_peak_of_a_device(kind, teraflops):
    found = chips.peak(kind)
    assert (found and found[0]) == (teraflops and teraflops * 1e12)
