"""Whom the leak affects: the attack that heads the report, in slices of its judged images.

Slices are by the number of a person's images, by verification score, and by each further column of
the manifests. All slices follow the fixed rules of this module, which do not use the attack's
scores, and members and strangers are sliced alike. The best of many slices looks like a finding by
chance, so the intervals hold for all slices together. Their half-width, in standard deviations, is
the 95 % quantile over resamples of the judged people of the largest deviation of any slice (max-T),
but at most that of Bonferroni's correction, with Student's quantile at that level for the people of
a slice.

Source: Westfall & Young 1993, "Resampling-Based Multiple Testing"; Romano & Wolf 2005.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.metrics import intervals, roc
from fr_inference.metrics.intervals import Scored

LEAST_PEOPLE = 10  # on each side of a slice
MOST_VALUES = 8  # largest number of values of a column that is sliced by value
NONE = '(none)'  # the value of an empty cell

_LEVEL = 0.95
_BINS = ((1, 1, '1'), (2, 3, '2 to 3'), (4, 9, '4 to 9'), (10, None, '10 or more'))
_CHUNK = 1 << 14  # images whose embeddings are processed at a time
_LONGEST = 200  # characters of a value to keep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
    """Some of n images.

    Attributes:
      by: 'images' (of the person), 'verification' or 'column'.
      column: the name of the column, '' otherwise.
      value: what the images have in common.
      rows: [n] bool.
    """

    by: str
    column: str = ''
    value: str
    rows: np.ndarray

    @property
    def called(self) -> dict[str, str]:
        """The entries of a record other than figures."""
        column = {'column': _shown(self.column)} if self.by == 'column' else {}
        return {'by': self.by, **column, 'value': _shown(self.value)}


def figures(
    scored: Scored,
    embeddings: np.ndarray,
    columns: Mapping[str, Sequence[str]],
    *,
    blind: np.ndarray | None = None,
    seed: int,
    replicates: int,
) -> dict[str, Any] | None:
    """Returns the figures of every slice, None if there is no slice.

    Args:
      scored: of the attack, n judged images.
      embeddings: [n, D] of the same images in the target.
      columns: name -> the manifest's value for each of them, '' for none.
      blind: [n] scores of the same attack in the blind backbone.
      seed: of the bootstrap.
      replicates: of the bootstrap.

    Returns:
      least_people; looked_at (how many slices have figures); slices: 'by', 'column' where it is one,
      'value', images and people of each side, and with enough people on both 'auc', 'difference' (from
      the AUC of all judged images), each with an interval that holds for all slices together
      ('auc_ci95', 'difference_ci95'), and 'blind_auc'; unsliced: columns with too many values that are
      not numbers.
    """
    member = np.asarray(scored.member, bool)
    found, unsliced = _slices(scored.identities, member, embeddings, columns)
    # A slice with all images adds nothing to the attack itself.
    found = [one for one in found if one.rows.any() and not one.rows.all()]
    if not found and not unsliced:
        return None
    counts = [_counts(scored.identities, member, one.rows) for one in found]
    enough = [
        min(count['member_people'], count['nonmember_people']) >= LEAST_PEOPLE for count in counts
    ]
    looked_at = [one for one, fine in zip(found, enough, strict=True) if fine]
    computed = iter(_computed(scored, member, looked_at, blind, seed, replicates))
    return {
        'least_people': LEAST_PEOPLE,
        'looked_at': len(looked_at),
        'slices': [
            {**one.called, **count, **(next(computed) if fine else {})}
            for one, count, fine in zip(found, counts, enough, strict=True)
        ],
        'unsliced': unsliced,
    }


def _slices(identities, member, embeddings, columns):
    """Returns (the slices, names of columns that give none)."""
    found, unsliced = [], []
    count = images_of_person(identities, member)
    for low, high, value in _BINS:
        rows = (count >= low) & (count <= (high or math.inf))
        found.append(Slice(by='images', value=value, rows=rows))
    score = verification_scores(embeddings, identities)
    found += [
        Slice(by='verification', value=value, rows=rows)
        for value, rows in _thirds(score, member, '.3f')
    ]
    for name, values in columns.items():
        parts = _of_column(np.array(values, object), member)
        if parts is None:
            unsliced.append(_shown(name))
        else:
            found += [
                Slice(by='column', column=name, value=value, rows=rows) for value, rows in parts
            ]
    return found, unsliced


def _shown(text):
    return errors.shown(text[:_LONGEST])


def images_of_person(identities: Sequence[str], member: np.ndarray) -> np.ndarray:
    """Returns how many of the n images show the same person on the same side, [n] int."""
    person = np.unique(np.asarray(identities), return_inverse=True)[1] * 2 + member
    return np.bincount(person)[person]


def verification_scores(embeddings: np.ndarray, identities: Sequence[str]) -> np.ndarray:
    """Returns each image's cosine with the mean of its person's other images.

    The mean is of embeddings of length 1.

    Args:
      embeddings: [n, D].
      identities: of the n images.

    Returns:
      [n] float64; NaN for a person with one image.
    """
    person = np.unique(np.asarray(identities), return_inverse=True)[1]
    order = np.argsort(person, kind='stable')
    sums = np.zeros((int(person.max()) + 1, embeddings.shape[1]))
    scores = np.full(len(person), np.nan)
    chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
    for rows in chunks:
        np.add.at(sums, person[rows], _units(embeddings[rows]))
    several = np.bincount(person) > 1
    for rows in chunks:
        rows = rows[several[person[rows]]]
        own = _units(embeddings[rows])
        scores[rows] = (own * _units(sums[person[rows]] - own)).sum(1)
    return scores


def _units(vectors):
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _thirds(values: np.ndarray, member: np.ndarray, form: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, [n] bool) of the thirds of the strangers' values; NaN is in none."""
    known = np.isfinite(values)
    if not (known & ~member).any():
        yield 'known', known
        return
    first, second = np.quantile(values[known & ~member], [1 / 3, 2 / 3])
    ends = f'{first:{form}}', f'{second:{form}}'
    for value, rows in (
        (f'below {ends[0]}', values < first),
        (f'{ends[0]} to {ends[1]}', (values >= first) & (values < second)),
        (f'{ends[1]} or more', values >= second),
    ):
        yield value, known & rows


