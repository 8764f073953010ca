"""The evaluator: a backbone that the search never used and that judges the reconstructions."""

import dataclasses
import functools
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.inversion import judge
from fr_inference.inversion.guidance import Audited, Side
from fr_inference.inversion.judge import Gallery, Judged
from fr_inference.inversion.search import Found
from fr_inference.metrics import realism
from fr_inference.models.target import Target

_NEIGHBOURS = 5  # of precision, recall, density and coverage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The evaluator's results for M reconstructions.

    Attributes:
      found: the reconstructions.
      embeddings: [M, D] of them, by each evaluator.
      judged: the comparison with the gallery.
      figures: by `judge.figures`, with realism and, if there is an attack, the median logit.
    """

    found: Found
    embeddings: tuple[np.ndarray, ...]
    judged: Judged
    figures: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluator:
    """A backbone that judges.

    Attributes:
      backbone: of another architecture and other training people than the target.
      audited: the audit's images.
      embeddings: [N, D] of them, by the evaluator.
      judging: [N] bool, the images of people on whom no attack was fitted.
      seed: of galleries and intervals.
      second: another evaluator, which must agree.
    """

    backbone: Target
    audited: Audited
    embeddings: np.ndarray
    judging: np.ndarray
    seed: int
    second: 'Evaluator | None' = None

    @property
    def all(self) -> tuple['Evaluator', ...]:
        """This one, and the second where there is one."""
        return (self,) if self.second is None else (self, self.second)

    @functools.cached_property
    def gallery(self) -> Gallery:
        """The gallery of all members that may judge and equally many non-members, by the evaluator."""
        return self.gallery_of(self.embeddings)

    @functools.cached_property
    def units(self) -> np.ndarray:
        """[N, D] float64 unit embeddings of the images."""
        return judge.unit(self.embeddings)

    @property
    def members(self) -> np.ndarray:
        """[N] bool, the images of the members in the gallery."""
        inside = np.isin(self.audited.identities, self.gallery.names)
        return self.audited.member & self.judging & inside

    @property
    def nonmembers(self) -> np.ndarray:
        """[N] bool, the images of all non-members that may judge."""
        return ~self.audited.member & self.judging

    def gallery_of(self, embeddings: np.ndarray) -> Gallery:
        """Returns a gallery of the same people from other embeddings [N, D]."""
        rows = np.flatnonzero(self.judging)
        names = self.audited.identities[rows].tolist()
        return judge.gallery(embeddings[rows], names, self.audited.member[rows], seed=self.seed)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Returns the evaluator's embeddings [M, D] of images [M, R, R, 3] uint8."""
        return self.audited.embed_images(self.backbone, images, 'judging')

    def look(self, side: Side, found: Found) -> Verdicts:
        """Judges the reconstructions from a search of one backbone."""
        # A reconstruction claims to show the member that the backbone itself finds nearest.
        claims = judge.claim(found.embeddings, self.gallery_of(side.embeddings))
        seen = [one.embed(found.images) for one in self.all]
        several = [
            judge.judge(embeddings, one.gallery, claims)
            for one, embeddings in zip(self.all, seen, strict=True)
        ]
        judged = functools.reduce(judge.agreed, several)
        figures = judge.figures(judged, self.gallery, seed=self.seed)
        if found.logits is not None:
            figures['median_logit'] = float(np.median(found.logits))
        figures['realism'] = self._realism(seen[0])
        return Verdicts(found=found, embeddings=tuple(seen), judged=judged, figures=figures)

    def _realism(self, embeddings):
        """How similar the images are to the members' photographs, by the evaluator."""
        real = self.units[self.members]
        if min(len(real), len(embeddings)) <= _NEIGHBOURS:
            return None
        unit = judge.unit(embeddings)
        return {
            'embedding': self.backbone.name,
            'frechet_distance': realism.frechet_distance(real, unit),
            **realism.coverage(real, unit, _NEIGHBOURS),
            'nearest_training_image_distance': float(np.median(1 - (unit @ real.T).max(1))),
        }


def evaluator(
    backbone: Target,
    audited: Audited,
    *,
    judging: np.ndarray,
    seed: int,
    second: Target | None = None,
    field: str = 'evaluator',
) -> Evaluator:
    """Measures the audit's images in the evaluators.

    Args:
      backbone: of another architecture and other training people than the target.
      audited: the audit's images.
      judging: [N] bool, the images of people on whom no attack was fitted.
      seed: of galleries and intervals.
      second: another backbone, which must agree.
      field: named in errors.

    Raises:
      InputError: for the target itself, for a second evaluator with the weights of the first, and if
        not the same images could be read.
    """
    judge.check_evaluator(backbone, audited.target.target, field)
    also = None
    if second is not None:  # first, so that a wrong one stops before anything is measured
        judge.check_evaluator(second, backbone, 'second_evaluator')
        also = evaluator(second, audited, judging=judging, seed=seed, field='second_evaluator')
    embeddings = audited.embed(backbone, audited.faces, field.replace('_', ' '))
    if len(embeddings) != len(audited.identities):
        raise errors.InputError(
            field,
            f'{len(embeddings)} images that it could read',
            f'the {len(audited.identities)} that the target could read',
        )
    return Evaluator(
        backbone=backbone,
        audited=audited,
        embeddings=embeddings,
        judging=judging,
        seed=seed,
        second=also,
    )
