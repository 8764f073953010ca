"""The second stage's part of a job, as plain values named as their flags."""

import dataclasses
from collections.abc import Sequence

from fr_inference import errors
from fr_inference.data import sources
from fr_inference.inversion import objective, optimize
from fr_inference.inversion.stage import Request, Settings
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
    membership: str
    centres: int
    strangers: str | None
    strength: float
    sweep: Sequence[str]
    prior: float
    identity: float
    agreement: float
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
    def settings(self) -> Settings:
        """How it is done."""
        return Settings(
            plan=optimize.Plan(
                draws=self.draws,
                candidates=self.candidates,
                steps=self.steps,
                keep=self.keep,
                pictures=self.pictures,
                learning_rate=self.learning_rate,
                optimiser=self.optimiser,
                apart=self.apart,
                batch=self.search_batch,
            ),
            objective=objective.Objective(
                membership=self.membership,
                strength=self.strength,
                prior=self.prior,
                identity=self.identity,
                agreement=self.agreement,
            ),
            space=self.space,
            psi=self.psi,
            untrained=self.untrained,
            centres=self.centres,
            strengths=tuple(_strength(text) for text in self.sweep),
            targeted=self.targeted,
        )

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
            settings=self.settings,
        )


def _strength(text):
    try:
        return float(text)
    except ValueError:
        raise errors.InputError(f'--sweep: found {text!r}, expected numbers') from None