def _of_column(values, member):
    """[(value, [n] bool)] of a column, None where it has too many values that are not numbers."""
    empty = values == ''
    distinct = sorted(set(values[~empty].tolist()))
    numbers = {value: number for value in distinct if (number := _number(value)) is not None}
    if len(numbers) == len(distinct):
        distinct.sort(key=numbers.__getitem__)
    if len(distinct) <= MOST_VALUES:
        parts = [(value, values == value) for value in distinct]
    elif len(numbers) == len(distinct):
        as_numbers = np.array([numbers.get(value, np.nan) for value in values.tolist()])
        parts = list(_thirds(as_numbers, member, '.6g'))
    else:
        return None
    return [*parts, (NONE, empty)]


def _number(text):
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _counts(identities, member, rows):
    names = np.asarray(identities)[rows]
    people = intervals.people_per_side(names, member[rows])
    return {
        'members': int(member[rows].sum()),
        'nonmembers': int((~member[rows]).sum()),
        'member_people': people[0],
        'nonmember_people': people[1],
    }


def _computed(scored, member, slices, blind, seed, replicates):
    """Returns the figures of each slice."""
    if not slices:
        return []
    masks = [one.rows for one in slices]
    values, samples = _aucs(
        scored, member, [np.ones(len(member), bool), *masks], seed=seed, replicates=replicates
    )
    over, over_samples = values[1:] - values[0], samples[:, 1:] - samples[:, :1]
    values, samples = values[1:], samples[:, 1:]
    times, over_times = _times(values, samples), _times(over, over_samples)
    names = np.asarray(scored.identities)
    found = []
    for row, mask in enumerate(masks):
        people = min(intervals.people_per_side(names[mask], member[mask]))
        value, difference = float(values[row]), float(over[row])
        entry = {
            'auc': value,
            'auc_ci95': intervals.interval(value, samples[:, row], people, times),
            'difference': difference,
            'difference_ci95': _around(difference, over_samples[:, row], people, over_times),
        }
        if blind is not None:
            entry['blind_auc'] = roc.auc(blind[mask], member[mask])
        found.append(entry)
    return found


def _aucs(scored, member, masks, *, seed, replicates):
    """The AUC of some of the images: ([K] values, [replicates, K] values of the same resamples)."""
    rankings = [roc.rank(scored.scores[mask], member[mask]) for mask in masks]
    values = [
        roc.area(*ranking.curves(np.ones((1, len(ranking.order)))))[0] for ranking in rankings
    ]
    sampled = []
    for weights in intervals.resampled_weights(
        scored.identities, member, seed=seed, replicates=replicates
    ):
        columns = []
        for ranking, mask in zip(rankings, masks, strict=True):
            own = weights[:, mask]
            sides = [own[:, side].any(1) for side in (member[mask], ~member[mask])]
            own[~(sides[0] & sides[1])] = (
                1  # in one of 20,000 resamples nobody is drawn on a side: no deviation
            )
            columns.append(roc.area(*ranking.curves(own)))
        sampled.append(np.column_stack(columns))
    return np.array(values), np.concatenate(sampled)


def _times(values, samples):
    """The half-width, in standard deviations, of intervals of normal figures that hold jointly."""
    varied = np.ptp(samples, axis=0) > 1e-9
    spreads = np.where(varied, samples.std(0), 1.0)
    largest = (np.abs(samples - values) / spreads * varied).max(1)
    normal = statistics.NormalDist()
    alone, most = (normal.inv_cdf(1 - (1 - _LEVEL) / 2 / count) for count in (1, len(values)))
    # A perfect figure gets its share of the error, as in Bonferroni's correction
    if not varied.all():
        return most
    # At most Bonferroni's: one small slice near 1, with skewed resamples, would widen all intervals.
    return float(np.clip(np.quantile(largest, _LEVEL), alone, most))


def _around(value, sample, people, times):
    """The interval of a difference; not of width 0 if it does not vary, as for perfect figures."""
    if np.ptp(sample) <= 1e-9:
        half = 1 - intervals.wilson(1.0, people, times)[0]
    else:
        half = intervals.student(people, times) * float(sample.std())
    return [value - half, value + half]
