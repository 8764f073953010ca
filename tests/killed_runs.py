"""Kills a run at random moments until it ends: `python -m tests.killed_runs FOLDER KIND SEED`.

One process imports everything once and forks one child for each attempt, before any thread was started.
Prints what the last attempt returned, as JSON, and how many were killed.
"""

import json
import os
import pathlib
import random
import signal
import sys
import time

import numpy as np

from fr_inference import files, runs
from fr_inference.row_cache import RowCache

TOTAL, WIDTH = 12, 5
KEYS = [f'{number}' for number in range(60)]


def advance(state, done):
    """One step of a chain that no step can be left out of."""
    mixed = state['mixed'] * np.uint32(1664525) + np.uint32(done + 1)
    return {'mixed': mixed, 'sum': state['sum'] ^ np.bitwise_xor.reduce(mixed)}, done + 1, {}


def state_run(folder):
    begin = {'mixed': np.arange(1000, dtype=np.uint32), 'sum': np.zeros((), np.uint32)}
    runs.claim(folder, {'what': 'a chain'})
    ended = runs.resume(begin, TOTAL, advance, folder=folder, save_seconds=0.0)
    return [int(ended['sum']), *ended['mixed'][:5].tolist()]


def compute(positions):
    time.sleep(0.02)
    return np.sin(np.outer(positions + 1, np.arange(1, WIDTH + 1))).astype(np.float32)


def row_run(folder):
    cache = RowCache(folder, {'what': 'sines'}, WIDTH)
    runs._FIRST_BATCHES, runs._BLOCK_SECONDS = 1, 0
    return runs.rows(KEYS, compute, width=WIDTH, cache=cache, batch=3).tolist()


def twice(folder):
    """Two processes that fill one cache at once."""
    other = os.fork()
    found = row_run(folder)
    if not other:
        os._exit(0)
    assert os.waitpid(other, 0)[1] == 0
    return found


WORK = {'states': state_run, 'rows': row_run, 'two writers': twice}


def attempt(work, folder, result):
    """Child: does the work and writes what it gives."""
    files.write_text(result, json.dumps(work(folder)))


def killed(work, folder, result, seconds):
    """Parent: whether the attempt had to be killed after so long."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        attempt(work, folder, result)
        os._exit(0)
    os.setpgid(child, child)  # whichever of the two comes first
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number, code = os.waitpid(child, os.WNOHANG)
        if number:
            assert code == 0, code
            return False
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    code = os.waitpid(child, 0)[1]
    assert code in (0, signal.SIGKILL), code  # 0: it ended just before
    return code != 0


def main(folder, kind, seed):
    """Tries until an attempt is not killed."""
    draw, count = random.Random(seed), 0
    result = folder / 'result.json'
    # On a busy machine no attempt would come as far as its first state: later ones get longer.
    while killed(WORK[kind], folder / 'run', result, draw.uniform(0.02, 0.3) * (1 + count / 20)):
        count += 1
        assert count < 200
    print(json.dumps({'killed': count, 'result': json.loads(result.read_text())}))


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
