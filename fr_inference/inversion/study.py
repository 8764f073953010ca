"""What all searches of one audit share: faces, galleries, where state is kept."""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from fr_inference.data.faces import from_arrays
from fr_inference.inversion import evaluate, search
from fr_inference.inversion.evaluate import Gallery, Judged
from fr_inference.inversion.guidance import Side
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Plan
from fr_inference.inversion.pool import Progress
from fr_inference.inversion.search import Found
from fr_inference.membership.views import MADE, Views
from fr_inference.metrics import realism as image_metrics
from fr_inference.models.target import Target

_NEIGHBOURS = 5  # of precision, recall, density and coverage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """A search and what the evaluator says of it.

    Attributes:
      found: the reconstructions.
      shown: [M, D] their embeddings, by the evaluator.
      judged: compared with the gallery.
      figures: of `evaluate.figures`, with the median logit and realism.
    """

    found: Found
    shown: np.ndarray
    judged: Judged
    figures: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The shared part.

    Attributes:
      measured: target, controls and faces.
      evaluator: the backbone that judges.
      seen: [N, D] embeddings of the N measured images, by the evaluator.
      judging: [N] bool, the images of whom the attack was not fitted on.
      seed: of galleries and intervals.
      workdir: where searches keep their state, each in a folder of its name.
      progress: called as progress(label, done, total).
    """

    measured: Views
    evaluator: Target
    seen: np.ndarray
    judging: np.ndarray
    seed: int
    workdir: pathlib.Path | None = None
    progress: Progress | None = None

    @functools.cached_property
    def gallery(self) -> Gallery:
        """All members and equally many non-members, by the evaluator."""
        return self._gallery(self.seen)

    @functools.cached_property
    def members(self) -> np.ndarray:
        """[N] bool, the images of the members in the gallery."""
        own = self.measured.in_target
        names = np.isin(own.identities, self.gallery.names)
        return own.member & self.judging & names

    @functools.cached_property
    def photographs(self) -> np.ndarray:
        """[N, D] float64 unit embeddings of the images, by the evaluator."""
        return evaluate.unit(self.seen)

    def _gallery(self, embeddings):
        own, rows = self.measured.in_target, np.flatnonzero(self.judging)
        names = [own.identities[row] for row in rows]
        return evaluate.gallery(embeddings[rows], names, own.member[rows], seed=self.seed)

    def search(
        self, name: str, side: Side, plan: Plan, objective: Objective, wanted: np.ndarray
    ) -> Found:
        """Searches one backbone; the arguments are those of `search.run`."""
        return search.run(
            side.scene,
            plan,
            objective,
            side.constants,
            side.pool,
            wanted,
            workdir=self.workdir / name if self.workdir is not None else None,
            label=name.replace('_', ' '),
            progress=self.progress,
        )

    def show(self, images: np.ndarray) -> np.ndarray:
        """Returns the evaluator's embeddings [M, D] of pictures [M, R, R, 3] uint8."""
        pictures = from_arrays(images, range(len(images)), MADE)
        return self.measured.measure(self.evaluator, pictures, 'judging').embeddings

    def look(self, side: Side, found: Found) -> Outcome:
        """Judges what a search of one backbone found."""
        shown = self.show(found.images)
        # Whom a backbone takes a face for is said by its own embeddings of the gallery.
        own = self.measured.in_target
        by_itself = own if side.target is self.measured.target else self.measured.in_blind
        claims = evaluate.claim(found.embeddings, self._gallery(by_itself.embeddings))
        judged = evaluate.judge(shown, self.gallery, claims)
        figures = evaluate.figures(judged, self.gallery, seed=self.seed) | {
            'median_logit': float(np.median(found.logits)),
            'realism': self._realism(shown),
        }
        return Outcome(found=found, shown=shown, judged=judged, figures=figures)

    def _realism(self, shown):
        """How far the pictures look like the members' photographs, in the evaluator's eyes."""
        real = self.photographs[self.members]
        if min(len(real), len(shown)) <= _NEIGHBOURS:
            return None
        unit = evaluate.unit(shown)
        return {
            'embedding': self.evaluator.name,
            'frechet_distance': image_metrics.frechet_distance(real, unit),
            **image_metrics.coverage(real, unit, _NEIGHBOURS),
            'nearest_training_image_distance': float(np.median(1 - (unit @ real.T).max(1))),
        }
