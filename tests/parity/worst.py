"""Prints, for each case, how far JAX is from PyTorch; needs torch (`.[test,parity]`).

Run as `python -m tests.parity.worst [case ...]` in the root; `docs/backbones.md` has the result.
"""

import json
import sys

import numpy as np

from tests.parity import cases, oracle, test_parity


def differences(name: str) -> dict[str, float]:
    """The largest difference of embeddings, distances and gradient, relative to their size."""
    expected = oracle.run(cases.CASES[name])
    found, *_ = test_parity.computed(name, json.dumps(expected['shapes']))
    apart = np.linalg.norm(found['embedding'] - expected['embedding'], axis=1)
    rest = {
        key: np.abs(found[key] - expected[key]).max() / np.abs(expected[key]).max()
        for key in ('distances', 'gradient')
        if expected[key].size
    }
    length = np.linalg.norm(expected['embedding'], axis=1)
    return {'embedding': (apart / length).max(), **rest}


def main() -> None:
    """Prints one row of a table a case."""
    for name in sys.argv[1:] or cases.CASES:
        row = differences(name)
        columns = (
            f'{row[key]:.1e}' if key in row else ''
            for key in ('embedding', 'distances', 'gradient')
        )
        print(f'| {name} | {" | ".join(columns)} |', flush=True)


if __name__ == '__main__':
    main()
