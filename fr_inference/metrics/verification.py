"""Face verification: whether two images show the same person, by the cosine of their embeddings.

The protocol is LFW's (Huang et al. 2007, "unrestricted"): ten folds; the threshold is chosen on nine and
the accuracy measured on the tenth.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from fr_inference import errors, rng
from fr_inference.metrics import intervals

# How the embedding of the mirrored image is combined with the embedding of the image.
MIRRORS = ('none', 'concat', 'add')

FOLDS = 10

EXPECTED = 0.95
"""Accuracy on LFW below which a backbone was probably loaded wrongly or given the wrong input."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """Accuracy over the folds, each in [0, 1].

    Attributes:
      accuracy: mean.
      deviation: standard deviation over the folds (0 for one fold).
      folds: number of folds.
      pairs: number of pairs in all.
    """

    accuracy: float
    deviation: float
    folds: int
    pairs: int

    def __str__(self):
        return (
            f'accuracy {100 * self.accuracy:.2f} % ± {100 * self.deviation:.2f} '
            f'({self.folds} folds, {self.pairs} pairs)'
        )

    @property
    def expectation(self) -> str:
        """The expected accuracy, and what a lower one means, in a sentence."""
        expected = (
            f'expected: {100 * EXPECTED:.0f} % or more for a trained backbone on aligned faces '
            'like LFW (the best reach 99.8 %)'
        )
        if self.accuracy >= EXPECTED:
            return expected
        return (
            f'{expected}; below that, suspect the input convention (--colour, --mean, --std), the crop '
            '(--align) or the checkpoint, unless the pairs are harder'
        )


def combine_mirror(embeddings: np.ndarray, mirrored: np.ndarray | None, how: str) -> np.ndarray:
    """Combines the embeddings of images and of their mirror images.

    Args:
      embeddings: [N, D] of the images.
      mirrored: [N, D] of their mirror images; unused for 'none'.
      how: 'concat' ([N, 2 D]), 'add' ([N, D]) or 'none'.
    """
    errors.one_of('mirror', how, MIRRORS)
    if how == 'none' or mirrored is None:
        return embeddings
    return np.concatenate([embeddings, mirrored], 1) if how == 'concat' else embeddings + mirrored


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the cosine of each pair of rows: [N, D], [N, D] -> [N] in [-1, 1]."""
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return (first * second).sum(-1) / np.maximum(norms, 1e-12)


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """Returns the threshold t for which `scores >= t` agrees with `same` most often."""
    order = np.argsort(-scores, kind='stable')
    ordered, hits = scores[order], same[order].astype(np.int64)
    # Accepting the first k pairs: true accepts so far plus true rejects after.
    correct = np.concatenate([[0], np.cumsum(2 * hits - 1)])
    # A threshold cannot separate equal scores.
    allowed = np.concatenate([[True], np.append(ordered[1:] != ordered[:-1], True)])
    best = int(np.argmax(np.where(allowed, correct, -(1 << 40))))
    if best == 0:
        return float(np.inf)
    return float((ordered[best - 1] + ordered[min(best, len(ordered) - 1)]) / 2)


def verify(scores: np.ndarray, same: np.ndarray, folds: np.ndarray) -> Verification:
    """Runs the protocol.

    Args:
      scores: [P] similarity of each pair.
      same: [P] bool, whether it shows one person.
      folds: [P] fold numbers; with a single fold its threshold is chosen on itself.

    Raises:
      InputError: when there are no pairs, or pairs of one kind only.
    """
    scores, same, folds = np.asarray(scores), np.asarray(same, bool), np.asarray(folds)
    if same.all() or not same.any():
        raise errors.InputError(
            'pairs', f'{int(same.sum())} pairs of one person among {len(same)}', 'both kinds'
        )
    accuracies = []
    numbers = np.unique(folds)
    for number in numbers:
        inside = folds == number
        others = ~inside if len(numbers) > 1 else inside
        threshold = best_threshold(scores[others], same[others])
        accuracies.append(np.mean((scores[inside] >= threshold) == same[inside]))
    return Verification(
        float(np.mean(accuracies)), float(np.std(accuracies)), len(numbers), len(scores)
    )


