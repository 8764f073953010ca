"""Goals of a search: what each needs, what it maximises, and how the first latents are ranked.

    objective(z) = strength * term(z) + prior * log-density of z

| goal | needs | term |
|---|---|---|
| membership | a fitted attack and its members' level | 'raw', 'capped' or 'density' |
| class centres | strangers' embeddings in the target | 'cosine' with an estimated centre |
| stored templates | an embedding of each person | 'cosine' with the template |

The same terms rank the random latents that a search starts from, and are maximised by its steps.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from fr_inference import checkpointing, errors
from fr_inference.config import Search
from fr_inference.inversion import guidance
from fr_inference.inversion.judge import unit

TERMS = (*guidance.KINDS, 'cosine')
MATCH = 10.0  # weight of the cosine at strength 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Goal:
    """What a search maximises; made by `membership`, `centres` and `templates`.

    Attributes:
      name: 'membership', 'centres' or 'templates'.
      term: in `TERMS`.
      strength: weight of the term, 0 or more.
      prior: weight of the latent's log-density, 0 or more.
      wanted: [G, D] float32 of unit length: embeddings for which faces are searched, each with its
        own candidates; None if the goal is not a particular person.
    """

    name: str
    term: str
    strength: float
    prior: float
    wanted: np.ndarray | None = None

    def __post_init__(self):
        errors.one_of('term', self.term, TERMS)
        for name in ('strength', 'prior'):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise errors.InputError(name, value, '0 or more')

    @property
    def weights(self) -> dict[str, np.float32]:
        """The weights as an argument of compiled programs, so that one program serves any weights."""
        return {'strength': np.float32(self.strength), 'prior': np.float32(self.prior)}

    def at(self, strength: float) -> 'Goal':
        """Returns the same goal at another strength, that of the options."""
        factor = MATCH if self.term == 'cosine' else 1.0
        return dataclasses.replace(self, strength=factor * strength)

    def rows(self, width: int) -> np.ndarray:
        """Returns the wanted embeddings, [G, width]; one row of zeros if there are none.

        Raises:
          InputError: for embeddings of another length.
        """
        if self.wanted is None:
            return np.zeros((1, width), np.float32)
        if self.wanted.shape[1] != width:
            raise errors.InputError(
                self.name,
                f'embeddings {list(self.wanted.shape)}',
                f'[G, {width}], as the target has',
            )
        return self.wanted

    def description(self) -> dict[str, Any]:
        """Returns a JSON-compatible description that identifies this goal."""
        described = {name: getattr(self, name) for name in ('name', 'term', 'strength', 'prior')}
        return described | {
            'wanted': checkpointing.digest(self.wanted) if self.wanted is not None else None
        }


def membership(
    kind: str | None = None, *, strength: float = Search.strength, prior: float = Search.prior
) -> Goal:
    """Faces that the membership attack takes for members: the paper's goal (arXiv 2401.13719).

    Needs a backbone with an attack (`guidance.Guide`).

    Args:
      kind: in `guidance.KINDS`; `guidance.DEFAULT` when None.
      strength: weight of the term.
      prior: weight of the log-density.
    """
    kind = kind or guidance.DEFAULT
    errors.one_of('membership', kind, guidance.KINDS)
    return Goal(name='membership', term=kind, strength=strength, prior=prior)


def centres(
    wanted: np.ndarray, *, strength: float = Search.strength, prior: float = Search.prior
) -> Goal:
    """Faces at the class centres of the training people.

    Needs strangers' embeddings in the target, from which `centres.estimate` estimates the centres;
    needs no attack, no BatchNorm layers and no member.

    Args:
      wanted: [G, D] float32 of unit length, of `centres.estimate`.
      strength: weight of the cosine, times `MATCH`.
      prior: weight of the log-density.
    """
    return _match('centres', wanted, strength, prior)


def templates(
    embeddings: np.ndarray, *, strength: float = Search.strength, prior: float = Search.prior
) -> Goal:
    """Faces of the people whose embeddings are given, of any length above 0.

    Needs neither an attack nor BatchNorm layers.

    Args:
      embeddings: [P, D], the target's.
      strength: weight of the cosine, times `MATCH`.
      prior: weight of the log-density.
    """
    return _match('templates', unit(embeddings), strength, prior)


def _match(name, wanted, strength, prior):
    wanted = np.asarray(wanted, np.float32)
    made = Goal(name=name, term='cosine', strength=0.0, prior=prior, wanted=wanted)
    return made.at(strength)


def objective(term: str, weights: Mapping[str, Any], terms: Mapping[str, Any], wanted: Any) -> Any:
    """Weighs the terms of one latent, or of a pool of them.

    Args:
      term: of the goal.
      weights: of the goal.
      terms: 'prior' [], 'embedding' [D] and, with an attack, the membership terms []; or those of N
        latents, each with a leading axis.
      wanted: [D], or [G, D] for a pool.

    Returns:
      [], or for a pool an array that broadcasts to [G, N].
    """
    guided = wanted @ terms['embedding'].T if term == 'cosine' else terms[term]
    return weights['prior'] * terms['prior'] + weights['strength'] * guided
