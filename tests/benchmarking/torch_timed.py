"""Times PyTorch in a process of its own, for `benchmarking/torch_timed_peer.py`.

  python -m tests.benchmarking.torch_timed '{"what": "scoring", ...}'

Prints one line of JSON: seconds of each call, and of the first one. A process of its own gives its
memory back, and can be ended when it takes too long to compile.
"""

import json
import sys
import time

import numpy as np
import torch

from fr_inference.benchmarking import torch_peer
from fr_inference.models import stylegan2
from fr_inference.models.target import InputSpec
from tests.benchmarking import torch_search

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def scoring(asked):
    """A call that scores a batch, which lies on the device."""
    spec = InputSpec(height=asked['height'], width=asked['width'])
    module, _ = torch_peer.build(asked['arch'], spec, **asked['config'])
    layout = 'channels_last' + ' compiled' * asked['compiled']
    run, batch_of = torch_peer.program(module, spec, layout, asked['dtype'])
    shape = (asked['size'], spec.height, spec.width, 3)
    batch = batch_of(np.random.default_rng(0).integers(0, 256, shape, np.uint8)).to(DEVICE)

    def call():
        with torch.inference_mode():
            return run(batch)

    return call


def search(asked):
    """A call that advances all candidates by some steps."""
    number = getattr(torch, asked['dtype'])
    low = max(4, asked['resolution'] // 8) if asked['dtype'] == 'bfloat16' else None
    if asked['stylegan2_ada']:
        images = torch_search.nvidia(asked['stylegan2_ada'], asked['resolution'], low is not None)
    else:
        sizes = {'base': asked['base'], 'most': asked['most']}
        weights = torch_search.random_state(asked['resolution'], **sizes)
        weights = {name: value.to(DEVICE) for name, value in weights.items()}

        def images(ws):
            return torch_search.synthesis(weights, ws, low)

    spec = InputSpec(height=asked['height'], width=asked['width'])
    module, _ = torch_peer.build(asked['arch'], spec, **asked['config'])
    module.requires_grad_(False).to(DEVICE, number, memory_format=torch.channels_last)

    def embed(seen):
        x = ((seen - 127.5) / 127.5).to(number).contiguous(memory_format=torch.channels_last)
        return module(x).float()

    scene = torch_search.Scene(
        images=images,
        embed=embed,
        layers=stylegan2.style_count(asked['resolution']),
        height=spec.height,
        width=spec.width,
    )
    step = torch_search.step(scene, asked['pictures'], asked['compiled'])
    w = torch.randn(asked['size'], 512, device=DEVICE)
    state = [w, torch.zeros_like(w), torch.zeros_like(w), 0]

    def call():
        nonlocal state
        for _ in range(asked['steps']):
            state = step(state)
        return state

    return call


def timed(call, times):
    """Seconds of a call, of some that follow each other without waiting."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    if DEVICE == 'cuda':
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / times


def main():
    """Times what the argument asks for."""
    asked = json.loads(sys.argv[1])
    # What a GPU's user sets for speed: the fastest algorithm of each shape, TF32 for float32.
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision('high')
    torch.backends.cudnn.allow_tf32 = True
    call = {'scoring': scoring, 'search': search}[asked['what']](asked)
    first = timed(call, 1)
    timed(call, 2)
    under_way = 4 if DEVICE == 'cuda' else 1
    found = {
        'first_call_seconds': first,
        'seconds': [timed(call, under_way) for _ in range(asked['rounds'])],
        'device': torch.cuda.get_device_name() if DEVICE == 'cuda' else 'cpu',
        'torch': torch.__version__,
    }
    print(json.dumps(found), flush=True)


if __name__ == '__main__':
    main()
