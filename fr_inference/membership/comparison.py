"""One attack's figures together with the controls that would expose a false finding.

The verdict, the page, the gate, the batch page and `audit.json` read this type; nothing else pairs an
attack with a control.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.metrics import power
from fr_inference.metrics.intervals import Scored

NEGLIGIBLE = 0.05
"""An excess of the AUC that is too small to matter: 5 more correct answers in 100."""
FINDABLE = 0.1
"""An all-clear needs an audit that would have found an excess of this size in 9 of 10 cases."""

LEAST_NULL = power.fewest(0.5, images=4, correlation=0.28)
"""The least number of people on each side that a null control must judge to be valid: 8.

With fewer, and four photographs of each (docs/power.md), even a perfect separation of strangers
would not show in 9 of 10 audits, so it means nothing that the interval of such a control includes 0.5.
"""

LEAK, CLEAR, OPEN, INVALID = 'leak', 'clear', 'open', 'invalid'
"""The verdict on a comparison or an audit: a leak; no leak that matters; neither can be excluded;
the figures do not answer the question."""

ACCESS = ('file', 'answers')
SETTINGS = ('partial', 'auxiliary', 'strangers')
UNITS = ('image', 'person')

_BLOCKS = ('blind', 'null', 'pictures', 'excess', 'best_of')
_NAMES = ('attack', 'title', 'access', 'references', 'setting', 'unit', 'headline', 'further')
_BEFORE = {'references': False, 'further': False}  # defaults for fields that older files lack


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """An attack in one setting, with its own controls.

    Attributes:
      attack: its name, as in `attacks.names`.
      title: its name in reports, such as 'BatchNorm distances'.
      access: what it must see: 'file' (weights and statistics) or 'answers' (embeddings only).
      setting: what it must know: 'partial' (some members), 'auxiliary' (a shadow, no member),
        'strangers' (non-members only).
      unit: what it judges, an 'image' or a 'person' with several images.
      headline: whether it was chosen to head the report, before the data were seen.
      figures: of `intervals.figures`: auc, accuracy, tpr_at_fpr, their intervals, and counts.
      references: whether it takes reference networks.
      further: whether it is a further attack, not one that the verdict rests on.
      best_of: for a further attack {'auc_ci99', 'excess_ci99'}, intervals that hold for all further
        attacks together, so that the best can be chosen after the data were seen (`best_of`).
      blind: the figures of the same attack on a backbone that never saw the members; None if it
        could not be run.
      null: the figures among strangers only, half of whom are called members; None if it could not
        be run.
      pictures: the figures of plain statistics of the pictures (`picture_statistics`), without any
        backbone; None if not measured.
      excess: {'auc', 'auc_ci95'} of figures over blind; the interval is of the difference.
      scored: the scores behind `figures`, for curves; None if read from `audit.json`.
      blind_scored: those behind `blind`.
      null_scored: those behind `null`.
    """

    attack: str
    title: str
    access: str
    setting: str
    unit: str
    headline: bool
    figures: Mapping[str, Any]
    references: bool = False
    further: bool = False
    best_of: Mapping[str, Any] | None = None
    blind: Mapping[str, Any] | None = None
    null: Mapping[str, Any] | None = None
    pictures: Mapping[str, Any] | None = None
    excess: Mapping[str, Any] | None = None
    scored: Scored | None = dataclasses.field(default=None, compare=False, repr=False)
    blind_scored: Scored | None = dataclasses.field(default=None, compare=False, repr=False)
    null_scored: Scored | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        errors.one_of('access', self.access, ACCESS)
        errors.one_of('setting', self.setting, SETTINGS)
        errors.one_of('unit', self.unit, UNITS)

    @property
    def key(self) -> str:
        """Its key among an audit's comparisons, such as 'bn-distance/partial'."""
        return f'{self.attack}/{self.setting}'

    @property
    def null_failed(self) -> bool:
        """Whether the attack tells strangers from strangers as well as it claims to tell members.

        True if the null interval does not include 0.5. Also true if the attack's interval lies
        above 0.5 and the null AUC reaches its lower end: with few people the null interval is wide
        and always includes 0.5.
        """
        if self.null is None:
            return False
        low = self.figures['auc_ci95'][0]
        return not _holds(self.null, 0.5) or (low > 0.5 and self.null['auc'] >= low)

    @property
    def null_held(self) -> bool:
        """Whether the null control was run, on enough people to see anything (`LEAST_NULL`)."""
        return self.null is not None and self.null['identities'] // 2 >= LEAST_NULL

    @property
    def blind_failed(self) -> bool:
        """Whether the attack tells the sides apart in a backbone that never saw the members.

        The blind interval lies above 0.5, or far below it (`blind_reversed`).
        """
        return self.blind is not None and (self.blind['auc_ci95'][0] > 0.5 or self.blind_reversed)

    @property
    def blind_reversed(self) -> bool:
        """Whether the blind backbone tells the sides apart the other way round.

        True if its interval ends more than `NEGLIGIBLE` below 0.5: then the blind backbone or a
        reference knows the strangers, or the sources differ, and the excess is too large. If
        nothing is wrong, an interval lies below 0.5 by chance in 1 to 3 % of audits, and ends below
        0.45 in at most 0.5 %.

        The excess is nevertheless the plain difference. A blind AUC below 0.5 cannot cause a false
        leak, because the attack's own interval must also lie above 0.5. With the larger of blind
        AUC and 0.5 instead, the excess would show as many leaks, true and false, but its interval
        would end below the truth in 5 to 9 % of audits instead of 2 to 3 %: more audits of a leak
        would be clear (docs/power.md).
        """
        return self.blind is not None and self.blind['auc_ci95'][1] < 0.5 - NEGLIGIBLE

    @property
    def pictures_failed(self) -> bool:
        """Whether the pictures alone tell the sides apart as well as the attack claims to.

        True if their interval lies above 0.5 and the lower end of the attack's interval does not
        exceed their AUC.
        """
        if self.pictures is None or self.pictures['auc_ci95'][0] <= 0.5:
            return False
        return bool(self.figures['auc_ci95'][0] <= self.pictures['auc'])

    @property
    def valid(self) -> bool:
        """Whether no control failed."""
        return not (self.null_failed or self.blind_failed or self.pictures_failed)

    @property
    def kind(self) -> str:
        """The verdict on it: `LEAK`, `CLEAR`, `OPEN` or `INVALID`.

        A leak is claimed only if both controls were run and passed, the attack's own interval lies
        above 0.5, and that of its excess over the blind control lies above 0; for a further attack,
        the intervals are those that hold for all further attacks together. Clear needs both
        controls, an excess whose interval ends below `NEGLIGIBLE`, and the power to find an excess
        of `FINDABLE`.
        """
        if not self.valid:
            return INVALID
        if self.excess is None or not self.null_held:
            return OPEN
        if self.further and self.best_of is not None:
            surely = self.best_of['auc_ci99'], self.best_of['excess_ci99']
        else:
            surely = self.figures['auc_ci95'], self.excess['auc_ci95']
        if surely[0][0] > 0.5 and surely[1][0] > 0:
            return LEAK
        high = self.excess['auc_ci95'][1]
        smallest = self.smallest_excess
        powerful = smallest is not None and smallest <= FINDABLE
        return CLEAR if high < NEGLIGIBLE and powerful else OPEN

    @property
    def decided_by(self) -> tuple[tuple[float, float], ...]:
        """The intervals that decide on a leak: the attack's own, and that of its excess."""
        if self.excess is None:
            return ()
        own, over = self.figures['auc_ci95'], self.excess['auc_ci95']
        return (own[0], own[1]), (over[0], over[1])

    @property
    def smallest_excess(self) -> float | None:
        """The smallest excess of the AUC that 9 of 10 such audits would find, None without a control."""
        return max((power.smallest_excess(*ends) for ends in self.decided_by), default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of `membership.comparisons` in `audit.json`, without fields of None."""
        entry = {name: getattr(self, name) for name in _NAMES}
        entry |= {'valid': self.valid, **self.figures}
        return entry | {
            name: dict(block) for name in _BLOCKS if (block := getattr(self, name)) is not None
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> 'Comparison':
        """Returns the comparison from the result of `to_json`, without the scores."""
        known: dict[str, Any] = {name: entry.get(name, _BEFORE.get(name)) for name in _NAMES}
        known |= {name: entry.get(name) for name in _BLOCKS}
        rest = {*_NAMES, *_BLOCKS, 'valid'}
        figures = {name: value for name, value in entry.items() if name not in rest}
        return cls(**known, figures=figures)


def _holds(block: Mapping[str, Any], value: float) -> bool:
    low, high = block['auc_ci95']
    return bool(low <= value <= high)


_RANK = (LEAK, OPEN, CLEAR, INVALID)


def first_of(comparisons: Sequence[Comparison], unit: str) -> Comparison | None:
    """Returns the first comparison of a unit in which some members are known, None without one.

    Other populations are measured with the one on images. People are ranked by the first valid one
    of each unit.
    """
    fitting = [one for one in comparisons if (one.unit, one.setting) == (unit, 'partial')]
    return fitting[0] if fitting else None


def weighed(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Returns what a verdict rests on: those chosen beforehand, and further ones with a leak."""
    return [one for one in comparisons if not one.further or one.kind == LEAK]


def decisive(comparisons: Sequence[Comparison]) -> Comparison:
    """Returns the comparison that decides an audit's verdict, with which the report begins.

    A leak comes first, then an open question, then no leak. Among equals, those chosen beforehand
    come first, then the further one with the largest excess, whose interval allows that choice.
    Attacks whose control failed come last.
    """

    def place(one):
        largest = -one.excess['auc'] if one.further and one.excess else 0
        return _RANK.index(one.kind), not one.headline, one.further, largest

    return min(weighed(comparisons), key=place)


def kind_of(comparisons: Sequence[Comparison]) -> str:
    """Returns the verdict on all of them together.

    A leak in one attack is a leak, whatever the others show. `CLEAR` requires that no control
    failed: an attack that cannot be judged leaves the question open.
    """
    kind = decisive(comparisons).kind
    return OPEN if kind == CLEAR and not all(one.valid for one in weighed(comparisons)) else kind
