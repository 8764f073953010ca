"""The properties that the GPU compiler needs of a GPU that is not present."""

import dataclasses
from collections.abc import Mapping
from typing import Any

# Without the GPU nothing can be timed, so kernels are not chosen by their time.
OPTIONS: Mapping[str, Any] = {'xla_gpu_autotune_level': 0, 'xla_gpu_enable_triton_gemm': False}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of GPU, as CUDA's device properties have it.

    Attributes:
      kind: its name in JAX.
      capability: major compute capability; the minor one is 0.
      cores: streaming multiprocessors.
      fpus: float32 units of each.
      clock: GHz.
      l2: bytes of the second cache.
      shared: bytes of shared memory of a multiprocessor; a block gets 1 KiB less.
      memory: bytes.
      bandwidth: of the memory, bytes/s.
    """

    kind: str
    capability: int
    cores: int
    fpus: int
    clock: float
    l2: int
    shared: int
    memory: int
    bandwidth: int

    def text(self) -> str:
        """Returns XLA's `GpuTargetConfigProto` in text form."""
        device = {
            'threads_per_block_limit': 1024,
            'threads_per_warp': 32,
            'shared_memory_per_block': 49152,
            'shared_memory_per_core': self.shared,
            'threads_per_core_limit': 2048,
            'core_count': self.cores,
            'fpus_per_core': self.fpus,
            'block_dim_limit_x': 2**31 - 1,
            'block_dim_limit_y': 65535,
            'block_dim_limit_z': 65535,
            'memory_bandwidth': self.bandwidth,
            'l2_cache_size': self.l2,
            'clock_rate_ghz': self.clock,
            'device_memory_size': self.memory,
            'shared_memory_per_block_optin': self.shared - 1024,
            'registers_per_core_limit': 65536,
            'registers_per_block_limit': 65536,
        }
        fields = '\n  '.join(f'{name}: {value}' for name, value in device.items())
        return (
            f'gpu_device_info {{\n  {fields}\n'
            f'  cuda_compute_capability {{ major: {self.capability} }}\n}}\n'
            'platform_name: "CUDA"\n'
            'dnn_version_info { major: 9 minor: 10 patch: 0 }\n'
            f'device_description_str: "{self.kind}"\n'
        )


_HOPPER: Mapping[str, Any] = {
    'capability': 9,
    'cores': 132,
    'fpus': 128,
    'clock': 1.98,
    'l2': 50 * 2**20,
    'shared': 228 * 1024,
}

# The 80 GB A100 and the SXM form of each.
GPUS: Mapping[str, Gpu] = {
    'h100': Gpu(
        kind='NVIDIA H100 80GB HBM3',
        memory=84_942_979_072,
        bandwidth=3_352_320_000_000,
        **_HOPPER,
    ),
    'h200': Gpu(
        kind='NVIDIA H200',
        memory=150_754_820_096,
        bandwidth=4_800_000_000_000,
        **_HOPPER,
    ),
    'a100': Gpu(
        kind='NVIDIA A100-SXM4-80GB',
        capability=8,
        cores=108,
        fpus=64,
        clock=1.41,
        l2=40 * 2**20,
        shared=164 * 1024,
        memory=84_987_740_160,
        bandwidth=2_039_000_000_000,
    ),
}
