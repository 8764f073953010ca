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
    ('kind', 'teraflops', 'gigabytes_per_second', 'gigabytes'),
    [
        ('NVIDIA H100 80GB HBM3', 989.5, 3350, 80),
        ('NVIDIA H100 PCIe', 756.5, 2000, 80),
        ('NVIDIA H200', 989.5, 4800, 141),
        ('NVIDIA H200 NVL', 835.5, 4800, 141),
        ('NVIDIA A100-SXM4-80GB', 312, 2039, 80),
        ('NVIDIA A100-SXM4-40GB', 312, 1555, 40),
        ('NVIDIA B200', 2250, 8000, 180),
        ('TPU v4', 275, 1228, 34.36),
        ('TPU v5 lite', 197, 819, 17.18),
        ('TPU v5p', 459, 2765, 102.01),
        ('TPU v6 lite', 918, 1638, 34.36),
        ('TPU7x', 1153.5, 3690, 103.08),
    ],
)
def test_what_is_known_of_a_device(kind, teraflops, gigabytes_per_second, gigabytes):
    """As the vendors' data sheets have it; Google's sizes are GiB."""
    found = chips.find(kind)
    assert found.bfloat16 == teraflops * 1e12
    assert found.bandwidth == gigabytes_per_second * 1e9
    assert found.memory == pytest.approx(gigabytes * 1e9, rel=1e-3)


def test_float32_products_are_tf32_on_gpus_and_bfloat16_on_tpus():
    assert chips.find('NVIDIA A100-SXM4-80GB').float32 == 156e12
    assert chips.find('TPU v5 lite').float32 == chips.find('TPU v5 lite').bfloat16


@pytest.mark.parametrize('kind', ['TPU v4 lite', 'NVIDIA GeForce RTX 4090', 'cpu'])
def test_nothing_is_known_of_others(kind):
    assert chips.find(kind) is None
