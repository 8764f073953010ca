"""The second stage's part of a job, as plain values named as their flags."""

import dataclasses
from collections.abc import Sequence

from fr_inference import config, errors

BACKBONES = ('generator', 'evaluator')
FACES = ('strangers',)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """What the second stage is asked to do; `experiments.search_flags` says what each value is."""

    generator: str
    evaluator: str | None
    draws: int
    candidates: int
    steps: int
    keep: int
    pictures: int
    learning_rate: float
    optimiser: str
    apart: float
    search_batch: int
    space: str
    psi: float
    membership: str
    centres: int
    strangers: str | None
    strength: float
    sweep: Sequence[str]
    prior: float
    targeted: int
    untrained: bool

    def __post_init__(self):
        errors.require(
            self.evaluator is not None,
            '--evaluator: missing; --generator needs a backbone of another architecture and other '
            'training people, which judges the reconstructions',
        )
        errors.require(
            not self.strangers or self.centres,
            '--strangers: found without --centres, which are estimated from them',
        )
        _ = self.config  # checks the rest

    @property
    def config(self) -> config.Search:
        """How it is done."""
        known = {field.name for field in dataclasses.fields(config.Search)}
        values = {name: value for name, value in vars(self).items() if name in known}
        values['sweep'] = tuple(_strength(text) for text in self.sweep)
        if self.membership == 'capped':
            values['membership'] = None
        return config.Search(**values)


def _strength(text):
    try:
        return float(text)
    except ValueError:
        raise errors.InputError(f'--sweep: found {text!r}, expected numbers') from None
