"""Writes what the oracle says about every case to `fixtures`; needs torch (`.[test,parity]`).

Run as `python -m tests.parity.make_fixtures` in the repository root.
"""

import json

import numpy as np

from tests.parity import cases, oracle


def main() -> None:
    """Writes one file a case."""
    cases.FIXTURES.mkdir(exist_ok=True)
    for name in cases.KEPT:
        case = cases.CASES[name]
        outputs = oracle.run(case)
        outputs['shapes'] = np.array(json.dumps(outputs['shapes']))
        np.savez_compressed(cases.FIXTURES / f'{name}.npz', **outputs)


if __name__ == '__main__':
    main()
