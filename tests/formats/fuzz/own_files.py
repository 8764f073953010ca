"""Files of our own that are read again: a damaged one is read as what was written, or refused."""

import json
from collections.abc import Callable, Mapping

import numpy as np

from fr_inference import checkpointing, runs
from fr_inference.row_cache import RowCache
from fr_inference.weights import native_targets
from tests.formats.fuzz import mutations
from tests.formats.fuzz.group import Group, written
from tests.formats.hostile import natives

MEMBERS = [(f'{n}.jpg', f'person {n // 2}', f'{n:064x}') for n in range(6)]


def save_target(path):
    """Writes a native target with its list of training images."""
    native_targets.save_target(path, natives.tiny_target(), members=MEMBERS)


def read_target(folder, _number=0):
    """Returns all that is read of a native target."""
    found = native_targets.load_target(folder)
    held = found.sha256, found.input, found.architecture, dict(found.config), found.name
    return repr((held, native_targets.read_member_rows(folder)))


def _targets() -> Group:
    return Group(
        seeds=[written(save_target)], changes=[mutations.one_bit], read=read_target, exact=True
    )


RUN = {'seed': 1, 'recipe': {'epochs': 3, 'rate': 0.1}, 'faces': 'abc'}


def _read_claim(folder, _number):
    runs.claim(folder, RUN)
    return json.dumps(RUN)


def _claims() -> Group:
    return Group(
        seeds=[written(lambda path: runs.claim(path, RUN))],
        changes=[mutations.one_bit],
        read=_read_claim,
        exact=True,
    )


STATE = {'w': np.arange(300, dtype=np.float32), 'step': np.asarray(3, np.int32)}


def _save_state(path):
    with checkpointing.States(path) as kept:
        kept.save(3, STATE)


def _read_state(folder, _number):
    with checkpointing.States(folder) as kept:
        step, state = kept.latest(STATE) or (None, {})
    return f'{step} {checkpointing.digest(state)}'


def _states() -> Group:
    return Group(
        seeds=[written(_save_state)], changes=[mutations.one_bit], read=_read_state, exact=True
    )


KEYS = [f'{number:064x}' for number in range(40)]


def _cache(folder):
    return RowCache(folder, {'what': 'fuzz'}, 8)


def _read_rows(folder, _number):
    mask, rows = _cache(folder).lookup(KEYS)
    expected = np.arange(320, dtype=np.float32).reshape(40, 8)
    return bool((rows == expected[mask]).all())  # a row that is missing is computed again


def _caches() -> Group:
    rows = np.arange(320, dtype=np.float32).reshape(40, 8)
    return Group(
        seeds=[written(lambda path: _cache(path).append(KEYS, rows))],
        changes=[mutations.one_bit],
        read=_read_rows,
        exact=True,
    )


GROUPS: Mapping[str, Callable[[], Group]] = {
    'ours: native targets': _targets,
    'ours: run.json': _claims,
    'ours: states': _states,
    'ours: row caches': _caches,
}
