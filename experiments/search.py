"""The second stage's part of a job, as plain values named as their flags."""

import dataclasses
from collections.abc import Sequence

from fr_inference import config, errors
from fr_inference.data import sources
from fr_inference.inversion.searches import Request
from fr_inference.weights import native_targets
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import locate, open_target

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
    membership: str | None
    centres: int
    strangers: str | None
    strength: float
    sweep: Sequence[str | float]
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
        _ = self.settings  # checks the rest

    @property
    def settings(self) -> config.Search:
        """How it is done."""
        names = config.options_of(config.Search)
        values = {name: getattr(self, name) for name in names}
        return config.Search(**values | {'sweep': tuple(_strength(text) for text in self.sweep)})

    def request(self, **reading: str | None) -> Request:
        """Opens generator, evaluator and strangers; `reading` is how faces are opened."""
        evaluator, strangers = str(self.evaluator), None
        if self.strangers:
            strangers = sources.open_faces(self.strangers, 'strangers', **reading)
        return Request(
            generator=open_generator(self.generator),
            evaluator=open_target(evaluator, field='evaluator'),
            strangers=strangers,
            evaluator_digests=native_targets.read_members(locate(evaluator)),
            search=self.settings,
        )


def _strength(text):
    try:
        return float(text)
    except ValueError:
        raise errors.InputError(f'--sweep: found {text!r}, expected numbers') from None
