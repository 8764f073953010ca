"""Every wrong input convention on three backbones: `python -m tests.auditing.wrong_inputs`.

  python -m tests.auditing.wrong_inputs --checkpoint=mobilefacenet_casia.ckpt --photographs=lfw112

Prints, for each convention: its misfit, how the audit ends as it is given, and how it ends where the
misfit is allowed. Exit code 1 where a wrong convention is not stopped, the stop names another convention
than the right one, or an audit ends in an all-clear. Without the two options the real network is left
out. docs/results/notebook/ has the results.
"""

import argparse
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import fr_inference
from fr_inference import config
from fr_inference.data import splits
from fr_inference.data.sources import open_faces
from fr_inference.errors import InputError
from fr_inference.membership.comparison import CLEAR
from fr_inference.weights.targets import open_target

ZERO_TO_ONE = {'mean': (0.0, 0.0, 0.0), 'std': (255.0, 255.0, 255.0)}
CONVENTIONS: Mapping[str, Mapping[str, Any]] = {
    'right': {},
    'BGR': {'colour': 'bgr'},
    '0 to 1': ZERO_TO_ONE,
    'both': {'colour': 'bgr', **ZERO_TO_ONE},
    'ImageNet': {'mean': (123.7, 116.3, 103.5), 'std': (58.4, 57.1, 57.4)},
}
DRAWN = {
    'demo_leaky': ('procedural:hard,images=4,seed=1,people=128', 128),
    'demo_easy': ('procedural:easy,images=8,seed=1,people=64', 512),
}


def ended(target, members, nonmembers, changes, allow):
    """Returns (the verdict, '' where it was stopped; what stopped it or the record)."""
    settings = config.Settings(allow_misfit=allow)
    try:
        audit = fr_inference.audit(
            open_target(target, input=changes),
            members=members,
            nonmembers=nonmembers,
            settings=settings,
        )
    except InputError as error:
        return '', error
    return audit.verdict.kind, audit.record


def row(target, members, nonmembers, name, changes):
    """Returns (a row of the table, what is wrong with it)."""
    allowed, record = ended(target, members, nonmembers, changes, True)
    check, faults = record['input']['check'], []
    if changes:
        word, stopped = ended(target, members, nonmembers, changes, False)
        # The first of the conventions is the one in use; a right one is passed as one of two fields.
        right = 'colour=rgb' if 'colour' in changes else 'mean=127.5,127.5,127.5'
        if word:
            faults.append(f'{name} was not stopped')
        elif right not in stopped.hint:
            faults.append(f'{name} was stopped for another convention: {stopped.hint}')
        if allowed == CLEAR:
            faults.append(f'{name} ended in an all-clear')
    else:
        word = allowed
        if check['state'] != 'fits':
            faults.append(f'the right convention: {check["remark"]}')
    told = record['input']['verification']
    accuracy = f'{100 * told["accuracy"]:.1f}' if told else ''
    auc = record['membership']['comparisons'][0]['auc']
    misfit = check['conventions'][0]['misfit']
    return (
        f'| {pathlib.Path(target).stem} | {name} | {misfit:.3g} | {auc:.2f} | {accuracy} '
        f'| {word or "stopped"} | {allowed if changes else ""} |',
        faults,
    )


def main():
    """Prints the table."""
    flags = argparse.ArgumentParser()
    flags.add_argument('--checkpoint', help='a real network, RGB and (v - 127.5) / 127.5')
    flags.add_argument('--photographs', help='a folder of aligned faces that it fits')
    options = flags.parse_args()
    cases = {name: (drawn, f'{drawn},first={first}') for name, (drawn, first) in DRAWN.items()}
    if options.checkpoint:
        cases[options.checkpoint] = tuple(
            splits.split_identities(
                open_faces(options.photographs),
                {'members': 0.1, 'nonmembers': 0.1},
                seed=0,
                min_images=4,
                limit_images=4,
            ).values()
        )
    faults = []
    print('| target | fed | misfit | AUC | accuracy, % | as it is | with allow_misfit |')
    print('|---|---|---|---|---|---|---|')
    for target, sides in cases.items():
        for name, changes in CONVENTIONS.items():
            line, found = row(target, *sides, name, changes)
            print(line, flush=True)
            faults += [f'{target}: {fault}' for fault in found]
    print(*faults, sep='\n')
    sys.exit(bool(faults))


if __name__ == '__main__':
    main()