def sample_pairs(
    embeddings: np.ndarray, identities: Sequence[str], *, seed: int, most: int = 3000
) -> tuple[np.ndarray, np.ndarray]:
    """Draws pairs of one person, and the same number of pairs of two people.

    Args:
      embeddings: [N, D].
      identities: N names.
      seed: of the draw.
      most: pairs of each kind at most.

    Returns:
      (cosine [P], same [P] bool).

    Raises:
      InputError: when nobody has two images, or there is one person only.
    """
    person = np.unique(np.asarray(identities), return_inverse=True)[1]
    generator = rng.numpy_generator(seed, 'verification pairs')
    pairs = _pairs_of(np.arange(len(person)), person, most, generator)
    if not len(pairs):
        raise errors.InputError(
            'identities',
            f'{len(np.unique(person))} people, without pairs of both kinds',
            'two people, and two images of one of them',
        )
    scores = cosine(embeddings[pairs[:, 0]], embeddings[pairs[:, 1]])
    return scores, person[pairs[:, 0]] == person[pairs[:, 1]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """Pairs drawn from people, who are in one fold each, and whether each was judged right.

    The same people and seed give the same pairs, whatever the backbone.

    Attributes:
      right: [P] bool.
      first: [P] int, the number of the person on the first image.
      second: [P] int, on the second.
      folds: of how many folds.
    """

    right: np.ndarray
    first: np.ndarray
    second: np.ndarray
    folds: int

    def resampled(self, generator: np.random.Generator, replicates: int) -> np.ndarray:
        """Returns how often each pair counts when people are drawn with replacement: [R, P]."""
        count = int(max(self.first.max(), self.second.max())) + 1
        weights = generator.multinomial(count, np.full(count, 1 / count), replicates)
        same = self.first == self.second
        weights = np.where(
            same, weights[:, self.first], weights[:, self.first] * weights[:, self.second]
        )
        return weights[weights.sum(1) > 0]


def of_people(
    embeddings: np.ndarray,
    identities: Sequence[str],
    *,
    seed: int,
    most: int = 3000,
    replicates: int = intervals.REPLICATES,
) -> dict[str, Any] | None:
    """Returns the accuracy on pairs drawn from people, who are in one fold each.

    Args:
      embeddings: [N, D].
      identities: N names.
      seed: of folds, pairs and bootstrap.
      most: pairs of each kind at most.
      replicates: of the bootstrap, which draws people.

    Returns:
      {'accuracy', 'accuracy_ci95', 'pairs', 'people', 'folds'}; None with fewer than two folds in which
      pairs of both kinds can be drawn.
    """
    generator = rng.numpy_generator(seed, 'verification of people')
    found = _judged(embeddings, identities, generator, most)
    if found is None:
        return None
    weights = found.resampled(generator, replicates)
    accuracy, people = float(found.right.mean()), len(np.unique(found.first))
    sample = (weights @ found.right) / weights.sum(1)
    return {
        'accuracy': accuracy,
        'accuracy_ci95': intervals.interval(accuracy, sample, people),
        'pairs': len(found.right),
        'people': len(np.unique([found.first, found.second])),
        'folds': found.folds,
    }


def judged(
    embeddings: np.ndarray, identities: Sequence[str], *, seed: int, most: int = 3000
) -> Judged | None:
    """Returns the pairs of `of_people`, whose arguments these are, for `difference`."""
    return _judged(
        embeddings, identities, rng.numpy_generator(seed, 'verification of people'), most
    )


def difference(
    ours: Judged, theirs: Judged, *, seed: int, replicates: int = intervals.REPLICATES
) -> dict[str, Any]:
    """Returns our accuracy less theirs on the same pairs: {'accuracy', 'accuracy_ci95'}.

    Args:
      ours: pairs in one backbone.
      theirs: the same in another.
      seed: of the bootstrap.
      replicates: of the bootstrap, which draws people.

    Raises:
      InputError: for other pairs.
    """
    if not (
        np.array_equal(ours.first, theirs.first) and np.array_equal(ours.second, theirs.second)
    ):
        raise errors.InputError('pairs', 'other pairs', 'the same pairs in both backbones')
    change = ours.right.astype(float) - theirs.right
    weights = ours.resampled(rng.numpy_generator(seed, 'verification difference'), replicates)
    sample = (weights @ change) / weights.sum(1)
    people = len(np.unique(ours.first))
    return {
        'accuracy': float(change.mean()),
        'accuracy_ci95': intervals.percentiles(sample, people),
    }


def _judged(embeddings, identities, generator, most):
    names, person = np.unique(np.asarray(identities), return_inverse=True)
    fold = generator.permutation(len(names)) % max(1, min(FOLDS, len(names) // 2))
    drawn = [
        _pairs_of(np.flatnonzero(fold[person] == number), person, -(-most // FOLDS), generator)
        for number in range(int(fold.max(initial=0)) + 1)
    ]
    drawn = [pairs for pairs in drawn if len(pairs)]
    if len(drawn) < 2:
        return None
    pairs, folds = np.concatenate(drawn), np.repeat(np.arange(len(drawn)), [*map(len, drawn)])
    _, numbers = np.unique(person[pairs.T], return_inverse=True)
    first, second = numbers.reshape(2, -1)
    same, scores = first == second, cosine(embeddings[pairs[:, 0]], embeddings[pairs[:, 1]])
    right = np.zeros(len(pairs), bool)
    for number in range(len(drawn)):
        inside = folds == number
        threshold = best_threshold(scores[~inside], same[~inside])
        right[inside] = (scores[inside] >= threshold) == same[inside]
    return Judged(right=right, first=first, second=second, folds=len(drawn))


def _pairs_of(images, person, most, generator):
    """Draws pairs of one person, and the same number of two people, among `images`: [P, 2] positions.

    Of more than `most` people with several images as many are drawn first: all pairs of a large set
    would not fit into memory.
    """
    ordered = images[np.argsort(person[images], kind='stable')]
    starts = np.flatnonzero(np.diff(person[ordered])) + 1
    groups = [group[:20] for group in np.split(ordered, starts) if len(group) > 1]
    if not groups or not len(starts):
        return np.zeros((0, 2), int)
    if len(groups) > most:
        groups = [groups[one] for one in np.sort(generator.permutation(len(groups))[:most])]
    same = [(a, b) for group in groups for i, a in enumerate(group) for b in group[i + 1 :]]
    same = generator.permutation(np.array(same))[:most]
    other = generator.choice(images, (8 * len(same) + 64, 2))
    other = other[person[other[:, 0]] != person[other[:, 1]]][: len(same)]
    return np.concatenate([same, other])
