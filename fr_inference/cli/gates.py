"""Gates for a pipeline: figures of an audit that may not be above a limit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.metrics import intervals

NAMES = (
    *('auc', 'accuracy', 'excess', 'identity_auc', 'identity_excess'),
    *(f'tpr@fpr={rate}' for rate in intervals.RATES),
)


class GateCrossedError(Exception):
    """A gate given with `--fail_above` was crossed."""


def parse(text: str) -> tuple[str, float]:
    """Reads NAME:LIMIT, as `tpr@fpr=0.01:0.05`, with NAME in `NAMES`.

    >>> parse('tpr@fpr=0.01:0.05')
    ('tpr@fpr=0.01', 0.05)
    """
    name, _, limit = text.rpartition(':')
    if name not in NAMES:
        raise errors.InputError(
            'fail_above', f'{text!r:.80}', f'NAME:LIMIT with one of the names {", ".join(NAMES)}'
        )
    try:
        number = float(limit)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise errors.InputError('fail_above', f'{text!r:.80}', 'NAME:NUMBER')
    return name, number


def check(gates: Sequence[tuple[str, float]], membership: Mapping[str, Any]) -> None:
    """Compares an audit with its gates; a crossed one says more than one that could not be checked.

    Args:
      gates: (name, limit) of each.
      membership: what `audit.json` has under that name.

    Raises:
      GateCrossedError: that lists the figures above their limits.
      InputError: when none is, but some figures do not exist.
    """
    values = [(name, limit, highest(membership, name)) for name, limit in gates]
    crossed = [
        f'{name} is {value:.4g}, above {limit:g}'
        for name, limit, value in values
        if value is not None and value > limit
    ]
    if crossed:
        raise GateCrossedError(f'--fail_above: {", ".join(crossed)}')
    unknown = [name for name, _, value in values if value is None]
    if unknown:
        raise errors.InputError(
            'fail_above',
            f'no figure for {", ".join(unknown)}, which was not measured or needs more non-members',
            hint='leave it out, or give more images',
        )


def highest(membership: Mapping[str, Any], name: str) -> float | None:
    """Returns the highest figure of that name over the settings, None without any."""
    figure = name.removeprefix('identity_')
    images = membership['settings']
    on_people = figure != name or not images  # without BatchNorm there is nothing else
    if figure == 'excess':
        names = ['identity_excess'] if on_people else ['excess', 'auxiliary_excess']
        blocks, figure = [membership['controls'].get(key) for key in names], 'auc'
    else:
        blocks = [membership.get('identity_level')] if on_people else list(images.values())
    rate = figure.partition('=')[2]
    values = [block['tpr_at_fpr'][rate] if rate else block[figure] for block in blocks if block]
    return max((value for value in values if value is not None), default=None)
